"""Shapes of chunks, of shards and of the levels of a pyramid, by the options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurozarr.zarr.config import ZarrConfig

#: Uncompressed size that an automatic shard stays below, in bytes.
AUTO_SHARD_BYTES = 2**30


def spatial_ndim(ndim: int) -> int:
    """Number of spatial axes of an array: the last three, or all of fewer."""
    return min(ndim, 3)


def pyramid_shapes(
    shape: Sequence[int],
    chunks: Sequence[int],
    *,
    levels: int = -1,
    no_pyramid_axis: int | None = None,
) -> list[tuple[int, ...]]:
    """Spatial shapes of the levels of a pyramid, finest first.

    Parameters
    ----------
    shape, chunks
        Shape of level 0, and of its chunks, along the spatial axes, in voxels.
    levels
        Number of levels beyond the base; -1 stops at the first level that fits in one chunk along
        every sampled axis.
    no_pyramid_axis
        Index of an axis that is not sampled.
    """
    if levels < -1:
        raise ValueError(f"levels is {levels}; allowed: -1 (automatic) or a number of levels")
    if no_pyramid_axis is not None and not 0 <= no_pyramid_axis < len(shape):
        raise ValueError(
            f"no_pyramid_axis is {no_pyramid_axis}; allowed: None, or an index below {len(shape)}"
        )
    sampled = [axis for axis in range(len(shape)) if axis != no_pyramid_axis]
    shapes = [tuple(int(length) for length in shape)]
    while (
        len(shapes) <= levels
        if levels >= 0
        else any(shapes[-1][axis] > chunks[axis] for axis in sampled)
    ):
        shapes.append(
            tuple(
                max(length // 2, 1) if axis in sampled else length
                for axis, length in enumerate(shapes[-1])
            )
        )
    return shapes


def array_layout(
    shape: Sequence[int], dtype: np.dtype[Any], config: ZarrConfig
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Shapes of the chunks and the shards of an array, in voxels.

    A chunk is cut to the array where the array is smaller; a shard then is one chunk along that
    axis.

    Raises
    ------
    ValueError
        ``chunk`` or ``shard`` does not fit the array, or the shard is no multiple of the chunk.
    """
    wanted = _box("chunk", config.chunk, len(shape))
    chunks = tuple(max(min(w, length), 1) for w, length in zip(wanted, shape, strict=True))
    if config.shard is None:
        return chunks, None
    if config.shard == "auto":
        return chunks, _auto_shard(shape, chunks, np.dtype(dtype).itemsize)
    shards = list(_box("shard", config.shard, len(shape)))
    for axis, (shard, chunk) in enumerate(zip(shards, wanted, strict=True)):
        if shard % chunk:
            raise ValueError(
                f"shard is {config.shard}, which along axis {axis} is no multiple of the chunk's "
                f"{chunk}"
            )
        if chunks[axis] != chunk:
            shards[axis] = chunks[axis]
    return chunks, tuple(shards)


def _box(field: str, size: int | str | Sequence[int], ndim: int) -> tuple[int, ...]:
    """A chunk or shard shape for ``ndim`` axes, from what the configuration says."""
    spatial = spatial_ndim(ndim)
    sizes = (size,) if isinstance(size, int) else tuple(int(s) for s in size)
    if len(sizes) == 1:
        sizes *= spatial
    if not spatial <= len(sizes) <= ndim:
        raise ValueError(
            f"{field} is {size}; allowed for {ndim} axes: one number, or {spatial} to {ndim} of "
            "them, for the last axes"
        )
    return (1,) * (ndim - len(sizes)) + sizes


def _auto_shard(shape: Sequence[int], chunks: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Double the shortest spatial side of the shard until it covers the array or gets too big."""
    shards = list(chunks)
    growing = list(range(len(shape) - spatial_ndim(len(shape)), len(shape)))
    while growing := [axis for axis in growing if shards[axis] < shape[axis]]:
        axis = min(growing, key=lambda axis: shards[axis])
        if 2 * math.prod(shards) * itemsize > AUTO_SHARD_BYTES:
            break
        shards[axis] *= 2
    return tuple(shards)
