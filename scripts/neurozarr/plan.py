"""What a conversion will write, and in which jobs, from a header and a configuration alone."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurozarr.chunks import Region, grid
from neurozarr.config import ZarrConfig
from neurozarr.documents import Document
from neurozarr.metadata import array_document

logger = logging.getLogger(__name__)

#: Uncompressed size that an automatic shard stays below, in bytes.
AUTO_SHARD_BYTES = 2**30

#: Uncompressed size of the voxels that a thread handles at once, in bytes, where a chunk or a shard
#: is not larger: enough to make a call worth its cost, and small enough for the processor's cache.
SUB_BLOCK_BYTES = 2**22

#: Uncompressed size, in bytes, up to which more is read at once of a source whose voxels can only
#: be read together, so that fewer of them are read twice.
SLAB_BYTES = 2**28

#: Threads of a job: more gain little, as jobs run side by side.
MAX_THREADS = 4

#: Minutes that a job has to start and to read its files, beside what its voxels take.
MIN_MINUTES = 10

#: Voxels that one thread compresses for a NIfTI file, in bytes a second, on a slow node.
GZIP_BYTES_PER_SECOND = 2e7

#: Voxels of an image that one thread decodes, in bytes a second, on a slow node: JPEG 2000.
READ_BYTES_PER_SECOND = 5e6

#: Voxels that one thread decodes, in bytes a second, on a slow node.
DECODED_BYTES_PER_SECOND = 1e8

#: Memory of a job that holds no voxels, in MB: the interpreter and its libraries.
BASE_MEMORY_MB = 300


@dataclass(frozen=True)
class Level:
    """One level of a pyramid, and the blocks that it is written in.

    Attributes
    ----------
    shape
        Length of every axis, in voxels.
    chunks
        Shape of a chunk.
    write_unit
        Shape of what is one file: a shard, or a chunk where there are no shards.
    block
        Shape of what one job writes: whole write units.
    dtype
        Data type of the voxels.
    document
        The Zarr metadata of the array.
    bytes_per_second
        Voxels that one thread encodes on a slow node.
    slab
        Shape of what is read at once of the source; None where each thread reads what it writes.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    write_unit: tuple[int, ...]
    block: tuple[int, ...]
    dtype: np.dtype[Any]
    document: Document
    bytes_per_second: float
    slab: tuple[int, ...] | None = None

    @property
    def blocks(self) -> int:
        """How many blocks there are; they are numbered from 0, in C order."""
        return math.prod(grid(self.shape, self.block))

    def region(self, block: int) -> Region:
        """The voxels of a block."""
        index = np.unravel_index(block, grid(self.shape, self.block))
        return tuple(
            slice(int(i) * size, min((int(i) + 1) * size, length))
            for i, size, length in zip(index, self.block, self.shape, strict=True)
        )

    def blocks_of(self, region: Region) -> list[int]:
        """The blocks that a region touches."""
        counts = grid(self.shape, self.block)
        sides = [
            range(side.start // size, -(-side.stop // size))
            for side, size in zip(region, self.block, strict=True)
        ]
        return [int(np.ravel_multi_index(index, counts)) for index in itertools.product(*sides)]

    def threads(self, block: int, cores: int | None = None) -> int:
        """How many threads are best to write a block: no more than it has sub-blocks, nor a few.

        Parameters
        ----------
        block
            Its number.
        cores
            How many the blocks of this level share, if they do: as many blocks at once as can be
            lose the least in starting and ending.
        """
        shape = [side.stop - side.start for side in self.region(block)]
        parts = math.prod(grid(shape, sub_block(self.chunks, self.write_unit, self.dtype)))
        share = MAX_THREADS if cores is None else -(-cores // self.blocks)
        return min(parts, share, MAX_THREADS)

    def minutes(self, block: int, threads: int) -> int:
        """Minutes that a job may take to write a block, on a slow node: ask for no less."""
        shape = [side.stop - side.start for side in self.region(block)]
        size = math.prod(shape) * self.dtype.itemsize
        seconds = size / self.bytes_per_second / threads
        if self.slab is not None:
            seconds += size / READ_BYTES_PER_SECOND / threads
        return MIN_MINUTES + math.ceil(seconds / 60)

    @property
    def export_minutes(self) -> int:
        """Minutes that a job may take to write this level as a NIfTI file."""
        size = math.prod(self.shape) * self.dtype.itemsize
        return MIN_MINUTES + math.ceil(size / GZIP_BYTES_PER_SECOND / 60)

    def memory_mb(self, threads: int) -> int:
        """Memory of a job that writes a block of this level from the last one, in MB.

        Each thread holds the voxels under a sub-block, decoded and reduced, and the unit that it
        writes with its encoded form; whatever the size of the block.
        """
        unit = math.prod(sub_block(self.chunks, self.write_unit, self.dtype))
        steps = (1,) * (len(self.chunks) - 3) + (2,) * 3
        window = 8 * math.prod(sub_block_below(self.chunks, steps[-len(self.chunks) :], self.dtype))
        voxels = (threads + 2) * (2 * window + 3 * unit)
        return BASE_MEMORY_MB + math.ceil(voxels * self.dtype.itemsize / 1e6)


def verify_minutes(levels: Sequence[Level], threads: int) -> int:
    """Minutes that a job may take to read all voxels of all levels twice."""
    size = sum(math.prod(level.shape) * level.dtype.itemsize for level in levels)
    return MIN_MINUTES + math.ceil(2 * size / DECODED_BYTES_PER_SECOND / threads / 60)


def bytes_per_second(config: ZarrConfig) -> float:
    """Voxels that one thread encodes: a quarter of what was measured, for slow nodes and disks."""
    settings = config.compressor_settings()
    match config.compressor:
        case None:
            return 1e8
        case "blosc" if settings["cname"] != "zlib":
            level = settings["clevel"] if settings["cname"] == "zstd" else 1
        case "zstd":
            level = settings["level"]
        case _:
            return 5e6
    return 5e7 if level < 4 else 1e7 if level < 7 else 2.5e6


def spatial_ndim(ndim: int) -> int:
    """Number of spatial axes of an array: the last three, or all of fewer."""
    return min(ndim, 3)


def plan_levels(
    shape: Sequence[int],
    dtype: np.dtype[Any],
    axes: Sequence[str],
    config: ZarrConfig,
    *,
    block_mb: float = math.inf,
    max_jobs: int = 1,
    read_shape: Sequence[int] | None = None,
    in_order: str | None = None,
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
    block_mb
        Uncompressed size of what one job writes, in MB. Blocks are larger where a write unit is,
        and where there would be more than ``max_jobs`` of them in all levels together.
    max_jobs
        How many blocks there may be, if there are more of them than levels.
    read_shape
        Shape of what can only be read together of the source; None where any voxels can be read.
    in_order
        Names of the axes as they lie in a source that can only be read from the start to the end,
        the fastest last: level 0 then is one block. None where it can be read anywhere.

    Returns
    -------
    tuple[Level, ...]
        Finest first.

    Raises
    ------
    ValueError, TypeError
        The configuration does not fit shape or dtype.
    """
    dtype = np.dtype(dtype)
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
    unit = shards or chunks
    slab = None
    if in_order is not None:
        slab = row_of_units(shape, unit, "".join(axes), in_order)
    elif read_shape is not None:
        slab = slab_of_units(
            shape, chunks, unit, read_shape, dtype=dtype, most=block_mb * 1e6 / dtype.itemsize
        )
    blocks = _blocks(
        shapes, unit, dtype.itemsize, block_mb, max_jobs, slab=slab, in_order=in_order is not None
    )
    return tuple(
        Level(
            shape=level_shape,
            chunks=chunks,
            write_unit=unit,
            block=block,
            dtype=dtype,
            document=array_document(
                level_shape,
                dtype,
                chunks=chunks,
                shards=shards,
                config=config,
                dimension_names=axes,
            ),
            bytes_per_second=bytes_per_second(config),
            slab=None if number else slab,
        )
        for number, (level_shape, block) in enumerate(zip(shapes, blocks, strict=True))
    )


def _blocks(
    shapes: Sequence[tuple[int, ...]],
    unit: tuple[int, ...],
    itemsize: int,
    block_mb: float,
    max_jobs: int,
    *,
    slab: tuple[int, ...] | None,
    in_order: bool,
) -> list[tuple[int, ...]]:
    """Shape of the blocks of every level."""
    asked = block_mb
    while True:
        blocks = [_block(shape, unit, block_mb * 1e6 / itemsize) for shape in shapes]
        if slab is not None:
            most = math.inf if in_order else block_mb * 1e6 / itemsize
            blocks[0] = _block(shapes[0], slab, most)
        counts = [
            math.prod(grid(shape, block)) for shape, block in zip(shapes, blocks, strict=True)
        ]
        if sum(counts) <= max_jobs or max(counts) == 1:
            break
        block_mb *= 2
    if block_mb > asked:
        logger.warning(
            "a volume of shape %s in blocks of %g MB would take more than %d jobs (max_jobs): "
            "its blocks are %g MB",
            shapes[0],
            asked,
            max_jobs,
            block_mb,
        )
    return blocks


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
    chunks: Sequence[int], write_unit: Sequence[int], dtype: np.dtype[Any]
) -> tuple[int, ...]:
    """Shape of what a thread writes at once.

    A shard where there are shards; else a chunk, or, of small chunks, a box of them.
    """
    box = list(write_unit)
    if tuple(chunks) != tuple(write_unit):
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


def whole(shape: Sequence[int]) -> Region:
    """All of an array."""
    return tuple(slice(0, length) for length in shape)


def regions(region: Region, box: Sequence[int]) -> Iterator[Region]:
    """The boxes of shape ``box`` (cut at the far edges) that tile a region, in C order."""
    shape = [side.stop - side.start for side in region]
    for index in np.ndindex(*grid(shape, box)):
        yield tuple(
            slice(side.start + i * size, min(side.start + (i + 1) * size, side.stop))
            for side, i, size in zip(region, index, box, strict=True)
        )


def base_memory_mb(
    level: Level,
    threads: int,
    *,
    read_shape: Sequence[int] | None = None,
    held_bytes: int = 0,
) -> int:
    """Memory of a job that writes a block of level 0, in MB.

    Each thread holds the sub-block that it writes, with its encoded form. Of a source that is read
    in slabs, two of them are held as well, and what threads decode; and whatever the source holds
    by itself.
    """
    unit = math.prod(sub_block(level.chunks, level.write_unit, level.dtype))
    voxels = (threads + 2) * 3 * unit
    if level.slab is not None:
        voxels += 2 * math.prod(level.slab)
    if read_shape is not None:
        voxels += (threads + 1) * 2 * math.prod(piece(level.shape, read_shape, level.dtype))
    return BASE_MEMORY_MB + math.ceil((voxels * level.dtype.itemsize + held_bytes) / 1e6)


def slab_of_units(
    shape: Sequence[int],
    chunks: Sequence[int],
    write_unit: Sequence[int],
    read_shape: Sequence[int],
    *,
    dtype: np.dtype[Any],
    most: float = math.inf,
) -> tuple[int, ...] | None:
    """Shape of what is read at once of a source whose voxels can only be read together.

    Parameters
    ----------
    shape, chunks, write_unit
        Of the array, of its chunks and of its files.
    read_shape
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
    together = [min(size, length) for size, length in zip(read_shape, shape, strict=True)]
    box = sub_block(chunks, write_unit, dtype)
    if all(b % r == 0 or b >= n for b, r, n in zip(box, together, shape, strict=True)):
        return None
    slab = [-(-r // u) * u for r, u in zip(together, write_unit, strict=True)]
    while math.prod(slab) > most and slab != list(write_unit):
        axis = next(i for i, unit in enumerate(write_unit) if slab[i] > unit)
        slab[axis] = -(-slab[axis] // write_unit[axis] // 2) * write_unit[axis]
    times = math.prod(-(-r // s) for r, s in zip(together, slab, strict=True))
    if times > 1:
        logger.warning(
            "what is stored together in the source, of shape %s, is decoded %d times, since blocks "
            "of %g MB (block_mb) hold less: larger ones, or chunks of fewer planes, are faster",
            tuple(read_shape),
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


def piece(shape: Sequence[int], read_shape: Sequence[int], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Shape of what a thread reads at once of a slab: what is read together, or a box of it."""
    together = tuple(min(size, length) for size, length in zip(read_shape, shape, strict=True))
    return _block(tuple(shape), together, SUB_BLOCK_BYTES / dtype.itemsize)


def regions_of_grid(region: Region, box: Sequence[int]) -> Iterator[Region]:
    """The boxes of shape ``box`` that tile an array from its start, as far as they are in a region.

    In C order.
    """
    started = tuple(
        slice(side.start // size * size, side.stop) for side, size in zip(region, box, strict=True)
    )
    for part in regions(started, box):
        yield tuple(
            slice(max(inner.start, side.start), inner.stop)
            for inner, side in zip(part, region, strict=True)
        )


def row_of_units(
    shape: Sequence[int], write_unit: Sequence[int], axes: str, file_axes: str
) -> tuple[int, ...]:
    """Shape of what is read at once of a source that can only be read in order.

    Parameters
    ----------
    shape, write_unit
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
        for axis, length, unit in zip(axes, shape, write_unit, strict=True)
    )


def regions_in_order(
    region: Region, box: Sequence[int], axes: str, file_axes: str
) -> Iterator[Region]:
    """The boxes of `regions`, in the order in which a source holds them: see `row_of_units`."""
    order = [axes.index(axis) for axis in file_axes]
    for part in regions(tuple(region[i] for i in order), [box[i] for i in order]):
        yield tuple(part[order.index(i)] for i in range(len(order)))


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
