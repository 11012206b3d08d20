"""Neuroglancer's precomputed volumes: directories or URLs with a document named info."""

from __future__ import annotations

import importlib
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import numpy as np
from isal import igzip

from neurozarr.axes import SPATIAL
from neurozarr.errors import SourceError, reason
from neurozarr.files import check_kind, tensorstore_file
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Source
from neurozarr.sources.columns import check_axes
from neurozarr.sources.damage import as_source_errors
from neurozarr.sources.directions import place
from neurozarr.sources.paths import PRECOMPUTED, is_address
from neurozarr.sources.zarr import addresses
from neurozarr.sources.zarr.addresses import (
    MAX_BYTES,
    RETRIES,
    DeniedError,
    fetch,
    limit_tensorstore,
)

#: Name of the document of a volume.
INFO = "info"
#: Errors caused by invalid metadata.
_DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
#: Endings that CloudVolume adds to the names of compressed files: its default, and others.
_GZIP = ".gz"
_OTHERS = (".br", ".zstd", ".xz", ".bz2")
#: How much of a document is searched for the list of its scales.
_SEARCHED = 2**16


@dataclass(frozen=True, kw_only=True, eq=False)
class PrecomputedSource(Source):
    """The finest scale of a volume; the axes are (c, z, y, x), without a single c.

    Sizes are in nm. The first voxel extends from ``voxel_offset`` on (Neuroglancer, "Precomputed
    volume format"), so that its centre is half a voxel further. A segmentation is labels.

    Attributes
    ----------
    address
        Directory or URL of the volume.
    voxels
        Reads a region of the voxels.
    """

    suffixes = ()

    address: str
    voxels: Callable[[Region], np.ndarray[Any, Any]]

    @classmethod
    def matches(cls, path: str) -> bool:
        if path.startswith(PRECOMPUTED):
            return True
        file = os.path.join(path, INFO)
        if is_address(path) or not os.path.isfile(file) or not os.access(file, os.R_OK):
            return False
        with open(file, "rb") as opened:
            return b'"scales"' in opened.read(_SEARCHED)

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        with as_source_errors(path, "its metadata are invalid", _DAMAGE):
            return cls._open(path, layout.axes)

    @classmethod
    def _open(cls, path: str, given: str | None) -> Self:
        address = path.removeprefix(PRECOMPUTED).rstrip("/") or "/"
        info = _read_info(address)
        if not info.get("scales"):
            raise SourceError(f"{address}: {INFO} has no scales: it is no volume")
        scales = info["scales"]
        number = min(range(len(scales)), key=lambda i: math.prod(scales[i]["resolution"]))
        scale, chunks = scales[number], _Chunks(address, info, number)
        array = chunks.array
        origin, shape = array.domain.origin, tuple(map(int, array.shape))
        chunk = tuple(map(int, array.chunk_layout.read_chunk.shape))
        axes, ndim = ("zyx", 3) if shape[-1] == 1 else ("czyx", 4)
        file_axes = given or axes
        check_axes(address, file_axes, shape[:ndim][::-1])

        def read(region: Region) -> np.ndarray[Any, Any]:
            sides = tuple(
                slice(start + side.start, start + side.stop)
                for start, side in zip(origin, region[::-1], strict=False)
            )
            voxels = chunks.read((*sides, slice(0, 1))[:4]).T
            return voxels[0] if ndim == 3 else voxels

        sizes = np.array(scale["resolution"], float)
        vectors = {
            axis: np.eye(3)[number] * sizes[number]
            for number, axis in enumerate(file_axes[::-1][:3])
            if axis in SPATIAL
        }
        placed = place(address, vectors, (np.array(origin[:3]) + 0.5) * sizes, "")
        return cls(
            files=() if is_address(address) else (Path(address, INFO),),
            file_axes=file_axes,
            file_shape=shape[:ndim][::-1],
            dtype=np.dtype(array.dtype.numpy_dtype),
            file_native_chunk_shape=chunk[:ndim][::-1],
            labels={} if info.get("type") == "segmentation" else None,
            space_unit="nanometer",
            address=address,
            voxels=read,
            **placed,
        )

    def read_file(self, region: Region) -> np.ndarray:
        return self.voxels(region)

    @property
    def _name(self) -> str:
        return self.address


