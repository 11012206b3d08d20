"""Which values of an image are worth showing: the windows of its channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from neurozarr.abc import ZarrArray

Window = tuple[float, float, float, float]

#: Percentiles between which a channel is displayed.
PERCENTILES = (0.1, 99.9)
#: Size of a volume, in bytes, beyond which it is not read for its percentiles.
MOST_BYTES = 2**28


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
        channel in the last level; where that is too large to be read at once, or has no finite
        value there, the smallest and the largest again. No window is empty.
    """
    count = 1 if axis is None else coarsest.shape[axis]
    found = []
    for channel in range(count):
        index = tuple(
            slice(channel, channel + 1)
            if number == axis
            else slice(length // 2, length // 2 + 1)
            if number < coarsest.ndim - 3
            else slice(None)
            for number, length in enumerate(coarsest.shape)
        )
        start, end = least, most
        if np.prod(coarsest.shape[-3:]) * coarsest.dtype.itemsize <= MOST_BYTES:
            values = coarsest[index].ravel()
            values = values[np.isfinite(values)]
            if values.size:
                low, high = np.percentile(values, PERCENTILES, method="nearest")
                start, end = float(low), float(high)
        if start >= end:
            start, end = least, most
        if start >= end:
            end = start + 1
        found.append((float(least), float(max(most, end)), start, end))
    return found
