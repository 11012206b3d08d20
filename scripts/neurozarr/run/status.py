"""How far the runs are that write to an output directory: read from what they leave on the disk.

Nothing is written, and files may appear and disappear meanwhile.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from neurozarr.run import pace, summary
from neurozarr.run.partial import bytes_of_block
from neurozarr.run.paths import StorePaths
from neurozarr.run.records import LOST, FoundRun, PlannedSample, find
from neurozarr.zarr.documents import LABELS

State = Literal["done", "failed", "running", "waiting", "interrupted", "unfinished"]

_STORE = re.compile(r"(.+)\.(?:nii|ome|in-place)\.zarr")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How much of the levels of a sample is written.

    Attributes
    ----------
    levels
        For each level: the number of its blocks that are written, and of all.
    first
        Number of the first of these levels.
    megabytes, total
        Size of the voxels that are written, and of all, in MB.
    left
        Size of those that the run has yet to write, in MB.
    written
        When the run wrote voxels, and how many, in MB.
    began
        When it began to; None if it has not.
    """

    levels: tuple[tuple[int, int], ...] = ()
    first: int = 0
    megabytes: float = 0.0
    total: float = 0.0
    left: float = 0.0
    written: tuple[tuple[float, float], ...] = ()
    began: float | None = None

    @property
    def levels_done(self) -> int:
        """Number of the levels of which all blocks are written."""
        return sum(done == count for done, count in self.levels)


