"""Kernels that downsample voxels, from a level to the next coarser one.

A kernel gets an array whose length along every axis is a multiple of the factor of that axis. Its
strided views hold the first, second … voxel of each window, the voxels that become one. Factors of
2, which pyramids usually have, are computed by pairs. Kernels work on a few planes at a time, so
that intermediate results stay in the processor's cache.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np

Kernel = Callable[[np.ndarray, tuple[int, ...]], np.ndarray]
#: The name of a kernel, or a function that reduces the axes it is given: ``f(array, axis=tuple)``.
Mode = str | Callable[..., Any]

#: Version of each kernel; increased if, and only if, its results change: levels that an older
#: version made are then made again.
KERNEL_VERSIONS = {"mean": 1, "median": 1, "mode": 1, "stride": 1}

#: Number of downsampled planes, along the first spatial axis, that a kernel computes at a time.
PLANES = 16


def check_mode(mode: Mode, dtype: np.dtype[Any]) -> None:
    """Raise a ValueError if a mode is unknown, or not defined for a dtype."""
    if callable(mode):
        return
    if mode not in KINDS:
        raise ValueError(f"mode is {mode!r}; allowed: {', '.join(KINDS)}, or a function")
    if dtype.kind not in KINDS[mode]:
        able = [name for name, kinds in KINDS.items() if dtype.kind in kinds]
        raise ValueError(
            f"mode is {mode!r}, which is not defined for dtype {dtype}; allowed: {', '.join(able)}"
        )


def downsample(
    voxels: np.ndarray,
    steps: Sequence[int],
    mode: Mode = "mean",
    *,
    edge: Literal["drop", "keep"] = "drop",
) -> np.ndarray:
    """Downsample voxels along some axes.

    Parameters
    ----------
    voxels
        Array of any shape, in native byte order.
    steps
        Downsampling factor of each axis.
    mode
        "mean" ignores NaN, and rounds integers to the nearest, ties to even; "median" ignores NaN,
        and is the mean of the two middle values, rounded likewise; "mode" is the most frequent
        value, or the smallest of several such values; "stride" is the first value; or a function
        ``f(array, axis=tuple)``, whose result is rounded likewise if the voxels are integers.
    edge
        Whether a window that the far edge of the array cuts is left out ("drop"), or reduced like
        the others, from the voxels that it has ("keep").

    Returns
    -------
    numpy.ndarray
        The downsampled voxels, of the same dtype.

    Raises
    ------
    ValueError
        The mode is unknown, or not defined for the dtype.
    """
    check_mode(mode, voxels.dtype)
    whole = tuple(length // step for length, step in zip(voxels.shape, steps, strict=True))
    rests = [length % step for length, step in zip(voxels.shape, steps, strict=True)]
    if edge == "drop" or not any(rests):
        return _downsample(voxels, whole, tuple(steps), mode)
    shape = [count + (rest > 0) for count, rest in zip(whole, rests, strict=True)]
    result = np.empty(shape, voxels.dtype)
    # Along each axis, the whole windows are one part, and the window that is cut is another.
    parts = [
        [(slice(0, count), slice(0, count * step), step)] * (count > 0)
        + [(slice(count, None), slice(count * step, None), rest)] * (rest > 0)
        for count, step, rest in zip(whole, steps, rests, strict=True)
    ]
    for part in itertools.product(*parts):
        places, sides, own = zip(*part, strict=True)
        inner = voxels[sides]
        counts = tuple(length // step for length, step in zip(inner.shape, own, strict=True))
        result[places] = _downsample(inner, counts, own, mode)
    return result


def _downsample(
    voxels: np.ndarray, shape: tuple[int, ...], steps: tuple[int, ...], mode: Mode
) -> np.ndarray:
    """Downsample whole windows to a given shape."""
    kernel = (lambda planes, s: _reduce(planes, s, mode)) if callable(mode) else _KERNELS[mode]
    voxels = voxels[tuple(slice(n * step) for n, step in zip(shape, steps, strict=True))]
    if set(steps) == {1} or 0 in shape:
        return voxels.copy() if voxels.shape == shape else np.empty(shape, voxels.dtype)
    result = np.empty(shape, voxels.dtype)
    axis = max(voxels.ndim - 3, 0)
    for start in range(0, shape[axis], PLANES):
        inner = (slice(None),) * axis
        planes = voxels[(*inner, slice(start * steps[axis], (start + PLANES) * steps[axis]))]
        result[(*inner, slice(start, start + PLANES))] = kernel(planes, steps)
    return result


def _windows(voxels: np.ndarray, steps: tuple[int, ...]) -> list[np.ndarray]:
    """Views of the first, second … voxel of every window."""
    offsets = itertools.product(*(range(step) for step in steps))
    return [
        voxels[tuple(slice(o, None, step) for o, step in zip(offset, steps, strict=True))]
        for offset in offsets
    ]


def _stride(voxels: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    return voxels[tuple(slice(None, None, step) for step in steps)]


def _mean(voxels: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    kind, itemsize = voxels.dtype.kind, voxels.dtype.itemsize
    if kind not in "iu":
        return _float_mean(voxels, steps)
    count = math.prod(steps)
    if itemsize < 8:
        # Sums of up to 16 bits fit in 32 bits, if there are at most 2 to the power of 15 of them.
        wide = f"{kind}{4 if itemsize < 4 and count <= 2**15 else 8}"
        return _rounded(_sum(voxels, steps, np.dtype(wide)), count).astype(voxels.dtype)
    # Sums of 64-bit integers may overflow: add up quotients and remainders instead.
    if count & (count - 1):
        quotients, remainders = np.divmod(voxels, voxels.dtype.type(count))
    else:
        quotients, remainders = voxels >> (count.bit_length() - 1), voxels & (count - 1)
    quotient = _sum(quotients, steps, voxels.dtype)
    remainder = _sum(remainders, steps, voxels.dtype)
    return quotient + _rounded(remainder, count, quotient & 1)


def _sum(voxels: np.ndarray, steps: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Sum of every window, in ``dtype``: along one axis after the other."""
    total = voxels
    for axis, step in enumerate(steps):
        if step > 1:
            inner = (slice(None),) * axis
            first, second, *others = (
                total[(*inner, slice(start, None, step))] for start in range(step)
            )
            total = np.add(first, second, dtype=dtype)
            for other in others:
                total += other
    return total


