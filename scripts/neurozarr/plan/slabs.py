"""Shapes of blocks, of sub-blocks and of the slabs of a source, within the memory of a job."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurozarr.zarr.layout import spatial_ndim

logger = logging.getLogger(__name__)

#: Uncompressed size of a sub-block, in bytes, unless one write chunk is larger: large enough to
#: make a call worth its cost, and small enough for the processor's cache.
SUB_BLOCK_BYTES = 2**22

#: Uncompressed size, in bytes, up to which slabs grow, so that fewer native chunks are decoded
#: twice.
SLAB_BYTES = 2**28


def block_shape(
    shape: tuple[int, ...], tile: tuple[int, ...], max_voxels: float
) -> tuple[int, ...]:
    """Shape, in voxels, of as many successive tiles, in C order, as ``max_voxels`` allows.

    Parameters
    ----------
    shape, tile
        Shapes of the array and of a tile, in voxels.
    max_voxels
        Most voxels; one tile may be larger.
    """
    block = list(tile)
    for axis in reversed(range(len(shape))):
        needed = -(-shape[axis] // tile[axis])
        count = int(min(needed, max(max_voxels // math.prod(block), 1)))
        block[axis] = count * tile[axis]
        if count < needed:
            break
    return tuple(block)


def sub_block(
    chunks: Sequence[int], write_chunk: Sequence[int], dtype: np.dtype[Any]
) -> tuple[int, ...]:
    """Shape of a sub-block, in voxels: a shard, a chunk, or several small chunks.

    Parameters
    ----------
    chunks, write_chunk
        Shapes of chunk and write chunk, in voxels.
    dtype
        Data type of the voxels.
    """
    shape = list(write_chunk)
    if tuple(chunks) != tuple(write_chunk):
        return tuple(shape)
    axes = range(len(shape) - spatial_ndim(len(shape)), len(shape))
    while 2 * math.prod(shape) * dtype.itemsize <= SUB_BLOCK_BYTES:
        shape[min(axes, key=lambda axis: shape[axis])] *= 2
    return tuple(shape)


def downsampled_sub_block(
    parent_chunks: Sequence[int], factors: Sequence[int], dtype: np.dtype[Any]
) -> tuple[int, ...]:
    """Shape of the region of a level that is computed at once from its parent level.

    Parameters
    ----------
    parent_chunks
        Shape of a chunk of the parent level, in voxels.
    factors
        Downsampling factor of each axis.
    dtype
        Data type of the voxels.

    Returns
    -------
    tuple[int, ...]
        A sub-block of the parent level, divided by the factors; a whole one if its length along an
        axis is no multiple of the factor, so that no chunk of the parent level is cut.
    """
    shape = sub_block(parent_chunks, parent_chunks, dtype)
    if any(size % factor for size, factor in zip(shape, factors, strict=True)):
        return shape
    return tuple(size // factor for size, factor in zip(shape, factors, strict=True))


def slab_shape(
    shape: Sequence[int],
    chunks: Sequence[int],
    write_chunk: Sequence[int],
    native_chunk_shape: Sequence[int],
    *,
    dtype: np.dtype[Any],
    max_voxels: float = math.inf,
) -> tuple[int, ...] | None:
    """Shape of the slabs of a source with native chunks.

    Parameters
    ----------
    shape, chunks, write_chunk
        Shapes of array, chunk and write chunk, in voxels.
    native_chunk_shape
        Shape of a native chunk of the source, in voxels.
    dtype
        Data type of the voxels.
    max_voxels
        Largest slab, in voxels, unless a write chunk is larger.

    Returns
    -------
    tuple[int, ...] or None
        Whole write chunks that cover a native chunk, if ``max_voxels`` allows, and so many that
        few native chunks are decoded twice; None if the sub-blocks align with the native chunks.
    """
    native = [min(size, length) for size, length in zip(native_chunk_shape, shape, strict=True)]
    written = sub_block(chunks, write_chunk, dtype)
    if all(w % n == 0 or w >= length for w, n, length in zip(written, native, shape, strict=True)):
        return None
    slab = [-(-n // w) * w for n, w in zip(native, write_chunk, strict=True)]
    while math.prod(slab) > max_voxels and slab != list(write_chunk):
        axis = next(i for i, size in enumerate(write_chunk) if slab[i] > size)
        slab[axis] = -(-slab[axis] // write_chunk[axis] // 2) * write_chunk[axis]
    times = math.prod(-(-n // s) for n, s in zip(native, slab, strict=True))
    if times > 1:
        logger.warning(
            "each native chunk of the source, of shape %s, is decoded %d times, because blocks of "
            "%g MB (block_mb) are smaller: larger blocks, or chunks of fewer planes, are faster",
            tuple(native_chunk_shape),
            times,
            max_voxels * dtype.itemsize / 1e6,
        )
    while True:
        # Voxels along each axis that are decoded again for the next slab, as a share of the slab.
        again = {
            axis: native[axis] / slab[axis]
            for axis in range(len(slab))
            if slab[axis] < shape[axis] and slab[axis] % native[axis]
        }
        axis = max(again, key=lambda axis: again[axis], default=-1)
        if axis < 0 or again[axis] <= 0.25:
            break
        if 2 * math.prod(slab) > min(max_voxels, SLAB_BYTES / dtype.itemsize):
            break
        slab[axis] *= 2
    return tuple(slab)


def read_shape(
    shape: Sequence[int], native_chunk_shape: Sequence[int], dtype: np.dtype[Any]
) -> tuple[int, ...]:
    """Shape, in voxels, of the region that a thread decodes at once: whole native chunks.

    Parameters
    ----------
    shape, native_chunk_shape
        Shapes of the source and of a native chunk, in voxels.
    dtype
        Data type of the voxels.
    """
    native = tuple(
        min(size, length) for size, length in zip(native_chunk_shape, shape, strict=True)
    )
    return block_shape(tuple(shape), native, SUB_BLOCK_BYTES / dtype.itemsize)


def slab_shape_in_order(
    shape: Sequence[int], write_chunk: Sequence[int], axes: str, file_axes: str
) -> tuple[int, ...]:
    """Shape of the slabs of a source that can only be read from its start to its end.

    Parameters
    ----------
    shape, write_chunk
        Shapes of array and write chunk, in voxels, in the order of ``axes``.
    axes, file_axes
        Names of the axes of the array, and the same in the order of the file, fastest last.

    Returns
    -------
    tuple[int, ...]
        The whole length of the two fastest spatial axes of the file, and of every axis that is
        faster than one of them; one write chunk along the other axes.
    """
    planes = [axis for axis in file_axes if axis in "zyx"][-2:]
    fast = file_axes[file_axes.index(planes[0]) :]
    return tuple(
        length if axis in fast else size
        for axis, length, size in zip(axes, shape, write_chunk, strict=True)
    )