@dataclass(frozen=True, kw_only=True)
class SampleStatus:
    """How far a sample is.

    Attributes
    ----------
    name
        Its name.
    state
        "done", "failed", "running", "waiting"; "interrupted" if its run was killed; "unfinished"
        if its run ended before it was done, without an error of its own.
    progress
        How much is written.
    speed
        Recent speed of its jobs, in MB/s.
    reason, log
        Why it failed, and the log that says more.
    """

    name: str
    state: State
    progress: Progress = field(default_factory=Progress)
    speed: float = 0.0
    reason: str = ""
    log: str = ""

    @property
    def seconds_left(self) -> float | None:
        """Estimated time until its levels are written; None if unknown or if nobody writes them."""
        if self.state != "running":
            return None
        return pace.seconds_left(self.progress.left, self.speed)


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far an output directory is.

    Attributes
    ----------
    runs
        The last run of each sample, the oldest first.
    samples
        All samples, those of older runs first.
    speed
        Recent speed of the active runs together, in MB/s.
    """

    runs: tuple[FoundRun, ...]
    samples: tuple[SampleStatus, ...]
    speed: float

    @property
    def seconds_left(self) -> float | None:
        """Estimated time until the active runs have written all levels; None if unknown."""
        going = [sample for sample in self.samples if sample.state in ("running", "waiting")]
        return pace.seconds_left(sum(sample.progress.left for sample in going), self.speed)


def read(output: str) -> Status:
    """Find how far the samples of an output directory are.

    Parameters
    ----------
    output
        The directory.
    """
    now = time.time()
    runs = find(output)
    last = {name: run for run in runs for name in run.record.samples}
    samples = [
        _sample(name, run, output, now)
        for run in runs
        for name in run.record.samples
        if last[name] is run
    ]
    recorded = {run.record.paths(name, output).state for name, run in last.items()}
    others = [
        SampleStatus(name=name, state=_unrecorded(found, now))
        for name, found in _unknown(Path(output, ".state"), recorded)
    ]
    named = {id(run) for run in last.values()}
    active = {name for name, run in last.items() if run.state == "active"}
    written = [
        event for sample in samples if sample.name in active for event in sample.progress.written
    ]
    since = min((run.began for run in runs if run.state == "active"), default=now)
    return Status(
        runs=tuple(run for run in runs if id(run) in named),
        samples=(*others, *samples),
        speed=pace.speed(written, since=since, now=now),
    )


def _unknown(
    top: Path, known: Collection[Path], before: str = "", *, labels: bool = False
) -> Iterator[tuple[str, dict[str, float]]]:
    """Names of samples whose directories of receipts are not known, and what is in these.

    Labels of a known image are known, because runs of the image have them, too.
    """
    for entry in sorted(_times(top)):
        place, match = top / entry, _STORE.fullmatch(entry)
        if place in known:
            continue
        if not (match or labels):  # A directory with samples, or a file.
            yield from _unknown(place, known, f"{before}{entry}/")
            continue
        name = before + (match[1] if match and not labels else entry)
        found = _times(place)
        if "ome.json" in found or "0" in found or any(file.startswith("run-") for file in found):
            yield name, found
        if LABELS in found and not labels:
            yield from _unknown(place / LABELS, known, f"{name}/{LABELS}/", labels=True)


def _unrecorded(found: dict[str, float], now: float) -> State:
    """State of a sample of no known run: a run writes its record soon after it has claimed it."""
    if "ome.json" in found:
        return "done"
    return "waiting" if now - max(found.values()) < LOST else "unfinished"


def _times(folder: Path) -> dict[str, float]:
    """When each entry of a directory was changed; empty if there is none."""
    found = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(OSError):  # It was deleted meanwhile.
                    found[entry.name] = entry.stat(follow_symlinks=False).st_mtime
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
            raise
    return found


def _sample(name: str, run: FoundRun, output: str, now: float) -> SampleStatus:
    planned, paths = run.record.samples[name], run.record.paths(name, output)
    found, since = _times(paths.state), run.began
    ends = [found.get(end, 0.0) for end in planned.ends]
    last = paths.header_receipt if paths.nii else paths.ome_receipt
    if planned.ends:
        is_done = run.state == "well" or min(ends) >= since
    else:  # Also of a run that was asked for some steps only.
        is_done = last.name in found and (run.state == "well" or not planned.is_todo)
    if is_done and max(ends, default=0.0) < now - pace.WINDOW:
        return SampleStatus(name=name, state="done", progress=_complete(planned))
    progress = _progress(planned, paths, found, since, now)
    reason = log = ""
    if not is_done and (failure := _failure(name, run, paths)):
        reason, log = failure
    # Levels of DICOM images are not known before they are written.
    begun = any(
        when >= since for entry, when in found.items() if not entry.startswith(("run-", "owned"))
    )
    state = _state(run.state, is_done=is_done, failed=bool(reason), begun=begun)
    if state == "done":
        whole = _complete(planned)
        progress = Progress(
            levels=whole.levels,
            megabytes=whole.total,
            total=whole.total,
            written=progress.written,
            began=progress.began,
        )
    began = since if progress.began is None else progress.began
    speed = pace.speed(progress.written, since=began, now=now) if run.state == "active" else 0.0
    return SampleStatus(
        name=name, state=state, progress=progress, speed=speed, reason=reason, log=log
    )


def _state(run: str, *, is_done: bool, failed: bool, begun: bool) -> State:
    if is_done:
        return "done"
    if failed:
        return "failed"
    if run == "active":
        return "running" if begun else "waiting"
    return "interrupted" if run == "gone" else "unfinished"


def _complete(planned: PlannedSample) -> Progress:
    size = sum(_voxels(level.shape) for level in planned.levels) * planned.bytes_per_voxel / 1e6
    return Progress(
        levels=tuple((level.blocks, level.blocks) for level in planned.levels),
        megabytes=size,
        total=size,
    )


def _voxels(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _progress(
    planned: PlannedSample,
    paths: StorePaths,
    state: Collection[str],
    since: float,
    now: float,
) -> Progress:
    """Compare the receipts of a sample with the plan."""
    levels, times = [], []
    written: list[tuple[float, float]] = []
    total = megabytes = left = 0.0
    for level in planned.levels:
        place = paths.level(level.number)
        found = _times(place.state) if str(level.number) in state else {}
        times += [when for name, when in found.items() if when >= since and name != "owned.json"]
        done = 0
        for block in range(level.blocks):
            size = level.voxels(block) * planned.bytes_per_voxel
            total += size / 1e6
            when = found.get(f"block-{block}.json")
            if when is not None and (when >= since or not level.is_todo(block)):
                done += 1
                megabytes += size / 1e6
                if when >= since:
                    written.append((when, size / 1e6))
                continue
            part = 0
            if f"partial-{block}.json" in found:
                part = bytes_of_block(place, block, size, since=since)
                written.append((now, part / 1e6))
            megabytes += part / 1e6
            left += (size - part) / 1e6
        levels.append((done, level.blocks))
    return Progress(
        levels=tuple(levels),
        first=planned.levels[0].number if planned.levels else 0,
        megabytes=megabytes,
        total=total,
        left=left,
        written=tuple(written),
        began=min(times, default=None),
    )


def _failure(name: str, run: FoundRun, paths: StorePaths) -> tuple[str, str] | None:
    """Why a sample has failed, and the log that says more; None if it has not."""
    folder = Path(run.record.logs, name)
    logs = [folder / entry for entry in _times(folder) if entry.endswith(".log")]
    shared = [Path(run.record.directory, log) for log, of in run.now.failed.items() if name in of]
    if not logs and not shared:
        return None
    task = summary.Task(
        name=name,
        paths=paths,
        bytes=0,
        logs=tuple(logs),
        shared=shared[-1] if shared else None,
    )
    with suppress(OSError):  # A job that is tried again writes its log anew.
        found = summary.failure(task) or (summary.ended_early(task) if shared else None)
        return None if found is None else (found[0], str(found[1]))
    return None
