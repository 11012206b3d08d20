"""Speed and time left, from the times at which voxels were written."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Seconds over which a speed is measured, and the number of times that it needs in them: if there
#: are fewer, as of large blocks, it is measured over as many, or since the start.
WINDOW = 300.0
EVENTS = 10
#: Shortest time by which voxels are divided, in seconds.
_SHORTEST = 1.0
#: Longest time left that is told, in seconds: 1000 days.
_LONGEST = 1000 * 86400.0


def speed(written: Sequence[tuple[float, float]], *, since: float, now: float) -> float:
    """Return the recent speed, in MB/s.

    Clocks of machines differ, and may be set while a run goes on: what was written after ``now``
    counts as written now.

    Parameters
    ----------
    written
        When voxels were written, in seconds, and how many, in MB, in any order.
    since
        When the first one was begun.
    now
        The time now.

    Returns
    -------
    float
        At least 0, and finite for finite sizes.
    """
    times = sorted((when for when, _ in written if when >= since), reverse=True)
    if not times:
        return 0.0
    now = max(now, times[0])
    start = now - WINDOW
    if len(times) < EVENTS or times[EVENTS - 1] < start:
        start = times[EVENTS] if len(times) > EVENTS else since
    start = max(start, since)
    size = sum(megabytes for when, megabytes in written if when > start or start == since == when)
    return max(size, 0.0) / max(now - start, _SHORTEST)


def seconds_left(megabytes: float, speed: float) -> float | None:
    """Return the time that some voxels take, in seconds; None if nobody knows.

    Parameters
    ----------
    megabytes
        Size of the voxels that are not yet written, in MB.
    speed
        In MB/s.
    """
    if megabytes <= 0:
        return 0.0
    seconds = megabytes / speed if speed > 0 else math.inf
    return seconds if seconds <= _LONGEST else None


def duration(seconds: float) -> str:
    """Say a duration in words that are as exact as an estimate."""
    for unit, size, most in (("s", 1, 120), ("min", 60, 120 * 60), ("h", 3600, 48 * 3600)):
        if seconds < most:
            return f"{max(seconds, 0) / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"
