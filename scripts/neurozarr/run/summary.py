"""What a run says at its end: which stores it made, which samples failed and why, what to do next.

It is read from the receipts and from the logs of the jobs, wherever these ran.
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neurozarr.run import claims
from neurozarr.run.notices import named
from neurozarr.run.paths import StorePaths
from neurozarr.tables import megabytes
from neurozarr.zarr.documents import read_record

#: Stores that are listed; of more, there is one line for all.
MAX_LISTED = 20
#: Bytes at the end of a log in which its last error is sought.
MAX_LOG = 2**20

#: The beginning of a message in a log (see `neurozarr.run.joblog`).
_MESSAGE = re.compile(r"^\d{4}-\d\d-\d\d [\d:]+,\d+ (\w+) ", re.M)
_CRASH = re.compile(r"^Fatal Python error: .*", re.M)
#: What is said of a job that logged no error.
_ENDED = "its job ended early: it was killed, or needed more memory or time than it had"


@dataclass(frozen=True, kw_only=True)
class Task:
    """A sample that a run has jobs for.

    Attributes
    ----------
    name
        Name of the sample.
    paths
        Paths of its store.
    bytes
        Size of the files of its source; 0 if unknown.
    logs
        Logs of its own jobs.
    shared
        Log of the job in which it is converted together with others, if it is.
    """

    name: str
    paths: StorePaths
    bytes: int
    logs: tuple[Path, ...]
    shared: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Made:
    """A converted store: its number of levels, sizes in bytes, and the seconds it took."""

    store: Path
    levels: int
    read: int
    written: int
    seconds: float


def made(task: Task) -> Made:
    """Describe the store of a sample that was converted."""
    paths = task.paths
    receipts = list(paths.state.glob("[0-9]*/block-*.json"))
    ends = [paths.ome_receipt, paths.header_receipt, paths.verify_receipt]
    start = max(_time(paths.level(0).array_receipt), claims.started(paths.state))
    return Made(
        store=paths.store,
        levels=len({receipt.parent for receipt in receipts}),
        read=task.bytes,
        written=sum((read_record(receipt) or {}).get("bytes", 0) for receipt in receipts),
        seconds=max(0.0, max(map(_time, ends)) - start),
    )


def failure(task: Task) -> tuple[str, Path] | None:
    """Why a sample was not converted, and the log that says more; None if no job of it has failed.

    Errors of earlier runs do not count: only logs that are newer than the claim of this run.
    """
    since = claims.started(task.paths.state)
    found = sorted((log for log in task.logs if _time(log) >= since), key=_time, reverse=True)
    for log in found:
        if reason := last_error(log):
            return reason, log
    return None


def ended_early(task: Task) -> tuple[str, Path] | None:
    """Why an unfinished sample without an error is so, and the log; None if no job was started."""
    since = claims.started(task.paths.state)
    own = [log for log in task.logs if _time(log) >= since]
    if own:
        return _ENDED, max(own, key=_time)
    if task.shared is not None and _time(task.shared) >= since:
        return last_error(task.shared) or _ENDED, task.shared
    return None


def reasons(tasks: Sequence[Task], done: Sequence[bool]) -> dict[str, tuple[str, Path]]:
    """Why samples failed, and the log that says more, by the name of the sample.

    Parameters
    ----------
    tasks
        The samples of the jobs of a run.
    done
        Whether nothing is left to be done for each of them.
    """
    found = {}
    for task, is_done in zip(tasks, done, strict=True):
        if reason := failure(task) or (None if is_done else ended_early(task)):
            found[task.name] = reason
    return found


def last_error(log: Path) -> str:
    """The last error in a log, in one line; "" if there is none."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - MAX_LOG))
        text = file.read().decode(errors="replace")
    _, *messages = _MESSAGE.split(text)
    for level, message in reversed(list(zip(messages[::2], messages[1::2], strict=True))):
        if level == "ERROR":
            lines = message.strip().splitlines()
            # Of an error that is not a user's, the last line of the traceback has the type too.
            is_bug = any(line.startswith("Traceback ") for line in lines)
            return lines[-1 if is_bug else 0] if lines else "an error without a message"
    crash = _CRASH.search(text)
    return crash[0] if crash else ""


