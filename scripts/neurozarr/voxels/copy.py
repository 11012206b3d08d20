"""Copying voxels from a source to level 0, and downsampling levels, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from neurozarr.errors import StoreError, reason
from neurozarr.plan.slabs import downsampled_sub_block, read_shape, sub_block
from neurozarr.regions import (
    Region,
    parent_region,
    regions,
    regions_in_order,
    regions_of_grid,
    shifted,
    whole,
)
from neurozarr.voxels import kernels
from neurozarr.voxels.summary import Summary, checksum, merge, summarize
from neurozarr.voxels.threads import for_each, one_ahead
from neurozarr.zarr.documents import REMEDY

if TYPE_CHECKING:
    from neurozarr.sources import Source
    from neurozarr.zarr.abc import ZarrArray

#: Called with the size of each region that was written, in bytes.
Told = Callable[[int], None]

#: Increased if, and only if, the voxels of level 0 change for the same source.
COPY_VERSION = 1


def copy_from_source(
    source: Source,
    array: ZarrArray,
    *,
    region: Region | None = None,
    slab: Sequence[int] | None = None,
    threads: int = 1,
    told: Told = lambda size: None,
) -> Summary:
    """Copy voxels of a source into level 0.

    Parameters
    ----------
    source
        The source, with the axes of the array.
    array
        Level 0, of the source's shape.
    region
        The region to copy: whole write chunks; None for all.
    slab
        Shape of a slab, in voxels: whole write chunks. Each slab is read while the previous one is
        encoded. None if each thread reads the sub-blocks that it encodes.
    threads
        Number of sub-blocks that are encoded at once; one more waits. A slab is read by as many
        further threads, or by one if the source can only be read in order.
    told
        Called with the size of each sub-block that was written, in bytes, by several threads.

    Returns
    -------
    Summary
        Summary of the copied voxels.
    """

    def store(place: Region, voxels: np.ndarray) -> None:
        _store(array, place, voxels)
        told(voxels.nbytes)

    return _each_sub_block(source, array, store, region, slab, threads)


def summarize_source(
    source: Source,
    array: ZarrArray,
    *,
    region: Region | None = None,
    slab: Sequence[int] | None = None,
    threads: int = 1,
) -> Summary:
    """The summary that `copy_from_source` would return for these arguments; nothing is written."""
    return _each_sub_block(source, array, lambda region, voxels: None, region, slab, threads)


def _each_sub_block(
    source: Source,
    array: ZarrArray,
    use: Callable[[Region, np.ndarray], None],
    region: Region | None,
    slab: Sequence[int] | None,
    threads: int,
) -> Summary:
    """Call ``use`` with each sub-block and its voxels in the dtype of level 0, and summarize."""
    region = region or whole(array.shape)
    write_chunk = array.shards or array.chunks
    shape = sub_block(array.chunks, write_chunk, array.dtype)

    def sub_blocks() -> Iterator[tuple[Region, np.ndarray | None]]:
        if slab is None:
            yield from ((inner, None) for inner in regions(region, shape))
            return
        slabs = regions_in_order(region, slab, source.axes, source.file_axes)
        for outer, voxels in one_ahead(partial(read_slab, source, threads=threads), slabs):
            for inner in regions(whole(voxels.shape), (*write_chunk[:-2], *shape[-2:])):
                yield shifted(inner, outer), voxels[inner]

    def summary_of(item: tuple[Region, np.ndarray | None]) -> Summary:
        place, voxels = item
        voxels = np.ascontiguousarray(source.read(place) if voxels is None else voxels, array.dtype)
        use(place, voxels)
        return summarize(voxels, checksum(voxels, place, write_chunk, array.shape))

    return merge(for_each(summary_of, sub_blocks(), threads=threads + 1))


def read_slab(source: Source, region: Region, *, threads: int) -> np.ndarray:
    """Read a slab, with several threads unless the source can only be read in order.

    Each thread reads whole native chunks, so that none is decoded twice.

    Returns
    -------
    numpy.ndarray
        The voxels of the slab, in the dtype of the source.
    """
    if source.in_order or source.native_chunk_shape is None:
        return source.read(region)
    voxels = np.empty([side.stop - side.start for side in region], source.dtype)

    def read(place: Region) -> None:
        inner = tuple(
            slice(side.start - outer.start, side.stop - outer.start)
            for side, outer in zip(place, region, strict=True)
        )
        voxels[inner] = source.read(place)

    at_once = read_shape(source.shape, source.native_chunk_shape, source.dtype)
    for_each(read, regions_of_grid(region, at_once), threads=threads)
    return voxels


def downsample_level(
    parent: ZarrArray,
    child: ZarrArray,
    *,
    factors: Sequence[int],
    region: Region | None = None,
    mode: kernels.Mode = "mean",
    threads: int = 1,
    told: Told = lambda size: None,
) -> Summary:
    """Write voxels of a level, downsampled from its parent level.

    Parameters
    ----------
    parent, child
        The parent level, and the level to write.
    factors
        Downsampling factor of each axis.
    region
        The region of the child to write: whole write chunks; None for all.
    mode
        How a window of voxels becomes one (see `neurozarr.voxels.kernels.downsample`).
    threads
        Number of sub-blocks that are computed and encoded at once; one more waits.
    told
        As for `copy_from_source`.

    Returns
    -------
    Summary
        Summary of the written voxels.
    """
    kernels.check_mode(mode, parent.dtype)
    write_chunk = child.shards or child.chunks

    def write(place: Region) -> Summary:
        voxels = reduced(parent, child, place, factors, mode)
        _store(child, place, voxels)
        told(voxels.nbytes)
        return summarize(voxels, checksum(voxels, place, write_chunk, child.shape))

    shape = sub_block(child.chunks, write_chunk, child.dtype)
    sub_blocks = regions(region or whole(child.shape), shape)
    return merge(for_each(write, sub_blocks, threads=threads + 1))


def _store(array: ZarrArray, region: Region, voxels: np.ndarray) -> None:
    """Write voxels; StoreError if this fails, for example because the disk is full."""
    try:
        array.store(region, voxels)
    except (OSError, ValueError) as error:  # TensorStore raises ValueError for every failure.
        raise StoreError(
            f"{array.store_path}: voxels cannot be written ({reason(error)}). {REMEDY}"
        ) from error


def reduced(
    parent: ZarrArray,
    child: ZarrArray,
    region: Region,
    factors: Sequence[int],
    mode: kernels.Mode,
) -> np.ndarray:
    """Voxels of a region of a level, downsampled from its parent level; nothing is written.

    Parameters
    ----------
    parent, child
        The parent level, and the level.
    region
        The region of the child.
    factors
        Downsampling factor of each axis.
    mode
        How a window of voxels becomes one (see `neurozarr.voxels.kernels.downsample`).
    """
    voxels = np.empty([side.stop - side.start for side in region], child.dtype)
    # Small regions of the parent level at a time, so that each reuses the memory of the last.
    at_once = downsampled_sub_block(parent.chunks, factors, parent.dtype)
    for inner in regions(whole(voxels.shape), at_once):
        above = parent[parent_region(shifted(inner, region), factors, parent.shape)]
        voxels[inner] = kernels.downsample(above, factors, mode, edge="keep")
    return voxels
