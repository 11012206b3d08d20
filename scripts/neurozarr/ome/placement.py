"""Where the voxels of each level of a pyramid are: pure functions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple


class Placement(NamedTuple):
    """Where the voxels of a level are, along each axis, in voxels of level 0.

    Attributes
    ----------
    size
        Distance of neighbouring voxels.
    first
        Position of the centre of the first voxel, from that of level 0.
    """

    size: tuple[float, ...]
    first: tuple[float, ...]


def of_factors(factors: Sequence[Sequence[int]], *, centred: bool = True) -> list[Placement]:
    """Placement of each level, from the factors by which it was downsampled.

    Parameters
    ----------
    factors
        For each level, finest first: the factor of each axis from the parent level, which is 1 for
        level 0.
    centred
        Whether a voxel is at the centre of the window that it is made from. If not, it is at the
        first voxel of the window, which it is a copy of.
    """
    sizes = itertools.accumulate(
        factors, lambda size, steps: [s * step for s, step in zip(size, steps, strict=True)]
    )
    return [
        Placement(
            tuple(map(float, size)),
            tuple((s - 1) / 2 if centred else 0.0 for s in map(float, size)),
        )
        for size in sizes
    ]


def of_shapes(
    shapes: Sequence[Sequence[int]],
    aligns: Sequence[str | float],
    no_pool: int | None = None,
    factors: Sequence[Sequence[int]] | None = None,
) -> list[Placement]:
    """Placement of each level, from the shapes of all levels.

    Parameters
    ----------
    shapes
        For each level, finest first: the length of each spatial axis, in voxels.
    aligns
        For each axis: the factor by which each level is downsampled; "first" for a factor of 2 with
        voxels that are copies of the first voxel of their window; or "edge" or "center", if the
        edges or the centres of the corner voxels of all levels coincide.
    no_pool
        Index of an axis that was not downsampled.
    factors
        For each level after level 0, the factor of each axis, instead of a number in ``aligns``.

    Raises
    ------
    ValueError
        An alignment is unknown, or does not fit the shapes.
    """
    columns = []
    for axis, align in enumerate(aligns):
        lengths = [shape[axis] for shape in shapes]
        wanted = None if factors is None else [level[axis] for level in factors]
        columns.append(_along(lengths, 1 if axis == no_pool else align, wanted))
    return [
        Placement(tuple(size for size, _ in row), tuple(first for _, first in row))
        for row in zip(*columns, strict=True)
    ]


def _along(
    lengths: Sequence[int], align: Any, factors: Sequence[int] | None
) -> list[tuple[float, float]]:
    """Size and first position of each level along one axis."""
    is_number = isinstance(align, (int, float)) and not isinstance(align, bool) and align > 0
    if not (is_number or align in ("first", "edge", "center")):
        raise ValueError(
            f'pyramid_aligns has {align!r}; allowed: a downsampling factor, "first", "edge" or '
            '"center"'
        )
    found = [(1.0, 0.0)]
    for level, (parent, length) in enumerate(itertools.pairwise(lengths)):
        if length == parent:
            found.append(found[-1])
        elif align == "center" and length > 1:
            found.append(((lengths[0] - 1) / (length - 1), 0.0))
        elif align in ("edge", "center"):
            found.append((lengths[0] / length, (lengths[0] / length - 1) / 2))
        else:
            wanted = factors[level] if factors else align if is_number else 2
            factor = min(float(wanted), parent)
            if length not in (math.floor(parent / factor), math.ceil(parent / factor)):
                raise ValueError(
                    f"level {level + 1} has length {length}, and its parent level {parent}, which "
                    f"does not fit a factor of {wanted}: give pyramid_aligns or factors"
                )
            size = found[-1][0] * factor
            found.append((size, 0.0 if align == "first" else (size - 1) / 2))
    return found
