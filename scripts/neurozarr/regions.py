"""Boxes of voxels: regions of an array, and how they divide it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

Region = tuple[slice, ...]


def grid(shape: Sequence[int], box: Sequence[int]) -> tuple[int, ...]:
    """How many boxes there are along each axis."""
    return tuple(-(-length // size) for length, size in zip(shape, box, strict=True))


def whole(shape: Sequence[int]) -> Region:
    """All of an array."""
    return tuple(slice(0, length) for length in shape)


def regions(region: Region, box: Sequence[int]) -> Iterator[Region]:
    """The boxes of shape ``box`` (cut at the far edges) that tile a region, in C order."""
    shape = [side.stop - side.start for side in region]
    for index in itertools.product(*map(range, grid(shape, box))):
        yield tuple(
            slice(side.start + i * size, min(side.start + (i + 1) * size, side.stop))
            for side, i, size in zip(region, index, box, strict=True)
        )


def regions_of_grid(region: Region, box: Sequence[int]) -> Iterator[Region]:
    """The boxes of shape ``box`` that tile an array from its start, as far as they are in a region.

    In C order.
    """
    started = tuple(
        slice(side.start // size * size, side.stop) for side, size in zip(region, box, strict=True)
    )
    for part in regions(started, box):
        yield tuple(
            slice(max(inner.start, side.start), inner.stop)
            for inner, side in zip(part, region, strict=True)
        )


def regions_in_order(
    region: Region, box: Sequence[int], axes: str, file_axes: str
) -> Iterator[Region]:
    """The boxes of `regions`, in the order in which a source holds them: see `row_of_units`."""
    order = [axes.index(axis) for axis in file_axes]
    for part in regions(tuple(region[i] for i in order), [box[i] for i in order]):
        yield tuple(part[order.index(i)] for i in range(len(order)))


def shifted(inner: Region, outer: Region) -> Region:
    """A region that is given from the start of another one, from the start of the array."""
    return tuple(
        slice(side.start + part.start, side.start + part.stop)
        for side, part in zip(outer, inner, strict=True)
    )


def factors(parent: Sequence[int], child: Sequence[int]) -> tuple[int, ...]:
    """2 for every axis that is halved from one shape to the next, 1 for the others.

    Raises
    ------
    ValueError
        The shapes are not those of two successive levels.
    """
    steps = tuple(1 if c == p else 2 for p, c in zip(parent, child, strict=True))
    if any(c != p // step for p, c, step in zip(parent, child, steps, strict=True)):
        raise ValueError(
            f"a level of shape {tuple(child)} is not half of one of shape {tuple(parent)}"
        )
    return steps


def window(region: Region, steps: Sequence[int]) -> Region:
    """The region of the last level that a region of a level is made from."""
    return tuple(
        slice(side.start * step, side.stop * step) for side, step in zip(region, steps, strict=True)
    )
