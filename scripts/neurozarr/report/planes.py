"""Which part of a plane is read and shown, so that a report takes seconds, whatever the volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from neurozarr.regions import Region
from neurozarr.report.views import View

#: Longest side of a level that is shown as a whole, and of what is shown of others, in voxels.
MAX_SIDE, WINDOW = 512, 256
#: Most bytes of chunks that are decoded for one picture.
MAX_BYTES = 2**28


@dataclass(frozen=True, kw_only=True)
class Plane:
    """A plane through the centre of a level, or the part of it that is shown.

    Attributes
    ----------
    region
        What is shown, along z, y and x.
    is_whole
        Whether this is the whole plane.
    """

    region: Region
    is_whole: bool


def central_plane(
    view: View,
    shape: Sequence[int],
    chunks: Sequence[int],
    itemsize: int,
    size: Sequence[float] = (1, 1, 1),
) -> Plane | None:
    """The part of the plane through the centre of a level that is shown.

    Parameters
    ----------
    view
        The direction of the plane.
    shape, chunks
        Shape of the level and of its chunks along z, y and x, in voxels.
    itemsize
        Bytes of a voxel, with all its channels.
    size
        Voxel size along z, y and x, in any unit.

    Returns
    -------
    Plane or None
        The whole plane, if no side of the level is longer than `MAX_SIDE`; otherwise a part around
        the centre that has `WINDOW` voxels where voxels are smallest, and is as long in all
        directions. None if more than `MAX_BYTES` of chunks would have to be decoded for it.
    """
    middle = [length // 2 for length in shape]
    whole = tuple(slice(0, length) for length in shape)
    most = [max(1, round(WINDOW * min(size) / step)) for step in size]
    starts = [max(0, (length - count) // 2) for length, count in zip(shape, most, strict=True)]
    cropped = tuple(
        slice(start, min(length, start + count))
        for start, length, count in zip(starts, shape, most, strict=True)
    )
    is_small = max(shape) <= MAX_SIDE
    for is_whole, sides in ((True, whole), (False, cropped)):
        if is_whole and not is_small:
            continue
        region = tuple(
            slice(middle[axis], middle[axis] + 1) if axis == view.normal else side
            for axis, side in enumerate(sides)
        )
        if decoded_bytes(region, chunks, itemsize) <= MAX_BYTES:
            return Plane(region=region, is_whole=is_whole or sides == whole)
    return None


def decoded_bytes(region: Region, chunks: Sequence[int], itemsize: int) -> int:
    """Size of the chunks that a region touches, uncompressed, in bytes."""
    counts = (
        (side.stop - 1) // chunk - side.start // chunk + 1
        for side, chunk in zip(region, chunks, strict=True)
    )
    return math.prod(counts) * math.prod(chunks) * itemsize


def spread(length: int, count: int) -> list[int]:
    """Indices of at most ``count`` planes at even distances along an axis."""
    count = min(length, count)
    return [(2 * number + 1) * length // (2 * count) for number in range(count)]


def round_length(longest: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is at most a length, for a scale bar."""
    power = 10.0 ** math.floor(math.log10(longest))
    return next(step * power for step in (5, 2, 1) if step * power <= longest * (1 + 1e-9))
