"""The levels and blocks of a conversion, planned from shape, dtype and configuration alone."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurozarr.plan.pyramid import pyramid
from neurozarr.plan.slabs import (
    block_shape,
    downsampled_sub_block,
    read_shape,
    slab_shape,
    slab_shape_in_order,
    sub_block,
)
from neurozarr.regions import Region, grid
from neurozarr.zarr.config import ZarrConfig
from neurozarr.zarr.documents import Document
from neurozarr.zarr.layout import array_layout, spatial_ndim
from neurozarr.zarr.metadata import array_document

logger = logging.getLogger(__name__)

#: Most threads of a job: more would gain little, because jobs run side by side.
MAX_THREADS = 4

#: Minutes that every job gets to start and to read its files, before the time for its voxels.
MIN_MINUTES = 10

#: Speed at which one thread compresses voxels for a NIfTI file on a slow node, in bytes/s.
GZIP_BYTES_PER_SECOND = 2e7

#: Speed at which one thread decodes a source on a slow node, in bytes/s: that of JPEG 2000.
READ_BYTES_PER_SECOND = 5e6

#: Speed at which one thread decodes chunks of a store on a slow node, in bytes/s.
DECODED_BYTES_PER_SECOND = 1e8

#: Memory of a job that holds no voxels, in MB: the interpreter and its libraries.
BASE_MEMORY_MB = 300


@dataclass(frozen=True)
class Level:
    """One level of a pyramid, and its blocks.

    Attributes
    ----------
    shape
        Length of every axis, in voxels.
    chunks
        Shape of a chunk, in voxels.
    write_chunk
        Shape of a write chunk, in voxels: a shard, or a chunk if there are no shards.
    block
        Shape of a block, in voxels: whole write chunks.
    factors
        Downsampling factor of each axis from the parent level; all 1 for level 0.
    dtype
        Data type of the voxels.
    document
        Content of the array's ``.zarray`` or ``zarr.json``.
    bytes_per_second
        Speed at which one thread encodes voxels on a slow node.
    slab
        Shape of a slab of the source, in voxels; None if each thread reads its own sub-blocks.
    given
        Whether the level exists, and nothing of it is written: then it has no blocks.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    write_chunk: tuple[int, ...]
    block: tuple[int, ...]
    factors: tuple[int, ...]
    dtype: np.dtype[Any]
    document: Document
    bytes_per_second: float
    slab: tuple[int, ...] | None = None
    given: bool = False

    @property
    def blocks(self) -> int:
        """Number of blocks; they are numbered from 0, in C order."""
        return 0 if self.given else math.prod(grid(self.shape, self.block))

    def region(self, block: int) -> Region:
        """The region of a block, given by its number."""
        index = np.unravel_index(block, grid(self.shape, self.block))
        return tuple(
            slice(int(i) * size, min((int(i) + 1) * size, length))
            for i, size, length in zip(index, self.block, self.shape, strict=True)
        )

    def blocks_of(self, region: Region) -> list[int]:
        """Numbers of the blocks that overlap with a region."""
        counts = grid(self.shape, self.block)
        sides = [
            range(side.start // size, -(-side.stop // size))
            for side, size in zip(region, self.block, strict=True)
        ]
        return [int(np.ravel_multi_index(index, counts)) for index in itertools.product(*sides)]

    def threads(self, block: int, cores: int | None = None) -> int:
        """Number of threads for a block: the smaller of its sub-blocks and `MAX_THREADS`.

        Parameters
        ----------
        block
            Number of the block.
        cores
            Number of cores that all blocks of this level share, if they do. Each block then gets
            its share of them, so that as many blocks as possible are written at once.
        """
        shape = [side.stop - side.start for side in self.region(block)]
        sub_blocks = math.prod(grid(shape, sub_block(self.chunks, self.write_chunk, self.dtype)))
        share = MAX_THREADS if cores is None else -(-cores // self.blocks)
        return min(sub_blocks, share, MAX_THREADS)

    def minutes(self, block: int, threads: int) -> int:
        """Time limit, in minutes, of a job that writes a block: what it takes on a slow node."""
        return MIN_MINUTES + math.ceil(self.seconds(block, threads) / 60)

    def seconds(self, block: int, threads: int) -> float:
        """Time, in seconds, that the voxels of a block take on a slow node."""
        shape = [side.stop - side.start for side in self.region(block)]
        size = math.prod(shape) * self.dtype.itemsize
        rates = [self.bytes_per_second]
        if self.slab is not None:
            rates.append(READ_BYTES_PER_SECOND)
        return sum(size / rate for rate in rates) / threads

    @property
    def export_minutes(self) -> int:
        """Time limit, in minutes, of a job that writes this level as a NIfTI file."""
        size = math.prod(self.shape) * self.dtype.itemsize
        return MIN_MINUTES + math.ceil(size / GZIP_BYTES_PER_SECOND / 60)

    def memory_mb(self, threads: int) -> int:
        """Memory, in MB, of a job that writes a block of this level from its parent level.

        Each thread holds a region of the parent level and its intermediate results, and a
        sub-block with its encoded form. The size of the block makes no difference.
        """
        written = math.prod(sub_block(self.chunks, self.write_chunk, self.dtype))
        reduced = downsampled_sub_block(self.chunks, self.factors, self.dtype)
        read = math.prod(reduced) * math.prod(self.factors)
        voxels = (threads + 2) * (2 * read + 3 * written)
        return BASE_MEMORY_MB + math.ceil(voxels * self.dtype.itemsize / 1e6)


def verify_minutes(levels: Sequence[Level], threads: int) -> int:
    """Time limit, in minutes, of a job that reads all voxels of all levels twice."""
    size = sum(math.prod(level.shape) * level.dtype.itemsize for level in levels)
    return MIN_MINUTES + math.ceil(2 * size / DECODED_BYTES_PER_SECOND / threads / 60)


def bytes_per_second(config: ZarrConfig) -> float:
    """Speed at which one thread encodes voxels on a slow node: a quarter of what was measured."""
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
    voxel_size: Sequence[float] | None = None,
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
    voxel_size
        Voxel size of level 0 along the spatial axes, in any unit; None if they are equal.
    block_mb
        Uncompressed size of a block, in MB. A block is larger if one write chunk is, or if all
        levels together would have more than ``max_jobs`` blocks.
    max_jobs
        Most blocks of all levels together; each level has one at least.
    native_chunk_shape
        Shape of a native chunk of the source, in voxels; None if it has no native chunks.
    in_order
        For a source that can only be read from its start to its end: the names of the axes in the
        order of the file, fastest last. Level 0 is then one block. None for other sources.

    Returns
    -------
    tuple[Level, ...]
        The levels, finest first.

    Raises
    ------
    ValueError, TypeError
        The configuration does not fit the shape or the dtype.
    """
    dtype = np.dtype(dtype)
    chunks, shards = array_layout(shape, dtype, config)
    batch = len(shape) - spatial_ndim(len(shape))
    steps = pyramid(
        shape[batch:],
        chunks[batch:],
        levels=config.levels,
        factors=config.factors,
        edge=config.edge,
        voxel_size=voxel_size,
        no_pyramid_axis=config.no_pyramid_axis,
    )
    shapes = [(*shape[:batch], *step.shape) for step in steps]
    write_chunk = shards or chunks
    slab = None
    if in_order is not None:
        slab = slab_shape_in_order(shape, write_chunk, "".join(axes), in_order)
    elif native_chunk_shape is not None:
        slab = slab_shape(
            shape,
            chunks,
            write_chunk,
            native_chunk_shape,
            dtype=dtype,
            max_voxels=block_mb * 1e6 / dtype.itemsize,
        )
    blocks = level_blocks(
        shapes, write_chunk, dtype.itemsize, block_mb, max_jobs, slab=slab, in_order=bool(in_order)
    )
    return tuple(
        Level(
            shape=level_shape,
            chunks=chunks,
            write_chunk=write_chunk,
            block=block,
            factors=(1,) * batch + step.factors,
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
        for number, (level_shape, block, step) in enumerate(zip(shapes, blocks, steps, strict=True))
    )


def level_blocks(
    shapes: Sequence[tuple[int, ...]],
    write_chunk: tuple[int, ...],
    itemsize: int,
    block_mb: float,
    max_jobs: int,
    *,
    slab: tuple[int, ...] | None = None,
    in_order: bool = False,
) -> list[tuple[int, ...]]:
    """Shape of the blocks of each level, in voxels."""
    asked = block_mb
    while True:
        max_voxels = block_mb * 1e6 / itemsize
        blocks = [block_shape(shape, write_chunk, max_voxels) for shape in shapes]
        if slab is not None:
            blocks[0] = block_shape(shapes[0], slab, math.inf if in_order else max_voxels)
        counts = [
            math.prod(grid(shape, block)) for shape, block in zip(shapes, blocks, strict=True)
        ]
        if sum(counts) <= max_jobs or max(counts) == 1:
            break
        block_mb *= 2
    if block_mb > asked:
        logger.warning(
            "a volume of shape %s in blocks of %g MB would take more than %d jobs (max_jobs): "
            "its blocks are %g MB instead",
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
    """Memory, in MB, of a job that writes a block of level 0.

    Each thread holds a sub-block with its encoded form. If the source is read in slabs, the job
    also holds two slabs.

    Parameters
    ----------
    level
        Level 0.
    threads
        Number of threads of the job.
    native_chunk_shape
        Shape of a native chunk, in voxels, of which each thread decodes one or several at once;
        None if the source has none.
    held_bytes
        Memory that the source itself holds while it is open, in bytes.
    """
    voxels = (threads + 2) * 3 * math.prod(sub_block(level.chunks, level.write_chunk, level.dtype))
    if level.slab is not None:
        voxels += 2 * math.prod(level.slab)
    if native_chunk_shape is not None:
        read = math.prod(read_shape(level.shape, native_chunk_shape, level.dtype))
        voxels += (threads + 1) * 2 * read
    return BASE_MEMORY_MB + math.ceil((voxels * level.dtype.itemsize + held_bytes) / 1e6)
