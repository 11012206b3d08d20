"""Which run works on a sample: two at once, of two directories, would undo each other's work.

A run's claim is a numbered file beside the receipts of its sample, `run-<number>.json`: that of the
highest number counts. A run takes a sample over by making the file of the next number, which only
one of those that try can. The claim stays when the run has ended: whether the run goes on is for
the caller to say. Jobs know the name of their run from their environment, and one whose run was
replaced, because it was killed without its jobs, does nothing.
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
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from neurozarr.errors import ClaimError

logger = logging.getLogger(__name__)

#: Environment variable of a run's jobs: its name.
VARIABLE = "NEUROZARR_RUN"
#: How long a claim may take to be written, in seconds, and how often it is looked at meanwhile.
PATIENCE = 2.0
_PAUSE = 0.02


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run.

    Attributes
    ----------
    directory
        Where it was started.
    repair
        The command that makes some of its files again, in the place of FILES.
    host, name
        The machine that it was started on; and what no other run has.
    """

    directory: str
    repair: str
    host: str = field(default_factory=socket.gethostname)
    name: str = field(default_factory=lambda: uuid.uuid4().hex)


def start(states: Iterable[Path], run: Run, *, is_running: Callable[[Path], bool]) -> None:
    """Claim samples for a run, in place of runs that have ended.

    Parameters
    ----------
    states
        Directories of the claims, which are named like their samples.
    run
        Who claims.
    is_running
        Whether a run that was started in a directory goes on.

    Raises
    ------
    ClaimError
        Another run, of another directory, goes on with one of them.
    """
    for state in states:
        state.mkdir(parents=True, exist_ok=True)
        while not _take_over(state, run, is_running):
            pass
    os.environ[VARIABLE] = run.name


def _take_over(state: Path, run: Run, is_running: Callable[[Path], bool]) -> bool:
    """Claim a sample; False where another run did so meanwhile, whose claim is to be judged."""
    number, other = _last(state)
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
    # Had others come and gone since it was looked, theirs may be higher.
    numbers = _numbers(state)
    for old in numbers:
        if old < max(numbers):
            with suppress(OSError):
                _file(state, old).unlink()
    return max(numbers) == number + 1


def _check_ended(file: Path, other: Run, run: Run, is_running: Callable[[Path], bool]) -> None:
    if other.directory == run.directory:
        return
    directory = Path(other.directory)
    # Of a directory that is not to be seen from here, nobody can say.
    is_hidden = other.host != run.host and not directory.exists()
    if is_hidden or is_running(directory):
        raise ClaimError(
            f"sample {file.parent.name}: a run on {other.host}, started in {directory}, is at work "
            "on it: wait until it has ended. If it was killed, release its directory with "
            f"snakemake --unlock there; if that is gone, delete {file}"
        )


def check(state: Path) -> None:
    """Raise a ClaimError in a job of a run whose claim is another one's now."""
    run = read(state)
    if run is not None and os.environ.get(VARIABLE, run.name) != run.name:
        raise ClaimError("another run has taken it over since this job was planned")


def read(state: Path) -> Run | None:
    """The run that claimed a sample last; None where none did, or its claim is damaged."""
    return _last(state)[1]


def _last(state: Path) -> tuple[int, Run | None]:
    """The highest number of a claim, 0 where there is none, and its run.

    One that is no claim may be being written: it is waited for, and then counts as absent.
    """
    end = time.monotonic() + PATIENCE
    while True:
        number = max(_numbers(state), default=0)
        if not number:
            return 0, None
        file = _file(state, number)
        try:
            return number, Run(**json.loads(file.read_text()))
        except FileNotFoundError:  # A later one took its place.
            problem = "it is gone"
        except (ValueError, TypeError) as error:
            problem = str(error)
        if time.monotonic() > end:
            logger.warning("%s: not a claim of a run (%s): it counts as absent", file, problem)
            return number, None
        time.sleep(_PAUSE)


def _file(state: Path, number: int) -> Path:
    return state / f"run-{number}.json"


def _numbers(state: Path) -> list[int]:
    """The numbers of the claims in a directory."""
    try:
        names = os.listdir(state)
    except FileNotFoundError:
        return []
    return [int(found[1]) for name in names if (found := re.fullmatch(r"run-(\d+)\.json", name))]
