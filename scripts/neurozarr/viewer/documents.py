"""The Zarr documents that the viewer reads: pure functions of those of a store.

Neuroglancer reads only some data types, codecs and versions of OME-Zarr. It therefore gets
documents of its own: each array is one of Zarr v3, and each image one of OME-Zarr 0.5, whatever the
store is. If Neuroglancer can decode the chunks, they stay as they are in the store; otherwise the
array is described as one without compression, whose chunks the server makes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurozarr.axes import AXIS_TYPES
from neurozarr.zarr.documents import Document
from neurozarr.zarr.metadata import dtype_of

#: Data types of Neuroglancer (its documentation, "Zarr", "Supported data types").
_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")
#: Codecs of Zarr v3 that it decodes; "zlib" is its own name of a codec that only Zarr v2 has.
_CODECS = ("transpose", "bytes", "sharding_indexed", "blosc", "gzip", "zlib", "zstd", "crc32c")
#: Compressors of Zarr v2 that it decodes.
_COMPRESSORS = ("blosc", "gzip", "zlib", "zstd")
_SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")


def viewer_dtype(dtype: np.dtype[Any], *, labels: bool) -> np.dtype[Any]:
    """The data type that an array has in the viewer.

    Labels are integers there. Other voxels have 32 bits at most, unless they are unsigned integers.

    Parameters
    ----------
    dtype
        Data type of the array.
    labels
        Whether its voxels are labels.

    Raises
    ------
    TypeError
        The voxels are complex numbers.
    """
    if dtype.name in _TYPES and not (labels and dtype.kind == "f"):
        return np.dtype(dtype.name)
    if dtype.kind == "b":
        return np.dtype("u1")
    if dtype.kind in "iuf":
        return np.dtype("u8" if labels else "f4")
    raise TypeError(f"voxels of type {dtype} cannot be shown, only integers and real numbers")


def array_document(document: Document, *, labels: bool) -> Document | None:
    """The Zarr v3 document by which Neuroglancer decodes the chunks of an array.

    Parameters
    ----------
    document
        The array's ``.zarray`` or ``zarr.json``.
    labels
        Whether its voxels are labels.

    Returns
    -------
    dict or None
        The document; None if Neuroglancer cannot decode the chunks.

    Raises
    ------
    TypeError
        The data type cannot be shown.
    """
    stored = dtype_of(document)
    shown = viewer_dtype(stored, labels=labels)
    is_same = stored.name == shown.name
    # The bytes of True and False are those of 1 and 0, and those of labels have no sign.
    if not is_same and (stored.name, shown.name) not in (("bool", "uint8"), ("int64", "uint64")):
        return None
    found = _of_v2(document, stored) if document["zarr_format"] == 2 else _of_v3(document)
    if found is None:
        return None
    fill_value = found["fill_value"]
    if shown.kind != "f":
        fill_value = int(fill_value or 0) % 2**64 if shown.kind == "u" else int(fill_value or 0)
    if isinstance(fill_value, float) and not math.isfinite(fill_value):  # JSON has no such number.
        fill_value = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(fill_value, "NaN")
    return _array(document["shape"], shown, found | {"fill_value": fill_value or 0})


def decoded_document(shape: Sequence[int], chunks: Sequence[int], dtype: np.dtype[Any]) -> Document:
    """The Zarr v3 document of an array without compression, whose chunks the server makes.

    Parameters
    ----------
    shape, chunks
        Shapes of the array and of its chunks, in voxels.
    dtype
        Data type in the viewer.
    """
    parts = {
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "fill_value": 0,
    }
    return _array(shape, dtype, parts)


def image_document(
    axes: str,
    units: Sequence[str],
    voxel_size: Sequence[float],
    levels: Sequence[tuple[Sequence[float], Sequence[float]]],
) -> Document:
    """The document of a group that is an image of OME-Zarr 0.5.

    Its coordinates 0 are those of the centre of the first voxel of level 0.

    Parameters
    ----------
    axes
        Letters of the axes, slowest first.
    units, voxel_size
        Unit of each axis, "" if unknown, and distance of neighbouring voxels along it.
    levels
        For each level, finest first: along each axis, the distance of neighbouring voxels and the
        position of the first one, in voxels of level 0.
    """
    described = [
        {"name": axis, "type": AXIS_TYPES[axis]} | ({"unit": unit} if unit else {})
        for axis, unit in zip(axes, units, strict=True)
    ]
    datasets = [
        {
            "path": str(number),
            "coordinateTransformations": [
                {"type": "scale", "scale": _product(size, voxel_size)},
                {"type": "translation", "translation": _product(first, voxel_size)},
            ],
        }
        for number, (size, first) in enumerate(levels)
    ]
    multiscale = {"axes": described, "datasets": datasets}
    attributes = {"ome": {"version": "0.5", "multiscales": [multiscale]}}
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def names_document(labels: Document) -> Document | None:
    """The document of the names of labels; None if none has a name.

    Parameters
    ----------
    labels
        Details of the labels, as in the "image-label" metadata of OME-Zarr.
    """
    names: dict[str, str] = {}
    for entry in labels.get("properties") or []:
        texts = [text for text in entry.values() if isinstance(text, str) and text]
        if texts and "label-value" in entry:
            names[str(entry["label-value"])] = entry.get("name") or texts[0]
    if not names:
        return None
    values = {"id": "label", "type": "label", "values": list(map(str, names.values()))}
    return {
        "@type": "neuroglancer_segment_properties",
        "inline": {"ids": list(names), "properties": [values]},
    }


def _array(shape: Sequence[int], dtype: np.dtype[Any], parts: Document) -> Document:
    common = {"zarr_format": 3, "node_type": "array", "shape": list(shape)}
    return common | {"data_type": dtype.name} | parts | {"attributes": {}}


def _of_v3(document: Document) -> Document | None:
    """Chunks, codecs and fill value of a Zarr v3 array; None if Neuroglancer lacks one of them."""
    names = ("chunk_grid", "chunk_key_encoding", "codecs", "fill_value")
    parts = {name: document[name] for name in names}
    is_known = (
        parts["chunk_grid"]["name"] == "regular"
        and parts["chunk_key_encoding"]["name"] in ("default", "v2")
        and not document.get("storage_transformers")
        and _are_known(parts["codecs"])
    )
    return parts if is_known else None


def _are_known(codecs: Sequence[Document]) -> bool:
    for codec in codecs:
        inner = codec.get("configuration") or {}
        if codec["name"] not in _CODECS:
            return False
        if codec["name"] == "sharding_indexed":
            # Neuroglancer takes nothing before or after shards, and not two of them in each other.
            inner_codecs = inner["codecs"]
            is_nested = any(other["name"] == "sharding_indexed" for other in inner_codecs)
            if len(codecs) > 1 or is_nested or not _are_known(inner_codecs):
                return False
            if not _are_known(inner["index_codecs"]):
                return False
    return True


def _of_v2(document: Document, dtype: np.dtype[Any]) -> Document | None:
    """Chunks, codecs and fill value of a Zarr v2 array; None if Neuroglancer lacks one of them."""
    ndim, compressor = len(document["shape"]), document["compressor"]
    if document.get("filters"):
        return None
    is_big = document["dtype"][0] == ">"
    codecs: list[Document] = []
    if document["order"] == "F":
        codecs.append({"name": "transpose", "configuration": {"order": [*range(ndim)][::-1]}})
    codecs.append({"name": "bytes", "configuration": {"endian": "big" if is_big else "little"}})
    if compressor is not None:
        settings = {name: value for name, value in compressor.items() if name != "id"}
        if compressor["id"] not in _COMPRESSORS:
            return None
        if compressor["id"] == "blosc":
            shuffle = settings.get("shuffle", 1)
            # -1: bits of bytes, or bytes of larger values (numcodecs.blosc.AUTOSHUFFLE).
            chosen = 2 if dtype.itemsize == 1 else 1
            settings["shuffle"] = _SHUFFLES[chosen if shuffle == -1 else shuffle]
            settings["typesize"] = dtype.itemsize
        if compressor["id"] in ("gzip", "zlib"):
            settings.setdefault("level", 1)  # It is asked for, though it does not matter.
        codecs.append({"name": compressor["id"], "configuration": settings})
    separator = document.get("dimension_separator", ".")
    return {
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": document["chunks"]}},
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": separator}},
        "codecs": codecs,
        "fill_value": document["fill_value"],
    }


def _product(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [a * b for a, b in zip(first, second, strict=True)]
