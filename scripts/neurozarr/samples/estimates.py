"""Memory, in MB, and time limits, in minutes, of the jobs of a sample."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from neurozarr import plan
from neurozarr.voxels import export

if TYPE_CHECKING:
    from neurozarr.samples.sample import Sample

#: Memory of a job that makes a page, beside that of any job and of chunks, in MB.
REPORT_MB = 400


def block_memory_mb(sample: Sample, level: int, threads: int) -> int:
    """Memory of a job that writes a block of a level with a number of threads."""
    if level == sample.first > 0:  # The chunks of others may be larger.
        return max(sample.levels[n].memory_mb(threads) for n in (level - 1, level))
    if level or sample.levels[level].given:
        return sample.levels[level].memory_mb(threads)
    return plan.base_memory_mb(
        sample.levels[0],
        threads,
        native_chunk_shape=sample.source.native_chunk_shape,
        held_bytes=sample.source.held_bytes,
    )


def export_memory_mb(sample: Sample) -> int:
    """Memory of a job that exports a level."""
    if not sample.is_planned:
        return plan.BASE_MEMORY_MB + 2 * sample.megabytes
    base = sample.levels[0]
    return export.memory_mb(base.shape, base.chunks, sample.source.axes, base.dtype)


def export_minutes(sample: Sample, level: int) -> int:
    """Time limit of a job that exports a level."""
    if not sample.is_planned:
        return plan.MIN_MINUTES + sample.megabytes // 60
    return sample.levels[level].export_minutes


def report_memory_mb(sample: Sample) -> int:
    """Memory of a job that makes the page of a store: that of the pictures, and a few chunks."""
    chunk = 0
    if sample.is_planned:
        chunk = max(math.prod(level.chunks) * level.dtype.itemsize for level in sample.levels)
    return plan.BASE_MEMORY_MB + REPORT_MB + math.ceil(4 * chunk / 1e6)


def verify_memory_mb(sample: Sample, verify: str, threads: int) -> int:
    """Memory of a job that verifies the store, "quick" or "full", with a number of threads."""
    if verify != "full":
        return plan.BASE_MEMORY_MB
    if not sample.is_planned:
        return plan.BASE_MEMORY_MB + 2 * sample.megabytes
    return max(block_memory_mb(sample, level, threads) for level in range(len(sample.levels)))


def verify_minutes(sample: Sample, verify: str, threads: int) -> int:
    """Time limit of a job that verifies the store, "quick" or "full", with a number of threads."""
    if verify != "full":
        return plan.MIN_MINUTES
    if not sample.is_planned:
        return plan.MIN_MINUTES + sample.megabytes // 60
    return plan.verify_minutes(sample.levels, threads)