def success_text(
    tasks: Sequence[Task],
    *,
    output: str,
    seconds: float,
    commands: Mapping[str, str | Path],
    notices: Sequence[str],
) -> str:
    """What is printed last after a run in which no job failed.

    Parameters
    ----------
    tasks
        The samples of its jobs.
    output
        Output directory.
    seconds
        Duration of the run.
    commands
        What else can be done with the stores, and the command that does it; or what was made
        beside them, and where it is.
    notices
        Warnings of the plan.
    """
    lines = [*_repeated(notices), ""]
    stores = [made(task) for task in tasks if all(file.exists() for file in task.paths.marks)]
    if unfinished := len(tasks) - len(stores):
        lines.append(
            f"neurozarr: {unfinished} of {len(tasks)} samples are not finished, because only some "
            "steps were asked for: to finish them, run again without names of rules or files, "
            "--until and --omit-from"
        )
    if not stores:
        return "\n".join(lines)
    if len(stores) > MAX_LISTED:
        read, written = (sum(getattr(store, of) for store in stores) for of in ("read", "written"))
        lines.append(
            f"neurozarr: {len(stores)} stores in {output}: {sum(s.levels for s in stores)} levels, "
            f"{_mb(read)} MB in, {_mb(written)} MB out, {seconds:.0f} s"
        )
    else:
        count = "1 store" if len(stores) == 1 else f"{len(stores)} stores"
        lines.append(f"neurozarr: {count} in {seconds:.0f} s")
        width = max(len(str(store.store)) for store in stores)
        lines.append(f"{'store':<{width}}  levels      MB in     MB out    seconds")
        lines += [
            f"{store.store!s:<{width}}  {store.levels:>6} {_mb(store.read):>10} "
            f"{_mb(store.written):>10} {store.seconds:>10.1f}"
            for store in stores
        ]
    view = shlex.join(["neurozarr", "view", str(stores[0].store)])
    for what, command in {"to look at it": view, **commands}.items():
        lines.append(f"{f'{what}:':<20} {command}")
    return "\n".join(lines)


def failure_text(
    tasks: Sequence[Task],
    done: Sequence[bool],
    *,
    again: str,
    notices: Sequence[str],
) -> str:
    """What is printed last after a run in which a job failed.

    Parameters
    ----------
    tasks
        The samples of its jobs.
    done
        Whether nothing is left to be done for each of them.
    again
        Command that goes on.
    notices
        Warnings of the plan.
    """
    alike: dict[tuple[str, Path], list[str]] = defaultdict(list)
    failed = reasons(tasks, done)
    for name, found in failed.items():
        alike[found].append(name)
    others = [is_done for task, is_done in zip(tasks, done, strict=True) if task.name not in failed]
    converted, waiting = others.count(True), others.count(False)
    lines = [*_repeated(notices), "", f"neurozarr: {len(failed)} of {len(tasks)} samples failed"]
    for (reason, log), (first, *more) in alike.items():
        who = f"sample {first}" + (f" and {named(more)}" if more else "")
        lines.append(f"  {who}: {reason} (more in {log})")
    counts = []
    if converted:
        counts.append(
            f"{converted} of {len(tasks)} samples {_are(converted)} converted all the same"
        )
    if waiting:
        counts.append(f"{waiting} {_are(waiting)} not finished")
    if counts:
        lines.append(", ".join(counts))
    lines.append(f"to go on, when the reasons are removed (it does only what is missing): {again}")
    return "\n".join(lines)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _repeated(notices: Sequence[str]) -> list[str]:
    return ["", "warnings:", *(f"  {notice}" for notice in notices)] if notices else []


def _mb(size: int) -> str:
    return megabytes(size / 1e6) if size else "-"


def _time(file: Path) -> float:
    """Time of the last change of a file, in seconds; 0 if there is none."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
