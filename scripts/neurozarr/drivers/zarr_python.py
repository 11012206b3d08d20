"""The driver that reads and writes voxels with zarr-python."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any, Literal

import numcodecs.blosc
import numpy as np
import zarr

from neurozarr.drivers.indexing import Index
from neurozarr.drivers.local import LocalArray, LocalGroup

# With several threads, Blosc compresses the same chunk to different bytes from run to run.
numcodecs.blosc.use_threads = False


class ZarrPythonArray(LocalArray):
    """An array whose voxels zarr-python reads and writes."""

    @cached_property
    def _array(self) -> zarr.Array[Any]:
        if self._threads:
            zarr.config.set({"threading.max_workers": self._threads})
        mode: Literal["r", "r+"] = "r" if self._read_only else "r+"
        array = zarr.open_array(os.fspath(self._path), mode=mode)
        # Otherwise a lost chunk could not be told from one that equals the fill value.
        return array.with_config({"write_empty_chunks": True})

    def _read(self, indices: tuple[Index, ...]) -> np.ndarray:
        return np.asarray(self._array[indices])

    def _write(self, indices: tuple[Index, ...], voxels: np.ndarray) -> None:
        self._array[indices] = voxels


class ZarrPythonGroup(LocalGroup):
    """A group of arrays whose voxels zarr-python reads and writes."""

    array_type = ZarrPythonArray
