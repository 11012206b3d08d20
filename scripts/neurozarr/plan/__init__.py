"""The plan of a conversion: levels, blocks (one per job), and memory and time of the jobs."""

from neurozarr.plan.further import plan_further
from neurozarr.plan.levels import (
    BASE_MEMORY_MB,
    MAX_THREADS,
    MIN_MINUTES,
    Level,
    base_memory_mb,
    plan_levels,
    verify_minutes,
)

__all__ = [
    "BASE_MEMORY_MB",
    "MAX_THREADS",
    "MIN_MINUTES",
    "Level",
    "base_memory_mb",
    "plan_further",
    "plan_levels",
    "verify_minutes",
]
