"""Streaming voxels from a source, or from one level to the next, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from neurozarr.errors import StoreError, reason
from neurozarr.plan.slabs import piece, sub_block, sub_block_below
from neurozarr.regions import (
    Region,
    factors,
    regions,
    regions_in_order,
    regions_of_grid,
    shifted,
    whole,
    window,
)
from neurozarr.voxels import kernels
from neurozarr.voxels.summary import Summary, checksum, merge, summarize
from neurozarr.voxels.threads import for_each, one_ahead

if TYPE_CHECKING:
    from neurozarr.sources import Source
    from neurozarr.zarr.abc import ZarrArray

#: A number that changes when, and only when, level 0 of a source gets other voxels than before.
COPY_VERSION = 1


def copy_from_source(
    source: Source,
    array: ZarrArray,
    *,
    region: Region | None = None,
    slab: Sequence[int] | None = None,
    threads: int = 1,
) -> Summary:
    """Copy voxels of a source into level 0.

    Parameters
    ----------
    source
        Where to read; its axes are those of the array.
    array
        Level 0, of the source's shape.
    region
        What to copy, in whole shards (chunks where there are none); None for all.
    slab
        Shape of what is read at once, in whole shards or chunks, while the last one is encoded;
        None where each thread reads what it encodes.
    threads
        How many sub-blocks are read and encoded at once; one more waits for its file, or to be
        encoded. As many more read a slab; one alone, of a source that can only be read in order.

    Returns
    -------
    Summary
        Of what was copied.
    """
    return _each_part(source, array, partial(_store, array), region, slab, threads)


def summarize_source(
    source: Source,
    array: ZarrArray,
    *,
    region: Region | None = None,
    slab: Sequence[int] | None = None,
    threads: int = 1,
) -> Summary:
    """Summarize what `copy_from_source` would copy, without writing it.

    Parameters and result are those of `copy_from_source`.
    """
    return _each_part(source, array, lambda part, voxels: None, region, slab, threads)


def _each_part(
    source: Source,
    array: ZarrArray,
    use: Callable[[Region, np.ndarray], None],
    region: Region | None,
    slab: Sequence[int] | None,
    threads: int,
) -> Summary:
    """Use the voxels of a region of a source, as level 0 has them, part by part."""
    region = region or whole(array.shape)
    unit = array.shards or array.chunks
    box = sub_block(array.chunks, unit, array.dtype)

    def parts() -> Iterator[tuple[Region, np.ndarray | None]]:
        if slab is None:
            yield from ((part, None) for part in regions(region, box))
            return
        slabs = regions_in_order(region, slab, source.axes, source.file_axes)
        for outer, voxels in one_ahead(partial(read_slab, source, threads=threads), slabs):
            for part in regions(whole(voxels.shape), (*unit[:-2], *box[-2:])):
                yield shifted(part, outer), voxels[part]

    def summary_of(item: tuple[Region, np.ndarray | None]) -> Summary:
        part, voxels = item
        voxels = np.ascontiguousarray(source.read(part) if voxels is None else voxels, array.dtype)
        use(part, voxels)
        return summarize(voxels, checksum(voxels, part, unit, array.shape))

    return merge(for_each(summary_of, parts(), threads=threads + 1))


def read_slab(source: Source, region: Region, *, threads: int) -> np.ndarray:
    """Read a region, by several threads where the source is not read in order.

    Each of them reads a box of what can only be read together, so that nothing is read twice.
    """
    if source.in_order or source.native_chunk_shape is None:
        return source.read(region)
    voxels = np.empty([side.stop - side.start for side in region], source.dtype)

    def read(part: Region) -> None:
        inner = tuple(
            slice(side.start - outer.start, side.stop - outer.start)
            for side, outer in zip(part, region, strict=True)
        )
        voxels[inner] = source.read(part)

    box = piece(source.shape, source.native_chunk_shape, source.dtype)
    for_each(read, regions_of_grid(region, box), threads=threads)
    return voxels


def downsample_level(
    parent: ZarrArray,
    child: ZarrArray,
    *,
    region: Region | None = None,
    mode: kernels.Mode = "mean",
    threads: int = 1,
) -> Summary:
    """Write voxels of a level from those of the last one.

    Parameters
    ----------
    parent, child
        Two successive levels.
    region
        What to write of the child, in whole shards (chunks where there are none); None for all.
    mode
        How a window of voxels becomes one (see `neurozarr.voxels.kernels.downsample`).
    threads
        How many sub-blocks are made at once; one more waits for its file, or to be encoded.

    Returns
    -------
    Summary
        Of what was written.
    """
    kernels.check_mode(mode, parent.dtype)
    unit = child.shards or child.chunks

    def write(part: Region) -> Summary:
        voxels = reduced(parent, child, part, mode)
        _store(child, part, voxels)
        return summarize(voxels, checksum(voxels, part, unit, child.shape))

    parts = regions(region or whole(child.shape), sub_block(child.chunks, unit, child.dtype))
    return merge(for_each(write, parts, threads=threads + 1))


def _store(array: ZarrArray, part: Region, voxels: np.ndarray) -> None:
    """Write voxels.

    Raises
    ------
    StoreError
        They cannot be: for want of room or of permission, say.
    """
    try:
        array[part] = voxels
    except (OSError, ValueError) as error:  # TensorStore has ValueErrors for everything.
        raise StoreError(
            f"{array.store_path}: voxels cannot be written ({reason(error)}). Run again when this "
            "is mended"
        ) from error


def reduced(parent: ZarrArray, child: ZarrArray, part: Region, mode: kernels.Mode) -> np.ndarray:
    """What the voxels of a part of a level are, by those of the last one."""
    steps = factors(parent.shape, child.shape)
    voxels = np.empty([side.stop - side.start for side in part], child.dtype)
    # What is read at once is as small as it can be, so that memory is used again at once.
    piece = sub_block_below(parent.chunks, steps, parent.dtype)
    for inner in regions(whole(voxels.shape), piece):
        above = parent[window(shifted(inner, part), steps)]
        voxels[inner] = kernels.downsample(above, steps, mode)
    return voxels
