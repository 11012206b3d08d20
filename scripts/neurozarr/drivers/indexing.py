"""Indices of arrays, which both drivers read as NumPy does."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

#: Index of one axis: a position, positions with a step, or positions in any order.
Index = int | slice | np.ndarray


def normalized(key: Any, shape: tuple[int, ...]) -> tuple[Index, ...]:
    """An index of each axis, without Ellipsis, negative positions, and bounds outside the array.

    Parameters
    ----------
    key
        What is between the brackets: integers, slices, Ellipsis, and for one axis at most a list or
        an array of integers, or of a boolean for each position.
    shape
        Shape of the array.

    Raises
    ------
    IndexError
        An index is outside the array or not one of these, a step is negative, there are too many
        indices, or several lists.
    """
    keys = list(key) if isinstance(key, tuple) else [key]
    places = [place for place, index in enumerate(keys) if index is ...]
    if len(places) > 1 or len(keys) - len(places) > len(shape):
        raise IndexError(f"{key} has too many indices for an array of shape {shape}")
    place = places[0] if places else len(keys)
    keys[place : place + 1] = [slice(None)] * (len(shape) - len(keys) + len(places))
    indices = tuple(_normalized(index, size) for index, size in zip(keys, shape, strict=True))
    if sum(isinstance(index, np.ndarray) for index in indices) > 1:
        raise IndexError(f"{key} has lists for several axes; allowed: a list for one axis")
    return indices


def _normalized(index: Any, length: int) -> Index:
    if isinstance(index, slice):
        start, stop, step = index.indices(length)
        if step < 1:
            raise IndexError(f"{index} has a step of {step}; allowed: 1 or more")
        return slice(start, max(start, stop), step)
    if isinstance(index, (list, np.ndarray)) and np.ndim(index) > 0:
        return _positions(np.asarray(index), length)
    try:
        return range(length)[operator.index(index)]
    except TypeError:
        raise IndexError(
            f"{index!r} is not an index; allowed: integers, slices, Ellipsis, and a list of "
            "integers for one axis"
        ) from None


def _positions(listed: np.ndarray, length: int) -> np.ndarray:
    """The positions in a list, from 0 on."""
    if listed.ndim > 1:
        raise IndexError(f"an index has {listed.ndim} dimensions; allowed: a list for one axis")
    if listed.dtype == bool:
        if len(listed) != length:
            raise IndexError(f"an index has {len(listed)} booleans for an axis of {length} voxels")
        return np.flatnonzero(listed)
    if len(listed) and listed.dtype.kind not in "iu":
        raise IndexError(f"an index is a list of {listed.dtype}; allowed: integers or booleans")
    listed = listed.astype("int64")
    outside = listed[(listed < -length) | (listed >= length)]
    if len(outside):
        raise IndexError(f"index {outside[0]} is outside an axis of {length} voxels")
    return np.where(listed < 0, listed + length, listed)


def block_of(indices: tuple[Index, ...]) -> tuple[tuple[Index, ...], tuple[Index, ...]]:
    """The block with all indexed voxels, and the same index of this block.

    Parameters
    ----------
    indices
        The result of `normalized`.

    Returns
    -------
    block
        A slice of each axis, or increasing positions, of which none is twice.
    inner
        Index with which NumPy takes those voxels from the block, in their order and shape.
    """
    block, inner = list[Index](), list[Index]()
    for index in indices:
        if isinstance(index, slice):
            block.append(index)
            inner.append(slice(None))
        elif isinstance(index, int):
            block.append(slice(index, index + 1))
            inner.append(0)
        else:
            positions, order = np.unique(index, return_inverse=True)
            start, stop = (positions[0], positions[-1] + 1) if len(positions) else (0, 0)
            is_slice = stop - start == len(positions)
            block.append(slice(int(start), int(stop)) if is_slice else positions)
            inner.append(order)
    return tuple(block), tuple(inner)


def block_shape(block: tuple[Index, ...]) -> tuple[int, ...]:
    """Shape of a block, as `block_of` returns it, in voxels."""
    return tuple(
        len(range(index.start, index.stop, index.step or 1))
        if isinstance(index, slice)
        else np.size(index)
        for index in block
    )
