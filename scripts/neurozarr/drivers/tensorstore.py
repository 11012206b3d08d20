"""The driver that reads and writes voxels with TensorStore."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import tensorstore
from numpy.typing import ArrayLike

from neurozarr.drivers.local import LocalArray, LocalGroup
from neurozarr.files import tensorstore_file
from neurozarr.regions import Region

_DRIVERS = {2: "zarr", 3: "zarr3"}

# No cache, because every voxel is read or written once; and no sync of each file, because a job
# syncs all files of its block at once (see `neurozarr.durable`).
_CONTEXT = {"cache_pool": {"total_bytes_limit": 0}, "file_io_sync": False}
_POOLS = ("data_copy_concurrency", "file_io_concurrency")


class TensorStoreArray(LocalArray):
    """An array whose voxels TensorStore reads and writes."""

    @cached_property
    def _array(self) -> tensorstore.TensorStore:
        threads = {pool: {"limit": self._threads} for pool in _POOLS if self._threads}
        spec = {
            "driver": _DRIVERS[self.zarr_version],
            "kvstore": tensorstore_file(self._path),
            # Otherwise a lost chunk could not be told from one that equals the fill value.
            "store_data_equal_to_fill_value": True,
            "context": _CONTEXT | threads,
        }
        return tensorstore.open(spec, open=True, read=True, write=not self._read_only).result()

    def __getitem__(self, key: Any) -> np.ndarray:
        return np.asarray(self._array[_region(key, self.shape)].read().result())

    def __setitem__(self, key: Any, value: ArrayLike) -> None:
        self.check_writable()
        self._array[_region(key, self.shape)].write(np.asarray(value, self.dtype)).result()

    def _encode(self, region: Region, voxels: np.ndarray) -> None:
        self.check_writable()
        self._array[region].write(voxels, can_reference_source_data_indefinitely=True).result()


class TensorStoreGroup(LocalGroup):
    """A group of arrays whose voxels TensorStore reads and writes."""

    array_type = TensorStoreArray


def _region(key: Any, shape: tuple[int, ...]) -> tuple[int | slice, ...]:
    """A NumPy index without Ellipsis, negative indices, and bounds outside the array.

    Raises
    ------
    IndexError
        An index is outside the array, a step is negative, or there are too many indices.
    """
    keys = list(key) if isinstance(key, tuple) else [key]
    if keys.count(...) > 1 or len(keys) - keys.count(...) > len(shape):
        raise IndexError(f"{key} has too many indices for an array of shape {shape}")
    place = keys.index(...) if ... in keys else len(keys)
    keys[place : place + 1] = [slice(None)] * (len(shape) - len(keys) + keys.count(...))
    region: list[int | slice] = []
    for index, length in zip(keys, shape, strict=True):
        if not isinstance(index, slice):
            region.append(range(length)[index])
            continue
        start, stop, step = index.indices(length)
        if step < 1:
            raise IndexError(f"{index} has a step of {step}; allowed: 1 or more")
        region.append(slice(start, max(start, stop), step))
    return tuple(region)
