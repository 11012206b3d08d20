"""How many voxels are held at once: sub-blocks of a level, and slabs of a source."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurozarr.zarr.layout import spatial_ndim

logger = logging.getLogger(__name__)

#: Uncompressed size of the voxels that a thread handles at once, in bytes, where a chunk or a shard
#: is not larger: enough to make a call worth its cost, and small enough for the processor's cache.
SUB_BLOCK_BYTES = 2**22


#: Uncompressed size, in bytes, up to which more is read at once of a source whose voxels can only
#: be read together, so that fewer of them are read twice.
SLAB_BYTES = 2**28


def _block(shape: tuple[int, ...], unit: tuple[int, ...], voxels: float) -> tuple[int, ...]:
    """The box of whole units, at most ``voxels`` large, that is longest in C order."""
    block = list(unit)
    for axis in reversed(range(len(shape))):
        needed = -(-shape[axis] // unit[axis])
        count = int(min(needed, max(voxels // math.prod(block), 1)))
        block[axis] = count * unit[axis]
        if count < needed:
            break
    return tuple(block)


def sub_block(
    chunks: Sequence[int], write_chunk: Sequence[int], dtype: np.dtype[Any]
) -> tuple[int, ...]:
    """Shape of what a thread writes at once.

    A shard where there are shards; else a chunk, or, of small chunks, a box of them.
    """
    box = list(write_chunk)
    if tuple(chunks) != tuple(write_chunk):
        return tuple(box)
    axes = range(len(box) - spatial_ndim(len(box)), len(box))
    while 2 * math.prod(box) * dtype.itemsize <= SUB_BLOCK_BYTES:
        box[min(axes, key=lambda axis: box[axis])] *= 2
    return tuple(box)


def sub_block_below(
    chunks: Sequence[int], steps: Sequence[int], dtype: np.dtype[Any]
) -> tuple[int, ...]:
    """Shape of what is made at once of a level from the last one, whose chunks are given.

    What one sub-block of the last level becomes; a whole one where such a part would need the half
    of a chunk. ``steps`` is 2 for every axis that is halved, 1 for the others.
    """
    box = sub_block(chunks, chunks, dtype)
    if any(size % step for size, step in zip(box, steps, strict=True)):
        return box
    return tuple(size // step for size, step in zip(box, steps, strict=True))


def slab_of_units(
    shape: Sequence[int],
    chunks: Sequence[int],
    write_chunk: Sequence[int],
    native_chunk_shape: Sequence[int],
    *,
    dtype: np.dtype[Any],
    most: float = math.inf,
) -> tuple[int, ...] | None:
    """Shape of what is read at once of a source whose voxels can only be read together.

    Parameters
    ----------
    shape, chunks, write_chunk
        Of the array, of its chunks and of its files.
    native_chunk_shape
        Of what is read together: a page, a strip, a tile or a chunk of the source.
    dtype
        Data type of the voxels.
    most
        How many voxels there may be in it.

    Returns
    -------
    tuple[int, ...] or None
        Whole write units, that cover what is read together if there are not more than ``most`` of
        them, and enough of it that little is read twice; None where nothing is, whoever reads what
        it writes.
    """
    together = [min(size, length) for size, length in zip(native_chunk_shape, shape, strict=True)]
    box = sub_block(chunks, write_chunk, dtype)
    if all(b % r == 0 or b >= n for b, r, n in zip(box, together, shape, strict=True)):
        return None
    slab = [-(-r // u) * u for r, u in zip(together, write_chunk, strict=True)]
    while math.prod(slab) > most and slab != list(write_chunk):
        axis = next(i for i, unit in enumerate(write_chunk) if slab[i] > unit)
        slab[axis] = -(-slab[axis] // write_chunk[axis] // 2) * write_chunk[axis]
    times = math.prod(-(-r // s) for r, s in zip(together, slab, strict=True))
    if times > 1:
        logger.warning(
            "what is stored together in the source, of shape %s, is decoded %d times, since blocks "
            "of %g MB (block_mb) hold less: larger ones, or chunks of fewer planes, are faster",
            tuple(native_chunk_shape),
            times,
            most * dtype.itemsize / 1e6,
        )
    while True:
        # How much of what is read is read again, next to it, along each axis.
        again = {
            axis: together[axis] / slab[axis]
            for axis in range(len(slab))
            if slab[axis] < shape[axis] and slab[axis] % together[axis]
        }
        axis = max(again, key=lambda axis: again[axis], default=-1)
        if axis < 0 or again[axis] <= 0.25:
            break
        if 2 * math.prod(slab) > min(most, SLAB_BYTES / dtype.itemsize):
            break
        slab[axis] *= 2
    return tuple(slab)


def piece(
    shape: Sequence[int], native_chunk_shape: Sequence[int], dtype: np.dtype[Any]
) -> tuple[int, ...]:
    """Shape of what a thread reads at once of a slab: what is read together, or a box of it."""
    together = tuple(
        min(size, length) for size, length in zip(native_chunk_shape, shape, strict=True)
    )
    return _block(tuple(shape), together, SUB_BLOCK_BYTES / dtype.itemsize)


def row_of_units(
    shape: Sequence[int], write_chunk: Sequence[int], axes: str, file_axes: str
) -> tuple[int, ...]:
    """Shape of what is read at once of a source that can only be read in order.

    Parameters
    ----------
    shape, write_chunk
        Of the array and of its files, in the order of ``axes``.
    axes, file_axes
        Names of the axes as they are stored, and as they lie in the source, the fastest last.

    Returns
    -------
    tuple[int, ...]
        All of the two spatial axes that vary fastest in the source, and of any axis that varies
        faster than one of them; one unit along the others.
    """
    planes = [axis for axis in file_axes if axis in "zyx"][-2:]
    fast = file_axes[file_axes.index(planes[0]) :]
    return tuple(
        length if axis in fast else unit
        for axis, length, unit in zip(axes, shape, write_chunk, strict=True)
    )
