"""The driver that carries voxels with zarr-python."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any, Literal

import numcodecs.blosc
import numpy as np
import zarr
from numpy.typing import ArrayLike

from neurozarr.drivers.local import LocalArray, LocalGroup

# Blosc's own threads make the bytes of a chunk vary from run to run.
numcodecs.blosc.use_threads = False


class ZarrPythonArray(LocalArray):
    """An array whose voxels zarr-python reads and writes."""

    @cached_property
    def _array(self) -> zarr.Array[Any]:
        # Every chunk is written, also where it equals the fill value: what is missing can then be
        # told from what is empty.
        if self._threads:
            zarr.config.set({"threading.max_workers": self._threads})
        mode: Literal["r", "r+"] = "r" if self._read_only else "r+"
        array = zarr.open_array(os.fspath(self._path), mode=mode)
        return array.with_config({"write_empty_chunks": True})

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        return self._array.chunks

    @property
    def shards(self) -> tuple[int, ...] | None:
        return self._array.shards

    def __getitem__(self, key: Any) -> np.ndarray:
        return np.asarray(self._array[key])

    def __setitem__(self, key: Any, value: ArrayLike) -> None:
        self.check_writable()
        self._array[key] = value


class ZarrPythonGroup(LocalGroup):
    """A group of arrays whose voxels zarr-python reads and writes."""

    array_type = ZarrPythonArray
