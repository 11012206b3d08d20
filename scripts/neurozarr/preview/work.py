"""What is left to be written for a sample, by its plan and its receipts."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from neurozarr.ome import of_factors
from neurozarr.plan import MAX_THREADS, Level
from neurozarr.regions import Region, grid
from neurozarr.run.paths import StorePaths, coarse_levels
from neurozarr.samples import estimates
from neurozarr.samples.rerun import Todo
from neurozarr.samples.sample import Sample
from neurozarr.zarr.chunks import inner_chunk_shape
from neurozarr.zarr.documents import read_record

#: Bytes in the index of a shard: offset and length of each chunk, also of those beyond the edges of
#: the image, which are not stored, and a checksum (Zarr v3, "sharding_indexed").
_CHUNK_OF_SHARD, _SHARD = 16, 4

Blocks = set[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class LevelWork:
    """What is left to be written of a level.

    Attributes
    ----------
    shape, chunks
        Shapes of the array and of a chunk, in voxels.
    voxel_size
        Voxel size along all axes, in the units of the source; empty if unknown.
    dtype
        Name of the data type.
    blocks
        Number of blocks to be written.
    voxels, padding
        Number of voxels to be written, and of those beyond the edges of the image in their chunks.
    chunks_left, files
        Number of chunks, and of their files, to be written.
    index
        Size of the indices of shards, in bytes.
    replaced
        Size, in bytes, of the files that these replace, which are deleted before.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    voxel_size: tuple[float, ...]
    dtype: str
    blocks: int
    voxels: int
    padding: int
    chunks_left: int
    files: int
    index: int
    replaced: int

    @property
    def itemsize(self) -> int:
        """Size of a voxel, in bytes."""
        return np.dtype(self.dtype).itemsize

    @property
    def whole_bytes(self) -> int:
        """Uncompressed size of the level, in bytes."""
        return math.prod(self.shape) * self.itemsize


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is left to be done for a sample.

    Attributes
    ----------
    name, path, store
        Name of the sample, its source, and its store.
    kind
        Text that is the same for samples whose chunks are made alike: shape, data type, format and
        options; "" for DICOM sources, of which no chunks are encoded.
    levels
        What is left of each level, finest first; empty for a DICOM source without a plan.
    source_bytes
        Size of the files of the source; 0 for a URL.
    is_bundled
        Whether it is converted together with others.
    jobs
        Number of its own jobs by step, if it is not.
    memory_mb
        Most memory of one of them, in MB.
    is_done
        Whether nothing is left to be done.
    """

    name: str
    path: str
    store: str
    kind: str
    levels: tuple[LevelWork, ...]
    source_bytes: int
    is_bundled: bool
    jobs: dict[str, int]
    memory_mb: int
    is_done: bool

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """Make it of what `plain` returns."""
        return cls(**plain | {"levels": tuple(LevelWork(**level) for level in plain["levels"])})

    def plain(self) -> dict[str, Any]:
        """All attributes as plain values, for the script of a job."""
        return asdict(self)


def left_of(
    sample: Sample,
    paths: StorePaths,
    todo: Todo | None,
    *,
    is_bundled: bool,
    verify: str,
    cores: int | None,
) -> Work:
    """Describe what is left to be done for a sample.

    Parameters
    ----------
    sample
        The sample.
    paths
        Paths of its store.
    todo
        Which files are left to be written; None for a DICOM source without a plan.
    is_bundled
        Whether the sample is converted together with others.
    verify
        How the store is verified.
    cores
        Number of processors that all jobs share; None on a cluster.
    """
    known: dict[str, Any] = {
        "name": sample.name,
        "path": sample.path,
        "store": str(paths.store),
        "source_bytes": sum(file.stat().st_size for file in sample.files),
        "is_bundled": is_bundled,
    }
    if todo is None:
        return Work(**known, kind="", levels=(), jobs={}, memory_mb=0, is_done=False)
    coarse = coarse_levels(sample.blocks)
    created, blocks = set[int](), Blocks()
    has_sidecars = bool(sample.sidecars) or paths.sidecar_receipt.exists()
    is_done = todo.is_done()
    if not is_done:
        created, blocks = _left(sample, paths, todo)
    if not is_bundled and any(number in coarse for number, _ in blocks):  # One job makes them all.
        blocks |= {(number, 0) for number in coarse}
    sizes = _voxel_sizes(sample)
    levels = tuple(
        _level_work(
            level,
            sorted(block for of, block in blocks if of == number),
            paths.level(number).state,
            size,
        )
        for number, (level, size) in enumerate(zip(sample.levels, sizes, strict=True))
    )
    return Work(
        **known,
        kind="" if sample.conversion else _kind(sample),  # dcm2niix would convert it for a chunk.
        levels=levels,
        jobs={}
        if is_bundled or is_done
        else _jobs(paths, todo, coarse, created, blocks, has_sidecars=has_sidecars),
        memory_mb=0 if is_bundled else _memory_mb(sample, blocks, verify, cores),
        is_done=is_done,
    )


def _voxel_sizes(sample: Sample) -> list[tuple[float, ...]]:
    """Voxel size of each level along all axes, as in the metadata of a store."""
    source, levels = sample.source, sample.levels
    if not source.voxel_size:
        return [()] * len(levels)
    batch = [source.time_step or 1.0 if axis == "t" else 1.0 for axis in source.axes[:-3]]
    sizes = [
        (*batch, *(float(s * f) for s, f in zip(source.voxel_size, place.size, strict=True)))
        for place in of_factors([level.factors[-3:] for level in levels])
    ]
    # The source of levels that are added to an image is its last level.
    return [() if number < sample.first - 1 else size for number, size in enumerate(sizes)]


def _left(sample: Sample, paths: StorePaths, todo: Todo) -> tuple[set[int], Blocks]:
    """The levels that are created again, and the blocks that are written, as the steps decide."""
    created: set[int] = set()
    blocks: Blocks = set()
    for number, level in enumerate(sample.levels):
        place = paths.level(number)
        if place.given:
            continue
        if 0 in created or not todo.is_done(place.document, place.array_receipt):
            created.add(number)
        for block in range(level.blocks):
            parents = sample.parents(number, block) if number and blocks else ()
            if (
                number in created
                or not todo.is_done(place.block_receipt(block))
                or any((number - 1, parent) in blocks for parent in parents)
            ):
                blocks.add((number, block))
    return created, blocks


def _jobs(
    paths: StorePaths,
    todo: Todo,
    coarse: range,
    created: set[int],
    blocks: Blocks,
    *,
    has_sidecars: bool,
) -> dict[str, int]:
    """Number of jobs of each step of a sample that is not bundled."""
    found: Counter[str] = Counter()
    found["create_array"] = len(created - set(coarse))
    found["write_base"] = sum(number == 0 for number, _ in blocks)
    found["pyramid_level"] = sum(number > 0 and number not in coarse for number, _ in blocks)
    found["pyramid_level"] += any(number in coarse for number, _ in blocks)
    group = () if paths.nii or paths.place else paths.group
    again = bool(created or blocks) or not todo.is_done(paths.ome_receipt, *group)
    found["extend_metadata" if paths.place else "ome_metadata"] = int(again)
    if paths.nii:
        again = again or not todo.is_done(*paths.group, *paths.header, paths.header_receipt)
        found["nifti_header"] = int(again)
    # Without a verification, its receipt is not among the files of a complete run.
    verified = todo.verify == "none" or todo.is_done(paths.verify_receipt)
    found["verify_store"] = int(todo.verify != "none" and (again or not verified))
    found["write_sidecars"] = int(has_sidecars and not todo.is_done(paths.sidecar_receipt))
    return dict(+found)


def _memory_mb(sample: Sample, blocks: Blocks, verify: str, cores: int | None) -> int:
    """Most memory of a job of a sample that is not bundled, in MB."""
    needed = [
        estimates.block_memory_mb(sample, number, sample.levels[number].threads(block, cores))
        for number, block in blocks
    ]
    return max([*needed, estimates.verify_memory_mb(sample, verify, MAX_THREADS)])


def _level_work(
    level: Level, blocks: list[int], state: Path, voxel_size: tuple[float, ...]
) -> LevelWork:
    regions = list(map(level.region, blocks))
    voxels = sum(_count(region, (1,) * len(region)) for region in regions)
    chunks = sum(_count(region, level.chunks) for region in regions)
    files = sum(_count(region, level.write_chunk) for region in regions)
    is_sharded = inner_chunk_shape(level.document) is not None
    in_file = math.prod(grid(level.write_chunk, level.chunks))
    return LevelWork(
        shape=level.shape,
        chunks=level.chunks,
        voxel_size=voxel_size,
        dtype=level.dtype.name,
        blocks=len(blocks),
        voxels=voxels,
        padding=chunks * math.prod(level.chunks) - voxels,
        chunks_left=chunks,
        files=files,
        index=files * (_CHUNK_OF_SHARD * in_file + _SHARD) if is_sharded else 0,
        replaced=_replaced(blocks, state),
    )


def _count(region: Region, tile: tuple[int, ...]) -> int:
    """Number of tiles of a region that begins with one."""
    return math.prod(grid([side.stop - side.start for side in region], tile))


def _replaced(blocks: list[int], state: Path) -> int:
    """Size of the files of blocks that were written before, by their receipts."""
    if not blocks or not state.exists():
        return 0
    records = (read_record(state / f"block-{block}.json") for block in blocks)
    return sum(record.get("bytes", 0) for record in records if record)


def _kind(sample: Sample) -> str:
    """What decides how well and how fast the chunks of a sample are encoded, but its voxels."""
    level = sample.levels[0]
    *_, before, suffix = ["", "", *Path(sample.path.lower()).suffixes]
    suffix = before + suffix if suffix in (".gz", ".bz2", ".zst") else suffix
    options = [sample.options["zarr"], sample.options["pyramid"], sample.mode]
    return json.dumps([suffix, level.shape, level.chunks, level.dtype.name, options])
