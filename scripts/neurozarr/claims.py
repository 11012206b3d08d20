"""Which run works on a sample: two at once, of two directories, would undo each other's work.

A run's claim is a file beside the receipts of its sample. It stays when the run has ended: whether
the run goes on is for the caller to say.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from neurozarr.documents import read_json, write_json
from neurozarr.errors import ClaimError


@dataclass(frozen=True)
class Run:
    """A run: its name, which no other has, and where it was started."""

    name: str
    directory: str
    host: str = field(default_factory=socket.gethostname)


def claim(file: Path, run: Run, *, is_running: Callable[[Path], bool]) -> None:
    """Write a run's claim, in place of one whose run has ended.

    Parameters
    ----------
    file
        The claim.
    run
        Who claims.
    is_running
        Whether a run that was started in a directory goes on.

    Raises
    ------
    ClaimError
        Another run, of another directory, goes on.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x"):
            pass
    except FileExistsError:
        other = _read(file)
        if other is not None and other.directory != run.directory:
            directory = Path(other.directory)
            # Of a directory that is not to be seen from here, nobody can say.
            if is_running(directory) or (other.host != run.host and not directory.exists()):
                raise ClaimError(
                    f"a run on {other.host}, started in {other.directory}, works on "
                    f"{file.parent.name}: wait for it to end. If it was killed, release its "
                    f"directory with snakemake --unlock; if that is gone, delete {file}"
                ) from None
    write_json(file, asdict(run))


def holds(file: Path, name: str) -> bool:
    """Whether a claim is that of the run of a name."""
    run = _read(file)
    return run is not None and run.name == name


def _read(file: Path) -> Run | None:
    """The run of a claim; None of one that was not written to its end."""
    if not file.exists() or not file.stat().st_size:
        return None
    return Run(**read_json(file))
