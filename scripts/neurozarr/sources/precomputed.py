"""Neuroglancer's precomputed volumes: directories or URLs with a document named info."""

from __future__ import annotations

import importlib
import itertools
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import numpy as np

from neurozarr.axes import SPATIAL
from neurozarr.errors import SourceError, reason
from neurozarr.files import check_kind, tensorstore_file
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Source, as_source_errors, check_axes
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
        scale, array = scales[number], _open_array(address, number)
        origin, shape = array.domain.origin, tuple(map(int, array.shape))
        chunk = tuple(map(int, array.chunk_layout.read_chunk.shape))
        axes, files = "czyx", _Files(address, scale)
        if shape[-1] == 1:
            array, axes, shape, chunk = array[..., 0], "zyx", shape[:-1], chunk[:-1]
        file_axes = given or axes
        check_axes(address, file_axes, shape[::-1])
        starts = origin[: len(shape)]

        def read(region: Region) -> np.ndarray[Any, Any]:
            sides = tuple(
                slice(start + side.start, start + side.stop)
                for start, side in zip(starts, region[::-1], strict=True)
            )
            files.check(sides[:3])
            try:
                return array[sides].read().result().T
            except ValueError as error:
                raise ValueError(reason(error)) from None

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
            file_shape=shape[::-1],
            dtype=np.dtype(array.dtype.numpy_dtype),
            file_native_chunk_shape=chunk[::-1],
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


class _Files:
    """The files of chunks or shards in a directory: reading a pipe would never end."""

    def __init__(self, address: str, scale: dict[str, Any]) -> None:
        self._folder = os.path.join(address, str(scale["key"]))
        self._is_local = not is_address(address)
        self._is_sharded = bool(scale.get("sharding"))
        self._starts = scale.get("voxel_offset") or [0, 0, 0]
        self._ends = [start + size for start, size in zip(self._starts, scale["size"], strict=True)]
        self._chunk = scale["chunk_sizes"][0]

    def check(self, sides: Region) -> None:
        """Check the files of the chunks of a region along x, y and z, in voxels of the volume."""
        if not self._is_local or not os.path.isdir(self._folder):
            return
        if self._is_sharded:
            for entry in os.scandir(self._folder):
                check_kind(entry.path)
            return
        names = []
        for side, start, end, size in zip(
            sides, self._starts, self._ends, self._chunk, strict=True
        ):
            numbers = range((side.start - start) // size, -((start - side.stop) // size))
            places = (start + number * size for number in numbers)
            names.append([f"{low}-{min(low + size, end)}" for low in places])
        for parts in itertools.product(*names):
            check_kind(os.path.join(self._folder, "_".join(parts)))


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
    """Open a scale by TensorStore, with the axes x, y, z and channel."""
    tensorstore = importlib.import_module("tensorstore")
    if is_address(address):
        url = urlsplit(address)
        base = f"{url.scheme}://{url.netloc}"
        # TensorStore quotes the path.
        kvstore = {"driver": "http", "base_url": base, "path": f"{unquote(url.path)}/"}
    else:
        kvstore = tensorstore_file(address)
    limit_tensorstore()
    timeout = addresses.TIMEOUT if is_address(address) else None
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": kvstore,
        "scale_index": scale,
        # No cache, as every voxel is read once.
        "context": {"cache_pool": {"total_bytes_limit": 0}, "http_request_retries": RETRIES},
    }
    try:
        return tensorstore.open(spec, open=True, read=True).result(timeout)
    except TimeoutError:
        raise SourceError(f"{address}: the server does not answer within {timeout:g} s") from None
    except ValueError as error:
        raise SourceError(f"{address}: it cannot be opened ({reason(error)})") from None
