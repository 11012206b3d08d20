"""Regions of an array, and the ways to divide one into tiles of a given shape."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

Region = tuple[slice, ...]


def grid(shape: Sequence[int], tile: Sequence[int]) -> tuple[int, ...]:
    """Number of tiles of shape ``tile`` along each axis of an array; the last may be cut."""
    return tuple(-(-length // size) for length, size in zip(shape, tile, strict=True))


def whole(shape: Sequence[int]) -> Region:
    """The region that is all of an array."""
    return tuple(slice(0, length) for length in shape)


def regions(region: Region, tile: Sequence[int]) -> Iterator[Region]:
    """Tiles of shape ``tile`` (cut at the far edges) from the start of a region, in C order."""
    shape = [side.stop - side.start for side in region]
    for index in itertools.product(*map(range, grid(shape, tile))):
        yield tuple(
            slice(side.start + i * size, min(side.start + (i + 1) * size, side.stop))
            for side, i, size in zip(region, index, tile, strict=True)
        )


def regions_of_grid(region: Region, tile: Sequence[int]) -> Iterator[Region]:
    """Tiles of shape ``tile`` from the start of the array, cut to a region of it, in C order."""
    started = tuple(
        slice(side.start // size * size, side.stop) for side, size in zip(region, tile, strict=True)
    )
    for uncut in regions(started, tile):
        yield tuple(
            slice(max(inner.start, side.start), inner.stop)
            for inner, side in zip(uncut, region, strict=True)
        )


def regions_in_order(
    region: Region, tile: Sequence[int], axes: str, file_axes: str
) -> Iterator[Region]:
    """The tiles of `regions`, in the order in which a file stores them.

    Parameters
    ----------
    region, tile
        A region, and the shape of its tiles in voxels, in the order of ``axes``.
    axes, file_axes
        Names of the axes of the array, and those of the file in its order, fastest last. Axes that
        the file lacks have length 1.
    """
    lacking = [axis for axis in axes if axis not in file_axes]
    order = [axes.index(axis) for axis in (*lacking, *file_axes)]
    for found in regions(tuple(region[i] for i in order), [tile[i] for i in order]):
        yield tuple(found[order.index(i)] for i in range(len(order)))


def shifted(inner: Region, outer: Region) -> Region:
    """The region of the array that is ``inner`` when counted from the start of ``outer``."""
    return tuple(
        slice(side.start + part.start, side.start + part.stop)
        for side, part in zip(outer, inner, strict=True)
    )


def parent_region(region: Region, factors: Sequence[int], parent_shape: Sequence[int]) -> Region:
    """The region of the parent level that a region of a level is downsampled from.

    Parameters
    ----------
    region
        Region of the level.
    factors
        Downsampling factor of each axis.
    parent_shape
        Shape of the parent level, in voxels, at whose edge the last windows may be cut.
    """
    return tuple(
        slice(side.start * factor, min(side.stop * factor, length))
        for side, factor, length in zip(region, factors, parent_shape, strict=True)
    )
