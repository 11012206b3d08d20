"""The voxels of the views of BigDataViewer, in HDF5, N5 or Zarr."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.ome import reading
from neurozarr.regions import Region
from neurozarr.sources.hdf5 import (
    Hdf5Source,
    check_dataset,
    check_filters,
    check_links,
    open_file,
    opened,
)
from neurozarr.sources.zarr.images import level_of, open_store
from neurozarr.sources.zarr.nodes import Array, Node, join


@dataclass(frozen=True, kw_only=True)
class Volume:
    """What the headers say of a view.

    Attributes
    ----------
    shape, dtype
        Lengths of z, y and x, and data type of the voxels as they are read, in native byte order.
    chunks
        Shape of a chunk; None if it is not stored in chunks.
    files
        Files that it is read from; of Zarr and N5, those with metadata.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...] | None
    files: tuple[Path, ...]


class Views(ABC):
    """The views of a setup, one for each time point; they are counted from 0."""

    @abstractmethod
    def volume(self, number: int) -> Volume:
        """Read the headers of a view.

        Raises
        ------
        SourceError
            The view is missing, damaged or not a 3D array of numbers.
        """

    @abstractmethod
    def read(self, number: int, region: Region) -> np.ndarray:
        """Read a region of a view, a slice for each of z, y and x."""


class Hdf5Views(Views):
    """Views in an HDF5 file.

    BigDataViewer stores unsigned voxels of 16 bits as signed ones, unless the group of their setup
    has an attribute ``dataType``, which names the type (class ``Hdf5ImageLoader``).

    Parameters
    ----------
    path
        The file.
    setup
        Number of the setup.
    times
        Numbers of the time points.
    level
        Level of the pyramid, 0 for the finest.
    """

    def __init__(self, path: str, setup: int, times: Sequence[int], level: int = 0) -> None:
        self.path = path
        self.group = f"s{setup:02}"
        self.names = [f"t{time:05}/{self.group}/{level}/cells" for time in times]
        self.lock = threading.Lock()

    @cached_property
    def file(self) -> Any:
        """The file, kept open."""
        return open_file(self.path)

    def volume(self, number: int) -> Volume:
        name = self.names[number]
        with opened(self.path) as file:
            check_links(self.path, file, name)
            data = file.get(name)
            dtype = None if data is None else Hdf5Source.numbers(data)
            if dtype is None or dtype.kind not in "iuf" or data.ndim != 3:
                raise SourceError(f"{self.path}: /{name} is missing or not a 3D array of numbers")
            check_filters(self.path, data)
            check_links(self.path, file, self.group)
            group = file.get(self.group)
            named = None if group is None else group.attrs.get("dataType")
            if dtype.str[1:] == "i2" and named not in ("int16", b"int16"):
                dtype = np.dtype("u2")
            return Volume(
                shape=data.shape,
                dtype=dtype.newbyteorder("="),
                chunks=data.chunks,
                files=check_dataset(self.path, data),
            )

    def read(self, number: int, region: Region) -> np.ndarray:
        with self.lock:
            file = self.file
        voxels = file[self.names[number]][region]
        if voxels.dtype.kind == "i" and self.is_unsigned:
            voxels = voxels.view(voxels.dtype.str.replace("i", "u"))
        return voxels

    @cached_property
    def is_unsigned(self) -> bool:
        """Whether signed integers that are stored are unsigned ones."""
        return self.volume(0).dtype.kind == "u"


class StoreViews(Views):
    """Views in an N5 or Zarr store.

    Parameters
    ----------
    root
        Path or URL of the store.
    places
        For each time point: path of an array or of an OME-Zarr image in the store, and the indices
        of the axes that precede z, y and x; None if these have length 1.
    """

    def __init__(self, root: str, places: Sequence[tuple[str, tuple[int, ...] | None]]) -> None:
        self.store = open_store(root)
        self.places = places
        self.lock = threading.Lock()
        self.arrays: dict[str, Array] = {}

    def volume(self, number: int) -> Volume:
        path, given = self.places[number]
        address, nodes = self.store.address(path), self._nodes(path)
        array = self._array(nodes[-1])
        leading = array.shape[:-3]
        if len(array.shape) < 3 or (given is None and math.prod(leading) > 1):
            raise SourceError(f"{address}: a view has shape {array.shape}; allowed: a 3D array")
        indices = self._indices(number, array)
        if len(indices) != len(leading) or any(
            not 0 <= index < length for index, length in zip(indices, leading, strict=True)
        ):
            raise SourceError(
                f"{address}: a view has the indices {indices} of an array of shape {array.shape}"
            )
        files = [join(node.path, name) for node in nodes for name in node.files]
        is_local = not self.store.is_address
        return Volume(
            shape=array.shape[-3:],
            dtype=np.dtype(array.dtype).newbyteorder("="),
            chunks=array.chunks[-3:],
            files=tuple(Path(self.store.address(file)) for file in files) if is_local else (),
        )

    def read(self, number: int, region: Region) -> np.ndarray:
        array = self._array(self._nodes(self.places[number][0])[-1])
        leading = self._indices(number, array)
        voxels = array.read((*(slice(index, index + 1) for index in leading), *region))
        return voxels.reshape(voxels.shape[-3:])

    def _indices(self, number: int, array: Array) -> tuple[int, ...]:
        given = self.places[number][1]
        return (0,) * (len(array.shape) - 3) if given is None else given

    def _nodes(self, path: str) -> list[Node]:
        """The image and the array of its finest level, or only the array, at a path."""
        node = self.store.node(path)
        if node is None:
            raise SourceError(f"{self.store.address(path)}: the view is missing")
        if node.is_array:
            return [node]
        if node.version == "n5" or not reading.images_of(node.attributes):
            raise SourceError(f"{self.store.address(path)}: neither an array nor an OME-Zarr image")
        return [node, level_of(self.store, node, reading.image_of(node.attributes), 0)]

    def _array(self, node: Node) -> Array:
        with self.lock:
            if node.path not in self.arrays:
                self.arrays[node.path] = self.store.open(node)
            return self.arrays[node.path]
