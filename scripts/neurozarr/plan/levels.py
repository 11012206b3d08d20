"""What a conversion will write, and in which jobs, from a header and a configuration alone."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurozarr.plan.slabs import (
    _block,
    piece,
    row_of_units,
    slab_of_units,
    sub_block,
    sub_block_below,
)
from neurozarr.regions import Region, grid
from neurozarr.zarr.config import ZarrConfig
from neurozarr.zarr.documents import Document
from neurozarr.zarr.layout import array_layout, pyramid_shapes, spatial_ndim
from neurozarr.zarr.metadata import array_document

logger = logging.getLogger(__name__)


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
    write_chunk
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
    write_chunk: tuple[int, ...]
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
        parts = math.prod(grid(shape, sub_block(self.chunks, self.write_chunk, self.dtype)))
        share = MAX_THREADS if cores is None else -(-cores // self.blocks)
        return min(parts, share, MAX_THREADS)

    def minutes(self, block: int, threads: int) -> int:
        """Minutes that a job may take to write a block, on a slow node: ask for no less."""
        return MIN_MINUTES + math.ceil(self.seconds(block, threads) / 60)

    def seconds(self, block: int, threads: int) -> float:
        """Time that the voxels of a block take on a slow node."""
        shape = [side.stop - side.start for side in self.region(block)]
        size = math.prod(shape) * self.dtype.itemsize
        rates = [self.bytes_per_second]
        if self.slab is not None:
            rates.append(READ_BYTES_PER_SECOND)
        return sum(size / rate for rate in rates) / threads

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
        unit = math.prod(sub_block(self.chunks, self.write_chunk, self.dtype))
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


def plan_levels(
    shape: Sequence[int],
    dtype: np.dtype[Any],
    axes: Sequence[str],
    config: ZarrConfig,
    *,
    block_mb: float = math.inf,
    max_jobs: int = 1,
    native_chunk_shape: Sequence[int] | None = None,
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
    native_chunk_shape
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
    elif native_chunk_shape is not None:
        slab = slab_of_units(
            shape,
            chunks,
            unit,
            native_chunk_shape,
            dtype=dtype,
            most=block_mb * 1e6 / dtype.itemsize,
        )
    blocks = _blocks(
        shapes, unit, dtype.itemsize, block_mb, max_jobs, slab=slab, in_order=in_order is not None
    )
    return tuple(
        Level(
            shape=level_shape,
            chunks=chunks,
            write_chunk=unit,
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


def base_memory_mb(
    level: Level,
    threads: int,
    *,
    native_chunk_shape: Sequence[int] | None = None,
    held_bytes: int = 0,
) -> int:
    """Memory of a job that writes a block of level 0, in MB.

    Each thread holds the sub-block that it writes, with its encoded form. Of a source that is read
    in slabs, two of them are held as well, and what threads decode; and whatever the source holds
    by itself.
    """
    unit = math.prod(sub_block(level.chunks, level.write_chunk, level.dtype))
    voxels = (threads + 2) * 3 * unit
    if level.slab is not None:
        voxels += 2 * math.prod(level.slab)
    if native_chunk_shape is not None:
        voxels += (threads + 1) * 2 * math.prod(piece(level.shape, native_chunk_shape, level.dtype))
    return BASE_MEMORY_MB + math.ceil((voxels * level.dtype.itemsize + held_bytes) / 1e6)
