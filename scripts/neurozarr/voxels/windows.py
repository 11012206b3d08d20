"""Which values of an image are worth showing: the windows of its channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurozarr.plan.slabs import piece
from neurozarr.regions import Region, regions

if TYPE_CHECKING:
    from neurozarr.zarr.abc import ZarrArray

Window = tuple[float, float, float, float]

#: Percentiles between which a channel is displayed.
PERCENTILES = (0.1, 99.9)
#: Size of a volume, in bytes, beyond which it is not read for its percentiles.
MOST_BYTES = 2**28
#: How many values are counted at once, and by how many of their bits.
_COUNTED = 2**18
_DIGIT = 16


def windows(coarsest: ZarrArray, axis: int | None, least: float, most: float) -> list[Window]:
    """Minimum, maximum, start and end of the values of each channel.

    Parameters
    ----------
    coarsest
        The last level of the image. Its middle volume, in time, is looked at.
    axis
        Index of the channels among its axes; None where there are none.
    least, most
        Smallest and largest finite value of the whole image.

    Returns
    -------
    list
        One for each channel: smallest and largest value of the image, and the percentiles of the
        channel in the last level; where that is too large to be read, or has no finite value there,
        the smallest and the largest again. No window is empty.
    """
    count = 1 if axis is None else coarsest.shape[axis]
    found = []
    for channel in range(count):
        region = tuple(
            slice(channel, channel + 1)
            if number == axis
            else slice(length // 2, length // 2 + 1)
            if number < coarsest.ndim - 3
            else slice(0, length)
            for number, length in enumerate(coarsest.shape)
        )
        start, end = least, most
        if np.prod(coarsest.shape[-3:]) * coarsest.dtype.itemsize <= MOST_BYTES:
            start, end = percentiles(coarsest, region) or (least, most)
        if start >= end:
            start, end = least, most
        if start >= end:
            end = start + 1
        found.append((float(least), float(max(most, end)), start, end))
    return found


def percentiles(array: ZarrArray, region: Region) -> tuple[float, float] | None:
    """The `PERCENTILES` of the finite values in a region; None where there are none.

    They are those of np.percentile with method "nearest", but a few chunks are held at a time: the
    region is read once for every 16 bits of a value.
    """
    shape = [side.stop - side.start for side in region]
    box = piece(shape, array.chunks, array.dtype)
    dtype = array.dtype.newbyteorder("=")

    def keys() -> Iterator[np.ndarray]:
        for part in regions(region, box):
            values = np.ascontiguousarray(array[part], dtype).ravel()
            for start in range(0, values.size, _COUNTED):
                yield _keys(values[start : start + _COUNTED])

    found = _select(keys, 8 * dtype.itemsize, np.true_divide(PERCENTILES, 100))
    # Of two zeros the one without a sign is meant.
    low_high = [float(_value(key, dtype)) + 0.0 for key in found]
    return (low_high[0], low_high[1]) if found else None


def _select(
    keys: Callable[[], Iterable[np.ndarray]], bits: int, quantiles: Sequence[float] | np.ndarray
) -> list[int]:
    """The unsigned integers, of so many bits, at the quantiles; none where there are no integers.

    Their digits are found one after the other, the highest first, each by counting those integers
    that have the same digits before it.
    """
    found = [0 for _ in quantiles]
    ranks: list[int] | None = None
    for shift in reversed(range(0, bits, _DIGIT)):
        width = min(bits, _DIGIT)
        counts = {prefix: np.zeros(2**width, np.int64) for prefix in found}
        for some in keys():
            for prefix, count in counts.items():
                alike = some if ranks is None else some[some >> (shift + width) == prefix]
                count += np.bincount((alike >> shift).astype(np.uint16), minlength=2**width)
        if ranks is None:
            total = int(counts[0].sum())
            if not total:
                return []
            ranks = np.around((total - 1) * np.asarray(quantiles)).astype(int).tolist()
        for number, (prefix, rank) in enumerate(zip(found, ranks, strict=True)):
            ends = counts[prefix].cumsum()
            digit = int(np.searchsorted(ends, rank, side="right"))
            ranks[number] -= int(ends[digit - 1]) if digit else 0
            found[number] = prefix << width | digit
    return found


def _keys(values: np.ndarray) -> np.ndarray:
    """Unsigned integers that are ordered like values; those that are not finite are left out."""
    size = values.dtype.itemsize
    sign = 1 << (8 * size - 1)
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
        # Of negative ones, all bits are turned round.
        negative = (values.view(f"i{size}") >> (8 * size - 1)).view(f"u{size}")
        return values.view(f"u{size}") ^ (negative | sign)
    unsigned = values.view(f"u{size}")
    return unsigned ^ sign if values.dtype.kind == "i" else unsigned


def _value(key: int, dtype: np.dtype[Any]) -> Any:
    """The value of a key."""
    bits = 8 * dtype.itemsize
    sign = 1 << (bits - 1)
    if dtype.kind == "f" and not key & sign:
        key ^= 2**bits - 1
    elif dtype.kind in "fi":
        key ^= sign
    return np.array(key, f"u{dtype.itemsize}").view(dtype)[()]
