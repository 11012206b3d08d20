"""Shapes of chunks and shards, from the options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurozarr.zarr.config import ZarrConfig

#: Largest uncompressed size of an automatic shard, in bytes.
AUTO_SHARD_BYTES = 2**30


def spatial_ndim(ndim: int) -> int:
    """Number of spatial axes: the last three of an array, or all if it has fewer."""
    return min(ndim, 3)


def array_layout(
    shape: Sequence[int], dtype: np.dtype[Any], config: ZarrConfig
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Shapes of the chunks and the shards of an array, in voxels.

    Along an axis that is shorter than ``chunk``, chunk and shard have the length of the array.

    Raises
    ------
    ValueError
        ``chunk`` or ``shard`` does not fit the array, the shard is not a multiple of the chunk, or
        ``no_time`` is set for an array that has axes for both times and channels.
    """
    chunk_batch, shard_batch = _batch_lengths(shape, config)
    wanted = _full_shape("chunk", config.chunk, len(shape), chunk_batch)
    chunks = tuple(max(min(w, length), 1) for w, length in zip(wanted, shape, strict=True))
    if config.shard is None:
        return chunks, None
    if config.shard == "auto":
        least = shard_batch + chunks[len(shard_batch) :]
        smallest = [-(-size // chunk) * chunk for size, chunk in zip(least, chunks, strict=True)]
        return chunks, _auto_shard(shape, smallest, np.dtype(dtype).itemsize)
    shards = list(_full_shape("shard", config.shard, len(shape), shard_batch))
    for axis, (shard, chunk) in enumerate(zip(shards, wanted, strict=True)):
        if shard % chunk:
            raise ValueError(
                f"shard is {config.shard}, which along axis {axis} is not a multiple of the "
                f"chunk's {chunk}"
            )
        if chunks[axis] != chunk:
            shards[axis] = chunks[axis]
    return chunks, tuple(shards)


def _batch_lengths(
    shape: Sequence[int], config: ZarrConfig
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Lengths of a chunk and a shard along the axes that are not spatial: (t, c), t or c.

    They are those of axes for which ``chunk`` and ``shard`` have no number.
    """
    batch = len(shape) - spatial_ndim(len(shape))
    if config.no_time and batch > 1:
        raise ValueError(
            f"no_time is set, but an array of shape {tuple(shape)} has axes for times and channels"
        )
    divided = {
        "t": (config.chunk_time, config.shard_time),
        "c": (config.chunk_channels, config.shard_channels),
    }
    names = ("c" if config.no_time else "t") if batch == 1 else "tc".rjust(batch)
    chunks, shards = list[int](), list[int]()
    for name, length in zip(names, shape[:batch], strict=False):
        by_chunk, by_shard = divided.get(name, (True, True))
        chunks.append(1 if by_chunk else max(length, 1))
        shards.append(chunks[-1] if by_shard else max(length, 1))
    return tuple(chunks), tuple(shards)


def _full_shape(
    field: str, size: int | str | Sequence[int], ndim: int, batch: tuple[int, ...]
) -> tuple[int, ...]:
    """Chunk or shard shape along ``ndim`` axes, from the value of the option.

    ``batch`` has the lengths along the axes before the spatial ones, where the value has none.
    """
    spatial = spatial_ndim(ndim)
    sizes = (size,) if isinstance(size, int) else tuple(int(s) for s in size)
    if len(sizes) == 1:
        sizes *= spatial
    if not spatial <= len(sizes) <= ndim:
        raise ValueError(
            f"{field} is {size}; allowed for {ndim} axes: one number, or {spatial} to {ndim} "
            "numbers for the last axes"
        )
    return batch[: ndim - len(sizes)] + sizes


def _auto_shard(shape: Sequence[int], smallest: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Double the shortest spatial side of a shard until it covers the array or is too large."""
    shards = list(smallest)
    growing = list(range(len(shape) - spatial_ndim(len(shape)), len(shape)))
    while growing := [axis for axis in growing if shards[axis] < shape[axis]]:
        axis = min(growing, key=lambda axis: shards[axis])
        if 2 * math.prod(shards) * itemsize > AUTO_SHARD_BYTES:
            break
        shards[axis] *= 2
    return tuple(shards)
