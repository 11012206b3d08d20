"""Which run works on a sample: two at once, of two directories, would undo each other's work.

A run's claim is a file beside the receipts of its sample. It stays when the run has ended: whether
the run goes on is for the caller to say. Jobs know the name of their run from their environment,
and one whose run was replaced, because it was killed without its jobs, does nothing.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from neurozarr.documents import read_json, write_json
from neurozarr.errors import ClaimError

#: Environment variable of a run's jobs: its name.
VARIABLE = "NEUROZARR_RUN"


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


def start(files: Iterable[Path], run: Run, *, is_running: Callable[[Path], bool]) -> None:
    """Claim samples for a run, in place of runs that have ended.

    Parameters
    ----------
    files
        Claims, in the directories that are named like their samples.
    run
        Who claims.
    is_running
        Whether a run that was started in a directory goes on.

    Raises
    ------
    ClaimError
        Another run, of another directory, goes on with one of them.
    """
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with file.open("x"):
                pass
        except FileExistsError:
            _check_ended(file, run, is_running)
        write_json(file, asdict(run))
    os.environ[VARIABLE] = run.name


def _check_ended(file: Path, run: Run, is_running: Callable[[Path], bool]) -> None:
    other = read(file)
    if other is None or other.directory == run.directory:
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


def check(file: Path) -> None:
    """Raise a ClaimError in a job of a run whose claim is another one's now."""
    run = read(file)
    if run is not None and os.environ.get(VARIABLE, run.name) != run.name:
        raise ClaimError("another run has taken it over since this job was planned")


def read(file: Path) -> Run | None:
    """The run of a claim; None where there is none, or it was not written to its end."""
    try:
        return Run(**read_json(file)) if file.stat().st_size else None
    except FileNotFoundError:
        return None
