"""Writing a level as a compressed NIfTI file (.nii.gz), in bounded memory."""

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

#: Most voxels that are read at once, in bytes, unless one plane is larger.
SLAB_BYTES = 2**27


def write_nifti(array: ZarrArray, axes: str, header: bytes, path: Path, *, colours: bool) -> None:
    """Write a level as a compressed NIfTI file.

    A few planes are decoded while the previous ones are compressed, so memory depends on the size
    of a plane, not on that of the volume. The same level always gives the same bytes.

    Parameters
    ----------
    array, axes
        The level, and the names of its axes: some of t, c, z, y, x, in this order.
    header
        All bytes before the voxels (see `neurozarr.nifti.file_header`).
    path
        The file; it is synced to the disk.
    colours
        Whether the channels are written as RGB or RGBA voxels.

    Raises
    ------
    StoreError
        The file cannot be written, for example because the disk is full.
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
    """The axes in the order of a NIfTI file, slowest first: c, t, z, y, x."""
    return "".join(axis for axis in "ctzyx" if axis in axes)


def memory_mb(shape: Sequence[int], chunks: Sequence[int], axes: str, dtype: np.dtype[Any]) -> int:
    """Memory, in MB, of a job that writes a level as a NIfTI file: two slabs and their copies.

    Parameters
    ----------
    shape, chunks, dtype
        Shape of the level and of its chunks, in voxels, and data type.
    axes
        Names of its axes.
    """
    slab = math.prod(_slab(shape, chunks, axes, dtype.itemsize, colours="c" in axes))
    return BASE_MEMORY_MB + math.ceil(4 * slab * dtype.itemsize / 1e6)


def _slab(
    shape: Sequence[int], chunks: Sequence[int], axes: str, itemsize: int, *, colours: bool
) -> tuple[int, ...]:
    """Shape of the region that is read at once: the planes of a chunk, up to `SLAB_BYTES`."""
    plane = "yxc" if colours else "yx"
    slab = {axis: length if axis in plane else 1 for axis, length in zip(axes, shape, strict=True)}
    planes = SLAB_BYTES // (math.prod(slab.values()) * itemsize)
    slab["z"] = max(1, min(chunks[axes.index("z")], planes))
    return tuple(slab.values())
