"""The driver that reads and writes voxels with TensorStore."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import tensorstore

from neurozarr.drivers.indexing import Index
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

    def _read(self, indices: tuple[Index, ...]) -> np.ndarray:
        return np.asarray(self._array[indices].read().result())

    def _write(self, indices: tuple[Index, ...], voxels: np.ndarray) -> None:
        self._array[indices].write(voxels).result()

    def _encode(self, region: Region, voxels: np.ndarray) -> None:
        self.check_writable()
        self._array[region].write(voxels, can_reference_source_data_indefinitely=True).result()


class TensorStoreGroup(LocalGroup):
    """A group of arrays whose voxels TensorStore reads and writes."""

    array_type = TensorStoreArray
