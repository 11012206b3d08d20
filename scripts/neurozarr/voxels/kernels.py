"""Downsampling by two: the kernels that make the voxels of one level from those of the last.

A kernel gets a block whose length is even along every axis that is halved, and sees each window of
2, 4, 8 … voxels as as many strided views. All of them work on a few planes at a time, so that what
is in between stays in the processor's cache.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

Kernel = Callable[[np.ndarray, tuple[int, ...]], np.ndarray]
#: The name of a kernel, or a function that reduces the axes it is given: ``f(array, axis=tuple)``.
Mode = str | Callable[..., Any]

#: For each kernel, a number that changes when, and only when, it gives other voxels than before:
#: what was made by an older one is made again.
KERNEL_VERSIONS = {"mean": 1, "median": 1, "mode": 1, "stride": 1}

#: Planes of the first spatial axis that a kernel gets at a time.
SLAB = 16


def check_mode(mode: Mode, dtype: np.dtype[Any]) -> None:
    """Raise a ValueError where a mode is unknown, or not defined for a dtype."""
    if callable(mode):
        return
    if mode not in KINDS:
        raise ValueError(f"mode is {mode!r}; allowed: {', '.join(KINDS)}, or a function")
    if dtype.kind not in KINDS[mode]:
        able = [name for name, kinds in KINDS.items() if dtype.kind in kinds]
        raise ValueError(
            f"mode is {mode!r}, which is not defined for dtype {dtype}; allowed: {', '.join(able)}"
        )


def downsample(block: np.ndarray, steps: Sequence[int], mode: Mode = "mean") -> np.ndarray:
    """Reduce a block by 2 along some of its axes.

    Parameters
    ----------
    block
        Voxels, of any shape and native byte order.
    steps
        1 or 2 for every axis: how many voxels become one. An odd last plane is dropped.
    mode
        "mean" ignores NaN, and rounds integers to the nearest, ties to even; "median" ignores NaN,
        and is the mean of the two middle values, rounded likewise; "mode" is the most frequent
        value, the smallest of several; "stride" is the first; or a function
        ``f(array, axis=tuple)``, whose result is rounded likewise where integers are asked for.

    Returns
    -------
    numpy.ndarray
        The reduced block, of the block's dtype.

    Raises
    ------
    ValueError
        The mode is unknown, or not defined for the dtype.
    """
    check_mode(mode, block.dtype)
    steps = tuple(steps)
    kernel = (lambda slab, s: _reduce(slab, s, mode)) if callable(mode) else _KERNELS[mode]
    shape = tuple(length // step for length, step in zip(block.shape, steps, strict=True))
    block = block[tuple(slice(n * step) for n, step in zip(shape, steps, strict=True))]
    if 2 not in steps or 0 in shape:
        return block.copy() if block.shape == shape else np.empty(shape, block.dtype)
    result = np.empty(shape, block.dtype)
    axis = max(block.ndim - 3, 0)
    for start in range(0, shape[axis], SLAB):
        inner = (slice(None),) * axis
        slab = block[(*inner, slice(start * steps[axis], (start + SLAB) * steps[axis]))]
        result[(*inner, slice(start, start + SLAB))] = kernel(slab, steps)
    return result


def _windows(block: np.ndarray, steps: tuple[int, ...]) -> list[np.ndarray]:
    """The first, second, … voxel of every window, each as a view."""
    offsets = itertools.product(*(range(step) for step in steps))
    return [
        block[tuple(slice(o, None, step) for o, step in zip(offset, steps, strict=True))]
        for offset in offsets
    ]


def _stride(block: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    return block[tuple(slice(None, None, step) for step in steps)]


def _mean(block: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    kind, itemsize = block.dtype.kind, block.dtype.itemsize
    if kind not in "iu":
        return _float_mean(block, steps)
    shift = steps.count(2)
    if itemsize < 8:
        wide = f"{kind}{4 if itemsize < 4 else 8}"
        return _round_shift(_sum(block, steps, np.dtype(wide)), shift).astype(block.dtype)
    # Sums of 64-bit integers overflow: add up quotients and remainders instead.
    quotient = _sum(block >> shift, steps, block.dtype)
    remainder = _sum(block & ((1 << shift) - 1), steps, block.dtype)
    return quotient + _round_shift(remainder, shift, quotient & 1)


def _sum(block: np.ndarray, steps: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Sum of every window, in ``dtype``, pair by pair along one axis after the other."""
    total = block
    for axis, step in enumerate(steps):
        if step == 2:
            inner = (slice(None),) * axis
            even, odd = total[(*inner, slice(0, None, 2))], total[(*inner, slice(1, None, 2))]
            total = np.add(even, odd, dtype=dtype)
    return total


