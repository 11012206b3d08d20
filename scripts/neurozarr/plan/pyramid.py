"""The levels of a pyramid: their shapes and downsampling factors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from neurozarr.axes import spatial_index

Factors = int | Literal["auto"] | Sequence[Sequence[int]]
Edge = Literal["drop", "keep"]

#: Voxel sizes whose ratio is 2 within this tolerance differ by a factor of 2.
_TOLERANCE = 1e-3


class Step(NamedTuple):
    """A level and how it is made from its parent level.

    Attributes
    ----------
    shape
        Lengths of the axes, in voxels.
    factors
        Downsampling factor of each axis from the parent level, at most the length of the parent
        level; all 1 for level 0.
    """

    shape: tuple[int, ...]
    factors: tuple[int, ...]


def pyramid(
    shape: Sequence[int],
    chunks: Sequence[int],
    *,
    levels: int = -1,
    factors: Factors = 2,
    edge: Edge = "drop",
    voxel_size: Sequence[float] | None = None,
    no_pyramid_axis: int | str | None = None,
) -> list[Step]:
    """Shapes and factors of the levels of a pyramid, finest first.

    Parameters
    ----------
    shape, chunks
        Shapes of level 0 and of a chunk along the spatial axes, in voxels.
    levels
        Number of levels after level 0; -1 stops at the first level that fits in one chunk along
        every axis that can be downsampled, or at the end of a list of factors.
    factors
        2 halves all axes at every level; so do other numbers, in their own way. "auto" halves, at
        every level, those axes whose voxel is smaller than twice the smallest, until they have two
        or three voxels; there are no levels after the one of which no axis can be halved. A list
        has the factors of each axis for each level after level 0.
    edge
        Whether a window that the edge of the image cuts is dropped or kept.
    voxel_size
        Voxel size of level 0 along the axes, in any unit, for "auto"; None if they are equal.
    no_pyramid_axis
        Index or name (z, y, x) of an axis that is not downsampled.

    Raises
    ------
    ValueError
        ``levels``, ``factors``, ``edge`` or ``no_pyramid_axis`` is out of range.
    """
    ndim = len(shape)
    if levels < -1:
        raise ValueError(f"levels is {levels}; allowed: -1 (automatic) or a number of levels")
    if edge not in ("drop", "keep"):
        raise ValueError(f'edge is {edge!r}; allowed: "drop" or "keep"')
    kept = spatial_index("no_pyramid_axis", no_pyramid_axis, ndim)
    sampled = [axis for axis in range(ndim) if axis != kept]
    found = [Step(tuple(int(length) for length in shape), (1,) * ndim)]
    planned: Iterable[Sequence[int]]
    if factors == "auto":
        planned = _automatic(found[0].shape, chunks, levels, edge, voxel_size, sampled)
    elif isinstance(factors, int):
        _check_factors([[factors]], 1)
        planned = _uniform(found[0].shape, chunks, levels, edge, factors, sampled)
    else:
        planned = _listed(factors, levels, ndim, no_pyramid_axis)
    for wanted in planned:
        found.append(_next(found[-1].shape, wanted, edge))
    return found


def _next(shape: tuple[int, ...], wanted: Sequence[int], edge: Edge) -> Step:
    factors = tuple(min(f, length) for f, length in zip(wanted, shape, strict=True))
    return Step(
        tuple(_reduced(length, f, edge) for length, f in zip(shape, factors, strict=True)), factors
    )


def _reduced(length: int, factor: int, edge: Edge) -> int:
    return -(-length // factor) if edge == "keep" else length // factor


def _uniform(
    shape: tuple[int, ...],
    chunks: Sequence[int],
    levels: int,
    edge: Edge,
    factor: int,
    sampled: Sequence[int],
) -> Iterator[list[int]]:
    wanted = [factor if axis in sampled else 1 for axis in range(len(shape))]
    count = 0
    while count < levels if levels >= 0 else any(shape[axis] > chunks[axis] for axis in sampled):
        yield wanted
        shape = _next(shape, wanted, edge).shape
        count += 1


def _automatic(
    shape: tuple[int, ...],
    chunks: Sequence[int],
    levels: int,
    edge: Edge,
    voxel_size: Sequence[float] | None,
    sampled: Sequence[int],
) -> Iterator[list[int]]:
    sizes = [1.0] * len(shape) if voxel_size is None else list(map(float, voxel_size))
    for count in itertools.count():
        able = [axis for axis in sampled if _reduced(shape[axis], 2, edge) > 1]
        if not able or count == levels:
            return
        if levels < 0 and all(shape[axis] <= chunks[axis] for axis in able):
            return
        limit = 2 * min(sizes[axis] for axis in able) * (1 - _TOLERANCE)
        wanted = [2 if axis in able and sizes[axis] < limit else 1 for axis in range(len(shape))]
        yield wanted
        shape = _next(shape, wanted, edge).shape
        sizes = [size * factor for size, factor in zip(sizes, wanted, strict=True)]


def _listed(
    factors: Sequence[Sequence[int]], levels: int, ndim: int, no_pyramid_axis: int | str | None
) -> Sequence[Sequence[int]]:
    _check_factors(factors, ndim)
    if levels > len(factors):
        raise ValueError(
            f"levels is {levels}, but factors has {len(factors)} levels; give factors for each "
            "level, or -1 for as many levels as it has"
        )
    if no_pyramid_axis is not None:
        raise ValueError(
            f"no_pyramid_axis is {no_pyramid_axis}, but factors is a list; use factors of 1 for an "
            "axis that is not downsampled"
        )
    return factors[:levels] if levels >= 0 else factors


def _check_factors(factors: Sequence[Sequence[int]], ndim: int) -> None:
    if not all(
        len(level) == ndim and all(isinstance(factor, int) and factor > 0 for factor in level)
        for level in factors
    ) or any(math.prod(level) == 1 for level in factors):
        raise ValueError(
            f'factors is {factors}; allowed: "auto", a number from 2 on, or for each level a list '
            f"of a positive integer for each of {ndim} spatial axes, not all 1"
        )
