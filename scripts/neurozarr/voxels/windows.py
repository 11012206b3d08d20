"""OMERO display window of each channel of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurozarr.plan.slabs import read_shape
from neurozarr.regions import Region, regions

if TYPE_CHECKING:
    from neurozarr.zarr.abc import ZarrArray

Window = tuple[float, float, float, float]

#: Percentiles of a channel at which its display window starts and ends.
PERCENTILES = (0.1, 99.9)
#: Largest volume that is read for its percentiles, in bytes.
MAX_BYTES = 2**28
#: Number of values that are counted at once, and number of bits that they are sorted by.
_COUNTED = 2**18
_DIGIT = 16


def windows(coarsest: ZarrArray, axis: int | None, least: float, most: float) -> list[Window]:
    """OMERO display window (min, max, start, end) of each channel.

    Parameters
    ----------
    coarsest
        The coarsest level of the image. If it is a time series, its middle volume is read.
    axis
        Index of the channel axis; None if there is none.
    least, most
        Smallest and largest finite value of the whole image.

    Returns
    -------
    list
        For each channel: the smallest and the largest value of the image, and the `PERCENTILES` of
        the channel in the coarsest level. If this level is larger than `MAX_BYTES`, or the channel
        has no finite values in it, start and end are the smallest and the largest value instead.
        No window is empty.
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
        if np.prod(coarsest.shape[-3:]) * coarsest.dtype.itemsize <= MAX_BYTES:
            start, end = percentiles(coarsest, region) or (least, most)
        if start >= end:
            start, end = least, most
        if start >= end:
            end = start + 1
        found.append((float(least), float(max(most, end)), start, end))
    return found


def percentiles(array: ZarrArray, region: Region) -> tuple[float, float] | None:
    """The `PERCENTILES` of the finite values in a region; None if it has no finite values.

    The result is that of `numpy.percentile` with method "nearest", but only a few chunks are in
    memory at a time: the region is read once for every 16 bits of the dtype.
    """
    shape = [side.stop - side.start for side in region]
    at_once = read_shape(shape, array.chunks, array.dtype)
    dtype = array.dtype.newbyteorder("=")

    def keys() -> Iterator[np.ndarray]:
        for inner in regions(region, at_once):
            values = np.ascontiguousarray(array[inner], dtype).ravel()
            for start in range(0, values.size, _COUNTED):
                yield _keys(values[start : start + _COUNTED])

    found = _select(keys, 8 * dtype.itemsize, np.true_divide(PERCENTILES, 100))
    # Adding 0.0 turns -0.0 into 0.0.
    low_high = [float(_value(key, dtype)) + 0.0 for key in found]
    return (low_high[0], low_high[1]) if found else None


def _select(
    keys: Callable[[], Iterable[np.ndarray]], bits: int, quantiles: Sequence[float] | np.ndarray
) -> list[int]:
    """The quantiles of unsigned integers, by radix selection; an empty list without integers.

    The digits of each quantile, of `_DIGIT` bits, are found from the highest to the lowest: each by
    a histogram of this digit of the integers whose higher digits are those already found.

    Parameters
    ----------
    keys
        Function that returns an iterable over arrays of the integers; called once for each digit.
    bits
        Number of bits of the integers.
    quantiles
        Quantiles, from 0 to 1.
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
    """Unsigned integers in the same order as the finite values; other values are left out."""
    size = values.dtype.itemsize
    sign = 1 << (8 * size - 1)
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
        # Larger negative floats have smaller bit patterns, so all of their bits are inverted.
        negative = (values.view(f"i{size}") >> (8 * size - 1)).view(f"u{size}")
        return values.view(f"u{size}") ^ (negative | sign)
    unsigned = values.view(f"u{size}")
    return unsigned ^ sign if values.dtype.kind == "i" else unsigned


def _value(key: int, dtype: np.dtype[Any]) -> Any:
    """The value of an integer that `_keys` returned."""
    bits = 8 * dtype.itemsize
    sign = 1 << (bits - 1)
    if dtype.kind == "f" and not key & sign:
        key ^= 2**bits - 1
    elif dtype.kind in "fi":
        key ^= sign
    return np.array(key, f"u{dtype.itemsize}").view(dtype)[()]