def _rounded(total: np.ndarray, count: int, parity: np.ndarray | int = 0) -> np.ndarray:
    """``total / count`` rounded to the nearest integer, ties to even.

    ``parity`` is the parity of an integer to which the result will be added.
    """
    if count & (count - 1):
        quotient, remainder = np.divmod(total, total.dtype.type(count))
        twice = 2 * remainder
        up = (twice > count) | ((twice == count) & ((quotient + parity) & 1 == 1))
        return quotient + up.astype(total.dtype)
    shift = count.bit_length() - 1
    quotient = total >> shift
    odd = (quotient + parity) & 1
    # Adding just under a half rounds ties down; adding the parity as well makes odd ones go up.
    return (total + ((1 << (shift - 1)) - 1) + odd) >> shift


def _float_mean(voxels: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    wide, count = _wide(voxels.dtype), math.prod(steps)
    power = 1 << (count - 1).bit_length()
    # Dividing by a power of two is exact; before the sum, it prevents an overflow.
    with np.errstate(invalid="ignore", over="ignore"):
        mean = _sum(np.multiply(voxels, 1 / power, dtype=wide), steps, wide)
        mean = (mean if power == count else mean / wide.type(count / power)).astype(voxels.dtype)
    return _redo_nan(mean, voxels, steps, np.nanmean)


def _median(voxels: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    ordered = _sorted(_windows(voxels, steps))
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    if voxels.dtype.kind in "iu":
        # low + (high - low) / 2, rounded to even; the difference fits in the unsigned type.
        unsigned = np.dtype(f"u{voxels.dtype.itemsize}")
        gap = high.view(unsigned) - low.view(unsigned)
        half = gap >> 1
        half += gap & (low.view(unsigned) + half) & 1
        return (low.view(unsigned) + half).view(voxels.dtype)
    wide = _wide(voxels.dtype)
    with np.errstate(invalid="ignore"):
        median = low.astype(wide) / 2 + high.astype(wide) / 2
    return _redo_nan(median.astype(voxels.dtype), voxels, steps, np.nanmedian)


def _mode(voxels: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    views = _windows(voxels, steps)
    result = views[0].copy()
    mixed = np.zeros(result.shape, bool)
    for view in views[1:]:
        mixed |= view != result
    if mixed.any():
        result[mixed] = _most_frequent(np.sort([view[mixed] for view in views], axis=0))
    return result


def _most_frequent(ordered: np.ndarray) -> np.ndarray:
    """The most frequent value along the first axis, or the smallest of several such values.

    The values must be sorted along this axis. All NaN, which are last, count as the same value.
    """
    best, most = ordered[0].copy(), np.ones(ordered.shape[1:], np.uint16)
    run = most.copy()
    for previous, value in itertools.pairwise(ordered):
        same = (value == previous) | ((value != value) & (previous != previous))
        run = np.where(same, run + 1, 1).astype(np.uint16)
        np.copyto(best, value, where=run > most)
        np.maximum(most, run, out=most)
    return best


def _sorted(views: list[np.ndarray]) -> list[np.ndarray]:
    """Sort the values of every window; if one of them is NaN, all become NaN."""
    wires = list(views)
    for low, high in _sorting_network(len(views)):
        a, b = wires[low], wires[high]
        wires[low], wires[high] = np.minimum(a, b), np.maximum(a, b)
    return wires


@cache
def _sorting_network(count: int) -> list[tuple[int, int]]:
    """Pairs of values to compare and swap, in order.

    Batcher's odd-even merge sort: 1, 5 and 19 pairs for 2, 4 and 8 values. For a number that is not
    a power of two, it is that of the next one, without the values that are missing at its end.
    """
    powers = [2**n for n in range((count - 1).bit_length())]
    return [
        (low, low + gap)
        for merged in powers
        for gap in reversed(powers[: powers.index(merged) + 1])
        for start in range(gap % merged, count - gap, 2 * gap)
        for low in range(start, min(start + gap, count - gap))
        if low // (2 * merged) == (low + gap) // (2 * merged)
    ]


def _redo_nan(
    result: np.ndarray, voxels: np.ndarray, steps: tuple[int, ...], reduce: Callable[..., Any]
) -> np.ndarray:
    """Compute again, without NaN, the results that are NaN but have other values too."""
    cells = np.isnan(result)
    if cells.any():
        values = np.stack([view[cells] for view in _windows(voxels, steps)])
        some = ~np.isnan(values).all(axis=0)
        cells[cells] = some
        with np.errstate(invalid="ignore"):
            result[cells] = reduce(values[:, some].astype(_wide(voxels.dtype)), axis=0)
    return result


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Data type to compute in: float16 is too narrow for sums and halves."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def _reduce(voxels: np.ndarray, steps: tuple[int, ...], function: Callable[..., Any]) -> np.ndarray:
    pairs = [(length // step, step) for length, step in zip(voxels.shape, steps, strict=True)]
    windows = voxels.reshape([length for pair in pairs for length in pair])
    result = np.asarray(function(windows, axis=tuple(range(1, windows.ndim, 2))))
    if voxels.dtype.kind in "iu" and result.dtype.kind == "f":
        result = np.rint(result)
    return result.astype(voxels.dtype)


_KERNELS: dict[str, Kernel] = {"mean": _mean, "median": _median, "mode": _mode, "stride": _stride}

#: NumPy kinds of dtype for which each mode is defined.
KINDS = {"mean": "iufc", "median": "iuf", "mode": "biuf", "stride": "biufc"}