def _round_shift(total: np.ndarray, shift: int, parity: np.ndarray | int = 0) -> np.ndarray:
    """``total / 2**shift`` rounded to the nearest integer, ties to even.

    ``parity`` is the parity of an integer that the result will be added to.
    """
    quotient = total >> shift
    odd = (quotient + parity) & 1
    # Adding just under a half rounds ties down; adding the parity as well makes odd ones go up.
    return (total + ((1 << (shift - 1)) - 1) + odd) >> shift


def _float_mean(block: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    count = 2 ** steps.count(2)
    wide = _wide(block.dtype)
    # Dividing by a power of two is exact, and done first it keeps the sum from overflowing.
    with np.errstate(invalid="ignore", over="ignore"):
        mean = _sum(np.multiply(block, 1 / count, dtype=wide), steps, wide).astype(block.dtype)
    return _redo_nan(mean, block, steps, np.nanmean)


def _median(block: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    ordered = _sorted(_windows(block, steps))
    middle = len(ordered) // 2
    low, high = ordered[middle - 1], ordered[middle]
    if block.dtype.kind in "iu":
        # low + (high - low) / 2, rounded to even; the difference fits in the unsigned type.
        unsigned = np.dtype(f"u{block.dtype.itemsize}")
        gap = high.view(unsigned) - low.view(unsigned)
        half = gap >> 1
        half += gap & (low.view(unsigned) + half) & 1
        return (low.view(unsigned) + half).view(block.dtype)
    wide = _wide(block.dtype)
    with np.errstate(invalid="ignore"):
        median = low.astype(wide) / 2 + high.astype(wide) / 2
    return _redo_nan(median.astype(block.dtype), block, steps, np.nanmedian)


def _mode(block: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    views = _windows(block, steps)
    result = views[0].copy()
    mixed = np.zeros(result.shape, bool)
    for view in views[1:]:
        mixed |= view != result
    if mixed.any():
        result[mixed] = _most_frequent(np.sort([view[mixed] for view in views], axis=0))
    return result


def _most_frequent(ordered: np.ndarray) -> np.ndarray:
    """The most frequent of ordered values along the first axis, the first where several are.

    NaN, which is ordered last, counts as one value.
    """
    best, most = ordered[0].copy(), np.ones(ordered.shape[1:], np.uint8)
    run = most.copy()
    for last, value in itertools.pairwise(ordered):
        same = (value == last) | ((value != value) & (last != last))
        run = np.where(same, run + 1, 1).astype(np.uint8)
        np.copyto(best, value, where=run > most)
        np.maximum(most, run, out=most)
    return best


def _sorted(views: list[np.ndarray]) -> list[np.ndarray]:
    """Sort the values of every window; where one is NaN, all come out as NaN."""
    wires = list(views)
    for low, high in _sorting_network(len(views)):
        a, b = wires[low], wires[high]
        wires[low], wires[high] = np.minimum(a, b), np.maximum(a, b)
    return wires


@cache
def _sorting_network(count: int) -> list[tuple[int, int]]:
    """Pairs to compare and swap, one after the other, to sort a power of two of values.

    Batcher's odd-even merge sort: 1, 5 and 19 pairs for 2, 4 and 8 values.
    """
    powers = [2**n for n in range(count.bit_length() - 1)]
    return [
        (low, low + gap)
        for merged in powers
        for gap in reversed(powers[: powers.index(merged) + 1])
        for start in range(gap % merged, count - gap, 2 * gap)
        for low in range(start, min(start + gap, count - gap))
        if low // (2 * merged) == (low + gap) // (2 * merged)
    ]


def _redo_nan(
    result: np.ndarray, block: np.ndarray, steps: tuple[int, ...], reduce: Callable[..., Any]
) -> np.ndarray:
    """Compute those cells again that came out as NaN, without the NaN in them."""
    cells = np.isnan(result)
    if cells.any():
        values = np.stack([view[cells] for view in _windows(block, steps)])
        some = ~np.isnan(values).all(axis=0)
        cells[cells] = some
        with np.errstate(invalid="ignore"):
            result[cells] = reduce(values[:, some].astype(_wide(block.dtype)), axis=0)
    return result


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Type to compute in: float16 is too narrow for sums and halves."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def _reduce(block: np.ndarray, steps: tuple[int, ...], function: Callable[..., Any]) -> np.ndarray:
    pairs = [(length // step, step) for length, step in zip(block.shape, steps, strict=True)]
    windows = block.reshape([length for pair in pairs for length in pair])
    result = np.asarray(function(windows, axis=tuple(range(1, windows.ndim, 2))))
    if block.dtype.kind in "iu" and result.dtype.kind == "f":
        result = np.rint(result)
    return result.astype(block.dtype)


_KERNELS: dict[str, Kernel] = {"mean": _mean, "median": _median, "mode": _mode, "stride": _stride}

#: Kinds of dtype that each mode is defined for.
KINDS = {"mean": "iufc", "median": "iuf", "mode": "biuf", "stride": "biufc"}
