"""What a conversion will write, worked out from a header and a configuration alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurozarr.config import ZarrConfig
from neurozarr.metadata import Document, array_document

#: Uncompressed size that an automatic shard stays below, in bytes.
AUTO_SHARD_BYTES = 2**30

#: Memory of a job that holds no voxels, in MB: the interpreter and its libraries.
BASE_MEMORY_MB = 300

Region = tuple[slice, ...]


@dataclass(frozen=True)
class Level:
    """One level of a pyramid: its shape, the unit it is written in, and its Zarr document."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    write_unit: tuple[int, ...]
    dtype: np.dtype[Any]
    document: Document

    def memory_mb(self, threads: int) -> int:
        """Memory of the job that writes this level from the last one, in MB.

        Each thread holds the voxels under a chunk, twice while they are put together, and the
        unit that it writes with its encoded form.
        """
        window = 8 * math.prod(self.chunks)
        unit = math.prod(self.write_unit)
        voxels = threads * (2 * window + 3 * unit)
        return BASE_MEMORY_MB + math.ceil(voxels * self.dtype.itemsize / 1e6)


def spatial_ndim(ndim: int) -> int:
    """Number of spatial axes of an array: the last three, or all of fewer."""
    return min(ndim, 3)


def plan_levels(
    shape: Sequence[int], dtype: np.dtype[Any], axes: Sequence[str], config: ZarrConfig
) -> tuple[Level, ...]:
    """Plan every level of an image.

    Parameters
    ----------
    shape
        Shape of level 0 in voxels, in the order of ``axes``.
    dtype
        Data type of the voxels.
    axes
        Names of the axes, spatial ones last.
    config
        How to store the image.

    Returns
    -------
    tuple[Level, ...]
        Finest first.

    Raises
    ------
    ValueError, TypeError
        The configuration does not fit shape or dtype.
    """
    chunks, shards = array_layout(shape, dtype, config)
    batch = len(shape) - spatial_ndim(len(shape))
    if config.no_pyramid_axis is not None and config.no_pyramid_axis >= len(shape) - batch:
        raise ValueError(
            f"no_pyramid_axis is {config.no_pyramid_axis}, but there are {len(shape) - batch} "
            "spatial axes"
        )
    spatial_shapes = pyramid_shapes(
        shape[batch:],
        chunks[batch:],
        levels=config.levels,
        no_pyramid_axis=config.no_pyramid_axis,
    )
    shapes = [(*shape[:batch], *spatial) for spatial in spatial_shapes]
    return tuple(
        Level(
            shape=level_shape,
            chunks=chunks,
            write_unit=shards or chunks,
            dtype=np.dtype(dtype),
            document=array_document(
                level_shape,
                dtype,
                chunks=chunks,
                shards=shards,
                config=config,
                dimension_names=axes,
            ),
        )
        for level_shape in shapes
    )


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


def regions(shape: Sequence[int], unit: Sequence[int]) -> Iterator[Region]:
    """The boxes of shape ``unit`` (cut at the far edges) that tile an array, in C order."""
    counts = [math.ceil(length / size) for length, size in zip(shape, unit, strict=True)]
    for index in np.ndindex(*counts):
        yield tuple(
            slice(i * size, min((i + 1) * size, length))
            for i, size, length in zip(index, unit, shape, strict=True)
        )


def base_unit(shape: Sequence[int], write_unit: Sequence[int], in_order: bool) -> tuple[int, ...]:
    """Shape of the boxes in which level 0 is read and written.

    A unit that is written at once; where the source can only be read in order, a row of them
    across the last two axes, so that nothing is read twice.
    """
    return (*write_unit[:-2], *shape[-2:]) if in_order else tuple(write_unit)


def write_memory_mb(unit: Sequence[int], dtype: np.dtype[Any], threads: int) -> int:
    """Memory of the job that writes level 0 in boxes of shape ``unit``, in MB.

    One box is read while each thread holds another, with its encoded form.
    """
    voxels = (threads + 2) * 3 * math.prod(unit)
    return BASE_MEMORY_MB + math.ceil(voxels * np.dtype(dtype).itemsize / 1e6)


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
