"""The JSON documents that describe a Zarr array: ``.zarray`` (v2) and ``zarr.json`` (v3).

Pure functions that convert options to documents and back, without access to files. They follow the
Zarr v2 specification (section "Arrays"), the Zarr v3 core specification (section "Array metadata")
and its codec specifications.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurozarr.zarr.config import BLOSC_SHUFFLES, COMPRESSORS, ZarrConfig
from neurozarr.zarr.documents import Document

#: NumPy kinds of dtype that both Zarr v2 and v3 have: bool, integers, floats, complex numbers.
KINDS = "biufc"
#: Largest itemsize of each kind in Zarr, in bytes.
WIDEST = {"b": 1, "i": 8, "u": 8, "f": 8, "c": 16}


def check_dtype(dtype: np.dtype[Any]) -> None:
    """Raise a TypeError if neither Zarr v2 nor v3 has this dtype."""
    if dtype.kind not in KINDS or dtype.itemsize > WIDEST[dtype.kind]:
        raise TypeError(
            f"dtype {dtype} cannot be stored in Zarr; allowed: bool, integers up to 64 bits, "
            "floats up to 64 bits and complex numbers up to 128 bits"
        )


def array_document(
    shape: Sequence[int],
    dtype: np.dtype[Any],
    *,
    chunks: Sequence[int],
    shards: Sequence[int] | None,
    config: ZarrConfig,
    dimension_names: Sequence[str | None] | None = None,
) -> Document:
    """The document of an array: the content of its ``.zarray`` or ``zarr.json``.

    Parameters
    ----------
    shape
        Length of every dimension, in voxels.
    dtype
        Data type of the voxels, of any byte order; the stored one is little-endian.
    chunks, shards
        Shapes of a chunk and a shard, in voxels; ``shards`` is None if there are no shards.
    config
        Zarr version, compressor, order, separator and fill value.
    dimension_names
        Names of the dimensions (Zarr v3).

    Raises
    ------
    TypeError
        Zarr does not have this dtype.
    ValueError
        The dtype cannot hold the fill value.
    """
    dtype = np.dtype(dtype).newbyteorder("<")
    check_dtype(dtype)
    fill_value = encode_fill_value(config.fill_value, dtype)
    if config.zarr_version == 2:
        return {
            "zarr_format": 2,
            "shape": list(shape),
            "chunks": list(chunks),
            "dtype": dtype.str,
            "compressor": _compressor_v2(config),
            "fill_value": fill_value,
            "order": config.order,
            "filters": None,
            "dimension_separator": config.dimension_separator,
        }
    codecs = _codecs_v3(len(shape), dtype, config)
    if shards is not None:
        codecs = [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": list(chunks),
                    "codecs": codecs,
                    "index_codecs": [_bytes_codec(8), {"name": "crc32c"}],
                    "index_location": "end",
                },
            }
        ]
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": list(shards or chunks)},
        },
        "chunk_key_encoding": {
            "name": "default",
            "configuration": {"separator": config.dimension_separator},
        },
        "fill_value": fill_value,
        "codecs": codecs,
        "attributes": {},
        "storage_transformers": [],
    }
    if dimension_names is not None:
        document["dimension_names"] = list(dimension_names)
    return document


def with_shape(document: Document, shape: Sequence[int]) -> Document:
    """The document of an array of another shape, of as many dimensions, without attributes."""
    if len(shape) != len(document["shape"]):
        raise ValueError(
            f"shape {tuple(shape)} has {len(shape)} dimensions, but level 0 has "
            f"{len(document['shape'])}"
        )
    changed = copy.deepcopy(document) | {"shape": list(shape)}
    return changed | {"attributes": {}} if document["zarr_format"] == 3 else changed


def options(document: Document) -> dict[str, Any]:
    """The options of `ZarrConfig` that give a document: the inverse of `array_document`.

    Raises
    ------
    ValueError
        The array has filters, codecs or a chunk key encoding for which there is no option.
    """
    if document["zarr_format"] == 2:
        if document.get("filters"):
            raise ValueError(f"there is no option for the array's filters {document['filters']}")
        compressor, settings = _parse_compressor_v2(document["compressor"])
        return {
            "zarr_version": 2,
            "chunk": tuple(document["chunks"]),
            "shard": None,
            "compressor": compressor,
            "compressor_options": settings,
            "dimension_separator": document.get("dimension_separator", "."),
            "order": document["order"],
            "fill_value": decode_fill_value(document["fill_value"]),
        }
    chunk = tuple(document["chunk_grid"]["configuration"]["chunk_shape"])
    codecs = document["codecs"]
    shard = None
    if codecs[0]["name"] == "sharding_indexed":
        shard, sharding = chunk, codecs[0]["configuration"]
        chunk, codecs = tuple(sharding["chunk_shape"]), sharding["codecs"]
    order, compressor, settings = _parse_codecs_v3(codecs, len(chunk))
    encoding = document["chunk_key_encoding"]
    if encoding["name"] != "default":
        raise ValueError(f"there is no option for the array's chunk key encoding {encoding}")
    return {
        "zarr_version": 3,
        "chunk": chunk,
        "shard": shard,
        "compressor": compressor,
        "compressor_options": settings,
        "dimension_separator": encoding.get("configuration", {}).get("separator", "/"),
        "order": order,
        "fill_value": decode_fill_value(document["fill_value"]),
    }


def codec_names(document: Document) -> list[str]:
    """Names of the codecs of an array, also of those for which there is no option."""
    if document["zarr_format"] == 2:
        codecs = [*(document.get("filters") or ()), document["compressor"] or {"id": "none"}]
        return [codec["id"] for codec in codecs]
    found = []
    for codec in document["codecs"]:
        inner = (codec.get("configuration") or {}).get("codecs", ())
        found += [codec["name"], *(other["name"] for other in inner)]
    return found


def dtype_of(document: Document) -> np.dtype[Any]:
    """Data type of an array; TypeError if NumPy or `check_dtype` does not know it."""
    name = document["dtype" if document["zarr_format"] == 2 else "data_type"]
    if not isinstance(name, str):
        raise TypeError(f"data type {name!r} is not a number")
    dtype = np.dtype(name)
    check_dtype(dtype)
    return dtype


def encode_fill_value(value: complex | None, dtype: np.dtype[Any]) -> Any:
    """JSON form of a fill value (Zarr v2 and v3: "Fill value").

    Zarr v2 also has null, an undefined value, but many readers fail on it.

    Parameters
    ----------
    value
        The fill value; None is 0.
    dtype
        Data type of the voxels.

    Raises
    ------
    ValueError
        The dtype cannot hold the fill value.
    """
    if value is None:
        value = 0
    if dtype.kind == "b":
        fits = value in (0, 1)
    elif dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        fits = (
            not isinstance(value, complex)
            and bounds.min <= value <= bounds.max
            and int(value) == value
        )
    else:
        fits = dtype.kind == "c" or not isinstance(value, complex)
    if not fits:
        raise ValueError(f"fill_value is {value!r}, which dtype {dtype} cannot hold")
    if dtype.kind == "b":
        return bool(value)
    if dtype.kind in "iu":
        return int(value.real)
    if dtype.kind == "c":
        exact = complex(dtype.type(value))
        return [_json_float(exact.real), _json_float(exact.imag)]
    return _json_float(float(dtype.type(value)))


def decode_fill_value(value: Any) -> complex | None:
    """The fill value from its JSON form: the inverse of `encode_fill_value`."""
    if isinstance(value, list):
        return complex(*(float(part) for part in value))
    return float(value) if isinstance(value, str) else value


def _json_float(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _compressor_v2(config: ZarrConfig) -> Document | None:
    if config.compressor is None:
        return None
    settings = config.compressor_settings()
    if config.compressor == "blosc":
        settings["shuffle"] = BLOSC_SHUFFLES.index(settings["shuffle"])
    settings.pop("checksum", None)
    return {"id": config.compressor} | settings


def _parse_compressor_v2(codec: Document | None) -> tuple[str | None, dict[str, Any]]:
    if codec is None:
        return None, {}
    settings = {name: value for name, value in codec.items() if name != "id"}
    if codec["id"] == "blosc":
        settings["shuffle"] = BLOSC_SHUFFLES[settings["shuffle"]]
    if codec["id"] == "zstd":
        settings.pop("checksum", None)
    return _known(codec["id"], settings)


def _codecs_v3(ndim: int, dtype: np.dtype[Any], config: ZarrConfig) -> list[Document]:
    codecs = [_bytes_codec(dtype.itemsize if dtype.kind != "c" else 8)]
    if config.order == "F" and ndim > 1:
        codecs.insert(0, {"name": "transpose", "configuration": {"order": _reverse(ndim)}})
    if config.compressor is not None:
        settings = config.compressor_settings()
        if config.compressor == "blosc":
            settings = {"typesize": dtype.itemsize} | settings
        codecs.append({"name": config.compressor, "configuration": settings})
    return codecs


def _parse_codecs_v3(codecs: list[Document], ndim: int) -> tuple[str, str | None, dict[str, Any]]:
    order = "C"
    names = [codec["name"] for codec in codecs]
    if names[0] == "transpose" and codecs[0]["configuration"]["order"] == _reverse(ndim):
        order, codecs, names = "F", codecs[1:], names[1:]
    if names[0] != "bytes" or len(names) > 2:
        raise ValueError(f"there is no option for the array's codecs {', '.join(names)}")
    if len(names) == 1:
        return order, None, {}
    settings = dict(codecs[1].get("configuration", {}))
    settings.pop("typesize", None)
    return order, *_known(names[1], settings)


def _known(compressor: str, settings: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if compressor not in COMPRESSORS or settings.keys() - COMPRESSORS[compressor].keys():
        raise ValueError(f"there is no option for the array's compressor {compressor} {settings}")
    return compressor, settings


def _bytes_codec(itemsize: int) -> Document:
    if itemsize == 1:
        return {"name": "bytes"}
    return {"name": "bytes", "configuration": {"endian": "little"}}


def _reverse(ndim: int) -> list[int]:
    return list(range(ndim))[::-1]