class _Chunks:
    """The chunks of a scale, which CloudVolume stores in a directory as files that end in .gz.

    TensorStore takes these for missing. So they are decompressed into a store in memory, beside all
    other chunks of a region.
    """

    def __init__(self, address: str, info: dict[str, Any], number: int) -> None:
        scale = info["scales"][number]
        self._info, self._number = info, number
        self._key = str(scale["key"])
        self._folder = "" if is_address(address) else os.path.join(address, self._key)
        self._is_sharded = bool(scale.get("sharding"))
        self._starts = scale.get("voxel_offset") or [0, 0, 0]
        self._ends = [start + size for start, size in zip(self._starts, scale["size"], strict=True)]
        self._chunk = scale["chunk_sizes"][0]
        self.array = _open_array(address, number)

    def read(self, region: Region) -> np.ndarray[Any, Any]:
        """Read a region along x, y, z and channel, in voxels of the volume."""
        array = self._unpacked(region) or self.array
        try:
            return array[region].read().result()
        except ValueError as error:
            raise ValueError(reason(error)) from None

    def _unpacked(self, region: Region) -> Any:
        """An array in memory with the chunks of a region; None if none of them is compressed."""
        if not os.path.isdir(self._folder):
            return None
        if self._is_sharded:
            for entry in os.scandir(self._folder):
                check_kind(entry.path)  # Reading a pipe would never end.
            return None
        names = list(self._names(region))
        found = [self._file(name) for name in names]
        if not any(file is not None and file.endswith(_GZIP) for file in found):
            return None
        memory = {"driver": "memory", "path": f"{self._key}/"}
        tensorstore = importlib.import_module("tensorstore")
        context = tensorstore.Context()
        store = tensorstore.KvStore.open(memory, context=context).result()
        for name, file in zip(names, found, strict=True):
            if file is not None:
                open_: Any = igzip.open if file.endswith(_GZIP) else open
                with open_(file, "rb") as opened:
                    store[name] = opened.read(self._limit + 1)
        memory["path"] = ""
        tensorstore.KvStore.open(memory, context=context).result()[INFO] = json.dumps(self._info)
        return _open_in(memory, self._number, context)

    @property
    def _limit(self) -> int:
        """More than any encoding takes for a chunk, in bytes."""
        return int(2**20 + 2 * math.prod(self._chunk) * self.array.shape[3] * 8)

    def _names(self, region: Region) -> Iterator[str]:
        """Names of the chunks of a region, whether they exist or not."""
        sides = []
        for side, start, end, size in zip(
            region, self._starts, self._ends, self._chunk, strict=False
        ):
            numbers = range((side.start - start) // size, -((start - side.stop) // size))
            places = (start + number * size for number in numbers)
            sides.append([f"{low}-{min(low + size, end)}" for low in places])
        yield from ("_".join(parts) for parts in itertools.product(*sides))

    def _file(self, name: str) -> str | None:
        """The file of a chunk; None if it is missing."""
        for ending in ("", _GZIP, *_OTHERS):
            file = os.path.join(self._folder, name + ending)
            check_kind(file)
            if os.path.exists(file):
                if ending in _OTHERS:
                    raise SourceError(
                        f"{file}: chunks that end in {ending} are not supported: decompress them"
                    )
                return file
        return None


def _read_info(address: str) -> dict[str, Any]:
    """Read the document of a volume."""
    name = f"{address}/{INFO}"
    if is_address(address):
        if {"?", "#"} & set(address):
            raise SourceError(f"{address}: the URL of a volume must not contain ? or #")
        try:
            content = fetch(address, INFO)
        except DeniedError as error:
            raise SourceError(f"{name}: it cannot be read ({error})") from None
        if content is None:
            raise SourceError(f"{name}: there is no such document")
    else:
        check_kind(name)
        with open(name, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise SourceError(f"{name}: damaged: a document of more than {MAX_BYTES} bytes")
    info = json.loads(content)
    if not isinstance(info, dict):
        raise SourceError(f"{name}: damaged: not a JSON object")
    return info


def _open_array(address: str, scale: int) -> Any:
    """Open a scale of a volume by TensorStore, with the axes x, y, z and channel."""
    if is_address(address):
        url = urlsplit(address)
        base = f"{url.scheme}://{url.netloc}"
        # TensorStore quotes the path.
        kvstore = {"driver": "http", "base_url": base, "path": f"{unquote(url.path)}/"}
    else:
        kvstore = tensorstore_file(address)
    limit_tensorstore()
    timeout = addresses.TIMEOUT if is_address(address) else None
    try:
        return _open_in(kvstore, scale, timeout=timeout)
    except TimeoutError:
        raise SourceError(f"{address}: the server does not answer within {timeout:g} s") from None
    except ValueError as error:
        raise SourceError(f"{address}: it cannot be opened ({reason(error)})") from None


def _open_in(
    kvstore: dict[str, Any], scale: int, context: Any = None, timeout: float | None = None
) -> Any:
    """Open a scale in a key-value store of TensorStore."""
    tensorstore = importlib.import_module("tensorstore")
    # No cache, as every voxel is read once.
    own = {"cache_pool": {"total_bytes_limit": 0}, "http_request_retries": RETRIES}
    spec = {"driver": "neuroglancer_precomputed", "kvstore": kvstore, "scale_index": scale}
    context = tensorstore.Context(own) if context is None else context
    return tensorstore.open(spec, open=True, read=True, context=context).result(timeout)
