"""Which regions of a source are read to estimate how its chunks are encoded: pure functions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurozarr.plan.slabs import SUB_BLOCK_BYTES, slab_shape_in_order, sub_block
from neurozarr.regions import Region, grid

#: Uncompressed size of an image, in bytes, up to which all of it is read.
WHOLE_BYTES = 2**26
#: Of larger images: most regions, their uncompressed size in bytes, and the most bytes of voxels
#: that are decoded for them, those of native chunks around them included.
MAX_REGIONS, REGION_BYTES, READ_BYTES = 128, 2**20, 2**27
#: Regions for which `READ_BYTES` must be enough: they are made thinner until it is.
MIN_REGIONS = 64
#: Uncompressed size of the planes that are a region of a stream, in bytes, unless one is larger.
PLANES_BYTES = 2**22
#: Bytes at the start of a stream among which its regions are.
PREFIX_BYTES = 2**28
#: Most regions of which the time is measured, if they are larger than the others.
MAX_TIMED = 4
#: Largest native chunk that is decoded for an estimate, in bytes.
MAX_NATIVE_BYTES = 2**28
#: Bytes of a file that are read at once, at least, wherever its voxels are not in native chunks.
RUN_BYTES = 2**14


@dataclass(frozen=True)
class Places:
    """Regions to read.

    Attributes
    ----------
    regions
        The regions, in the order in which they are read. They begin with chunks, or parts of them.
    tile
        Shape of what is encoded of them as a chunk, in voxels: a chunk, or a part of a large one.
    timed
        Larger regions, of which the speed is that of a run; none if the others are as large.
    """

    regions: tuple[Region, ...]
    tile: tuple[int, ...]
    timed: tuple[Region, ...] = ()


def places(
    shape: Sequence[int],
    chunks: Sequence[int],
    dtype: np.dtype[Any],
    axes: str,
    *,
    file_axes: str,
    native_chunk_shape: Sequence[int] | None = None,
    in_order: bool = False,
) -> Places:
    """Choose regions that are spread evenly over an image, the centre first.

    Parameters
    ----------
    shape, chunks
        Shapes of level 0 and of a chunk, in voxels.
    dtype
        Data type of the voxels.
    axes, file_axes
        Names of the axes, and those of the source in the order of its file, fastest last.
    native_chunk_shape
        Shape of a native chunk of the source, in voxels; None if it has no native chunks.
    in_order
        Whether the source can only be read from its start to its end. Then the regions are whole
        planes near its start, in the order of the file.

    Returns
    -------
    Places
        No regions if the native chunks are larger than `MAX_NATIVE_BYTES`.
    """
    reach, unit = tuple(shape), sub_block(chunks, chunks, dtype)
    run = tuple(RUN_BYTES // dtype.itemsize if axis == file_axes[-1] else 1 for axis in axes)
    native = native_chunk_shape or run
    if math.prod(map(min, native, shape)) * dtype.itemsize > MAX_NATIVE_BYTES:
        return Places((), tuple(map(min, chunks, unit)))
    is_small = math.prod(shape) * dtype.itemsize <= WHOLE_BYTES
    timed: tuple[Region, ...] = ()
    if in_order:
        native = (1,) * len(shape)
        most = math.inf if is_small else PLANES_BYTES / dtype.itemsize
        reach = _prefix(shape, axes, file_axes, PREFIX_BYTES / dtype.itemsize)
        unit = _planes(reach, unit, axes, file_axes, most)
    elif is_small:
        unit = tuple(-(-min(n, s) // u) * u for n, s, u in zip(native, shape, unit, strict=True))
    else:
        large = _thinner(shape, _cut(unit, SUB_BLOCK_BYTES, dtype), native, MAX_TIMED, dtype)
        timed = _regions(_spread(grid(shape, large)), large, shape, MAX_TIMED)
        unit = _thinner(shape, _cut(unit, REGION_BYTES, dtype), native, MIN_REGIONS, dtype)
    counts = grid(reach, unit)
    chosen = _regions(_spread(counts), unit, reach, math.prod(counts) if is_small else MAX_REGIONS)
    decoded = itertools.accumulate(
        _decoded(region, shape, native) * dtype.itemsize for region in chosen
    )
    found = [
        region
        for number, (region, size) in enumerate(zip(chosen, decoded, strict=True))
        if is_small or not number or size <= READ_BYTES
    ]
    if in_order:
        order = [axes.index(axis) for axis in file_axes]
        found.sort(key=lambda region: [region[axis].start for axis in order])
    return Places(tuple(found), tuple(map(min, chunks, unit)), timed)


def _regions(
    cells: Iterable[Sequence[int]], unit: Sequence[int], shape: Sequence[int], most: int
) -> tuple[Region, ...]:
    """Regions of the first cells of a grid, cut at the edges of an array."""
    return tuple(
        tuple(
            slice(i * size, min((i + 1) * size, length))
            for i, size, length in zip(index, unit, shape, strict=True)
        )
        for index in itertools.islice(cells, most)
    )


def _cut(unit: Sequence[int], most: int, dtype: np.dtype[Any]) -> tuple[int, ...]:
    """A part of a region, of at most so many bytes."""
    size = list(unit)
    while math.prod(size) * dtype.itemsize > most:
        longest = size.index(max(size))
        size[longest] = -(-size[longest] // 2)
    return tuple(size)


def _thinner(
    shape: Sequence[int],
    unit: Sequence[int],
    native: Sequence[int],
    regions: int,
    dtype: np.dtype[Any],
) -> tuple[int, ...]:
    """Fewer native chunks, but more of each, if too many would be decoded for some regions."""
    size, most = list(unit), math.prod(unit)
    while True:
        region = tuple(slice(0, min(s, length)) for s, length in zip(size, shape, strict=True))
        thick = [s / n if s > n else 0 for s, n in zip(size, native, strict=True)]
        decoded = _decoded(region, shape, native) * dtype.itemsize
        if regions * decoded <= READ_BYTES or not any(thick):
            break
        axis = thick.index(max(thick))
        size[axis] = -(-size[axis] // 2)
    while growing := [
        axis
        for axis, (s, n, length) in enumerate(zip(size, native, shape, strict=True))
        if s < min(n, length)
    ]:
        axis = min(growing, key=lambda axis: size[axis])
        if 2 * math.prod(size) > most:
            break
        size[axis] *= 2
    return tuple(size)


def _decoded(region: Region, shape: Sequence[int], native: Sequence[int]) -> int:
    """Number of voxels of the native chunks that a region overlaps with."""
    return math.prod(
        min(-(-side.stop // size) * size, length) - side.start // size * size
        for side, size, length in zip(region, native, shape, strict=True)
    )


def _prefix(shape: Sequence[int], axes: str, in_order: str, voxels: float) -> tuple[int, ...]:
    """Shape of the first voxels of a stream, as a box with all of its faster axes."""
    reach, inner = list(shape), math.prod(shape)
    for axis in map(axes.index, in_order):
        inner //= reach[axis]
        if (count := int(voxels // inner)) >= 1:
            reach[axis] = min(reach[axis], count)
            break
        reach[axis] = 1
    return tuple(reach)


def _planes(
    reach: Sequence[int], unit: Sequence[int], axes: str, in_order: str, most: float
) -> tuple[int, ...]:
    """Whole planes of a stream, as thick as a unit, unless these are too many voxels."""
    planes = list(slab_shape_in_order(reach, unit, axes, in_order))
    first = [axis for axis in in_order if axis in "zyx"][-2]
    slow = [i for i, axis in enumerate(axes) if axis not in in_order[in_order.index(first) :]]
    while math.prod(planes) > most:
        axis = max(slow, key=lambda axis: planes[axis])
        if planes[axis] == 1:
            break
        planes[axis] = -(-planes[axis] // 2)
    return tuple(planes)


def _spread(counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Each cell of a grid once: the middle one first, and any number of them spread evenly.

    They are those of an additive recurrence in as many dimensions, whose constants are powers of
    the root of x^(d+1) = x + 1 (Roberts, "The unreasonable effectiveness of quasirandom sequences",
    2018). Of a grid with few cells, these are all there are, in this order.
    """
    axes = [axis for axis, count in enumerate(counts) if count > 1]
    root = 2.0
    for _ in range(40):
        root = (1 + root) ** (1 / (len(axes) + 1))
    total, seen = math.prod(counts), set[tuple[int, ...]]()
    number = 0
    while len(seen) < total:
        index = [0] * len(counts)
        for place, axis in enumerate(axes, 1):
            index[axis] = int((0.5 + number * root**-place) % 1 * counts[axis])
        number += 1
        if tuple(index) not in seen:
            seen.add(tuple(index))
            yield tuple(index)
