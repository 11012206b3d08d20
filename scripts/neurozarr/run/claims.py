"""Claims: they keep two runs from converting the same sample at the same time.

A claim is a numbered file beside the receipts of a sample, `run-<number>.json`. The highest number
is the valid claim. A run takes a sample over by creating the file with the next number, which only
one run can do. A claim stays after its run has ended. A run is still active if its process is, on
this machine, or if the caller tells so. Jobs read the name of their run from the environment. If a
run is killed but its jobs are not, and another run takes the sample over, the old jobs find the new
claim and end: at once, or within seconds if they are writing voxels.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

from neurozarr.errors import ClaimError
from neurozarr.run.processes import is_alive

logger = logging.getLogger(__name__)

#: Environment variable that tells a job the name of its run.
VARIABLE = "NEUROZARR_RUN"
#: Seconds to wait for another process to finish writing its claim, and between two looks at it.
TIMEOUT = 2.0
_PAUSE = 0.02
#: Claims that are synced at once.
_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of the workflow, as recorded in its claims.

    Attributes
    ----------
    directory
        Working directory in which the run was started.
    repair
        Shell command that writes damaged files again; FILES in it stands for their paths.
    host
        Machine on which the run was started.
    name
        Unique name of the run.
    machine, process
        See `neurozarr.run.processes.is_alive`; unknown by default.
    """

    directory: str
    repair: str
    host: str = field(default_factory=socket.gethostname)
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    machine: str = ""
    process: tuple[int, str] = (0, "")


@cache
def name_of_process() -> str:
    """Name of the run of this process, which may use the workflow as several modules."""
    return uuid.uuid4().hex


def start(states: Iterable[Path], run: Run, *, is_running: Callable[[Path], bool]) -> None:
    """Claim samples for a run, replacing the claims of runs that have ended.

    Parameters
    ----------
    states
        Directories of the claims, one for each sample.
    run
        The run that claims the samples.
    is_running
        Tells whether a run that was started in the given directory is still active.

    Raises
    ------
    ClaimError
        Another run is still converting one of the samples.
    """

    def claim(state: Path) -> None:
        state.mkdir(parents=True, exist_ok=True)
        while not _take_over(state, run, is_running):
            pass

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(claim, states):
            pass
    os.environ[VARIABLE] = run.name


def _take_over(state: Path, run: Run, is_running: Callable[[Path], bool]) -> bool:
    """Claim a sample; return False if another run claimed it at the same time: then try again."""
    number, other = _latest(state)
    if other is not None:
        _check_ended(_file(state, number), other, run, is_running)
    file = _file(state, number + 1)
    try:
        with file.open("x") as stream:
            json.dump(asdict(run), stream, indent=2)
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError:
        return False
    except OSError:
        file.unlink(missing_ok=True)
        raise
    # Other runs may have made claims with higher numbers since `_latest` was called.
    numbers = _numbers(state)
    for old in numbers:
        if old < max(numbers):
            with suppress(OSError):
                _file(state, old).unlink()
    return max(numbers) == number + 1


def _check_ended(file: Path, other: Run, run: Run, is_running: Callable[[Path], bool]) -> None:
    if other.name == run.name:
        return
    directory = Path(other.directory)
    # A directory on another machine may not be visible from here: assume that its run is active.
    is_hidden = other.host != run.host and not directory.exists()
    # Snakemake locks its own directory. After --unlock, and with --nolock, there is no lock.
    is_locked = other.directory != run.directory and (is_hidden or is_running(directory))
    if is_locked or is_alive(other.machine, other.process):
        raise ClaimError(
            f"sample {file.parent.name}: a run on {other.host}, started in {directory}, is "
            "converting it: wait until it has ended. If it was killed, run snakemake --unlock in "
            f"that directory; if the directory no longer exists, delete {file}"
        )


def check(state: Path) -> None:
    """Raise a ClaimError if another run has claimed the sample since this job's run did."""
    run = read(state)
    if run is not None and os.environ.get(VARIABLE, run.name) != run.name:
        raise ClaimError("another run has claimed this sample since this job was planned")


def read(state: Path) -> Run | None:
    """Return the run that claimed a sample last; None if there is no claim or it is damaged."""
    return _latest(state)[1]


def started(state: Path) -> float:
    """When a sample was claimed last, by the clock of the file system; 0 if it never was."""
    with suppress(FileNotFoundError):
        return max((_file(state, number).stat().st_mtime for number in _numbers(state)), default=0)
    return 0.0


def _latest(state: Path) -> tuple[int, Run | None]:
    """Return the highest number of a claim, 0 if there is none, and its run.

    If the file is not a valid claim, another process may still be writing it: wait for at most
    TIMEOUT, then treat it as missing.
    """
    end = time.monotonic() + TIMEOUT
    while True:
        number = max(_numbers(state), default=0)
        if not number:
            return 0, None
        file = _file(state, number)
        try:
            run = Run(**json.loads(file.read_text()))
            process, began = run.process
            return number, replace(run, process=(int(process), str(began)))
        except FileNotFoundError:  # A newer claim has replaced it.
            problem = "the file was deleted"
        except (ValueError, TypeError) as error:
            problem = str(error)
        if time.monotonic() > end:
            logger.warning("%s: not a valid claim (%s): treated as missing", file, problem)
            return number, None
        time.sleep(_PAUSE)


def _file(state: Path, number: int) -> Path:
    return state / f"run-{number}.json"


def _numbers(state: Path) -> list[int]:
    """Return the numbers of the claims in a directory."""
    try:
        names = os.listdir(state)
    except FileNotFoundError:
        return []
    return [int(found[1]) for name in names if (found := re.fullmatch(r"run-(\d+)\.json", name))]
