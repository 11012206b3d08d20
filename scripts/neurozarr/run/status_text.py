"""The text of `neurozarr status`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from neurozarr.run.pace import duration
from neurozarr.run.records import FoundRun
from neurozarr.run.status import SampleStatus, State, Status

#: Samples that are listed; if there are more, first those that somebody may wait for.
MAX_LISTED = 30

#: States in the order in which samples are listed, with what they are called.
_STATES: dict[State, str] = {
    "failed": "failed",
    "interrupted": "interrupted",
    "unfinished": "not finished",
    "running": "in progress",
    "waiting": "waiting",
    "done": "done",
}
_HEAD = ("sample", "state", "step", "levels", "MB of voxels", "MB/s", "time left")


def text(status: Status, output: str, *, everything: bool = False) -> str:
    """Describe how far an output directory is.

    Parameters
    ----------
    status
        What is to be described.
    output
        The directory.
    everything
        Whether all samples are listed.
    """
    samples = sorted(status.samples, key=lambda sample: [*_STATES].index(sample.state))
    listed = samples if everything else samples[:MAX_LISTED]
    lines = [f"{output}: {line}" for line in map(_run, status.runs)]
    lines += _table([_HEAD, *map(_row, listed)])
    if hidden := len(samples) - len(listed):
        lines.append(f"… and {hidden} more, which --all lists")
    lines += [
        f"{sample.name}: {sample.reason} (more in {sample.log})"
        for sample in listed
        if sample.reason
    ]
    return "\n".join([*lines, _totals(status)])


def _run(found: FoundRun) -> str:
    record = found.record
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.began))
    who = f"run on {record.host} (process {record.process[0]}), started {since}"
    how = {
        "active": "is in progress",
        "well": "has ended",
        "badly": "has ended with errors",
        "gone": "does not exist any more: run again",
    }[found.state]
    return f"{who} in {record.directory}, {how}"


def _row(sample: SampleStatus) -> tuple[str, ...]:
    progress = sample.progress
    left = sample.seconds_left
    return (
        sample.name,
        _STATES[sample.state],
        _step(sample),
        f"{progress.levels_done} of {len(progress.levels)}" if progress.levels else "-",
        f"{progress.megabytes:.1f} of {progress.total:.1f}" if progress.total else "-",
        f"{sample.speed:.1f}" if sample.speed else "-",
        duration(left) if left else "-",
    )


def _step(sample: SampleStatus) -> str:
    """What is done at the moment, or was done last."""
    if sample.state in ("done", "waiting"):
        return "-"
    for number, (done, count) in enumerate(sample.progress.levels, sample.progress.first):
        if done < count:
            blocks = f": {done} of {count} blocks" if count > 1 else ""
            return f"level {number}{blocks}"
    return "metadata, verification" if sample.progress.levels else "-"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number > 3 else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _totals(status: Status) -> str:
    samples = status.samples
    count = Counter(sample.state for sample in samples)
    states = ", ".join(f"{count[state]} {name}" for state, name in _STATES.items() if count[state])
    done = sum(sample.progress.megabytes for sample in samples)
    total = sum(sample.progress.total for sample in samples)
    said = [f"{len(samples)} {'sample' if len(samples) == 1 else 'samples'}: {states}"]
    if total:
        said.append(f"{done:.1f} of {total:.1f} MB of voxels")
    if status.speed:
        said.append(f"{status.speed:.1f} MB/s")
    if left := status.seconds_left if status.speed else None:
        said.append(f"{duration(left)} left")
    return "; ".join(said)
