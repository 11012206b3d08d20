"""Back to NIfTI: the voxels of a level, streamed into a .nii.gz behind a header that fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import igzip

from neurozarr import nifti
from neurozarr.durable import make_folder, sync
from neurozarr.plan.levels import BASE_MEMORY_MB
from neurozarr.regions import regions_in_order, whole
from neurozarr.voxels.threads import one_ahead
from neurozarr.zarr.documents import cannot_be_written

if TYPE_CHECKING:
    from neurozarr.zarr.abc import ZarrArray

#: Most voxels that are read at once, in bytes, unless one plane is more.
SLAB_BYTES = 2**27


def write_nifti(array: ZarrArray, axes: str, header: bytes, path: Path, *, colours: bool) -> None:
    """Write a level as a compressed NIfTI file.

    A few planes are decoded while the last ones are compressed: memory depends on the size of a
    plane, not on that of the volume. The same level gives the same bytes.

    Parameters
    ----------
    array, axes
        The level, and the names of its axes: some of t, c, z, y, x, in this order.
    header
        All bytes that come before the voxels (see `neurozarr.nifti.file_header`).
    path
        The file; on the disk when this returns.
    colours
        Whether the channels are the colours of a voxel, which lie side by side.

    Raises
    ------
    StoreError
        It cannot be written: for want of room or of permission, say.
    """
    file_axes = f"{axes.replace('c', '')}c" if colours else _nifti_order(axes)
    order = [axes.index(axis) for axis in file_axes]
    dtype = array.dtype.newbyteorder(nifti.byte_order(header))
    slab = _slab(array.shape, array.chunks, axes, array.dtype.itemsize, colours=colours)
    slabs = regions_in_order(whole(array.shape), slab, axes, file_axes)
    try:
        make_folder(path.parent)
        with (
            path.open("wb") as file,
            igzip.IGzipFile(filename="", mode="wb", fileobj=file, mtime=0) as stream,
        ):
            stream.write(header)
            for _, voxels in one_ahead(array.__getitem__, slabs):
                stream.write(np.ascontiguousarray(voxels.transpose(order), dtype).data.cast("B"))
        sync(path)
    except OSError as error:
        raise cannot_be_written(path, error) from error


def _nifti_order(axes: str) -> str:
    """The axes as NIfTI stores them, the slowest first: c, t, z, y, x."""
    return "".join(axis for axis in "ctzyx" if axis in axes)


def memory_mb(shape: Sequence[int], chunks: Sequence[int], axes: str, dtype: np.dtype[Any]) -> int:
    """Memory of a job that writes a level as a file, in MB: two slabs, each also as it is written.

    Parameters
    ----------
    shape, chunks, dtype
        Of the level.
    axes
        Names of its axes.
    """
    slab = math.prod(_slab(shape, chunks, axes, dtype.itemsize, colours="c" in axes))
    return BASE_MEMORY_MB + math.ceil(4 * slab * dtype.itemsize / 1e6)


def _slab(
    shape: Sequence[int], chunks: Sequence[int], axes: str, itemsize: int, *, colours: bool
) -> tuple[int, ...]:
    """Shape of what is read at once: as many planes as chunks have and memory allows."""
    whole = "yxc" if colours else "yx"
    slab = {axis: length if axis in whole else 1 for axis, length in zip(axes, shape, strict=True)}
    planes = SLAB_BYTES // (math.prod(slab.values()) * itemsize)
    slab["z"] = max(1, min(chunks[axes.index("z")], planes))
    return tuple(slab.values())
