"""Which cluster is configured on this machine, and removal of one whose test run was killed.

All files of a cluster of the tests are in one directory, and the files in /etc/slurm are links to
it. Its name tells the process that started the cluster, so that a link alone shows whether that
process still runs, even if the directory has been deleted.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from ..programs import PATIENCE

#: Default directory of SLURM's configuration. SLURM_CONF cannot replace it, because the executor
#: plugin removes this variable from the environment of jobs within jobs.
ETC = Path("/etc/slurm")
#: Files in it that a cluster of the tests has.
FILES = ("slurm.conf", "cgroup.conf")
_NAME = re.compile(r"neurozarr-cluster-(\d+)-(\d+)-\w+")


def make() -> Path:
    """Make the directory of a cluster that this process starts."""
    started = _started(os.getpid())
    folder = Path(tempfile.mkdtemp(prefix=f"neurozarr-cluster-{os.getpid()}-{started}-"))
    folder.chmod(0o755)  # For the user munge.
    return folder


def configured(etc: Path) -> list[str]:
    """Describe each file that configures a cluster on this machine."""
    found = []
    for file in (etc / name for name in FILES):
        folder = _folder(file)
        if folder is not None:
            found.append(f"{file} of process {_owner(folder)[0]}, which runs these tests")
        elif os.path.lexists(file):
            found.append(str(file))
    return found


def remove_abandoned(etc: Path) -> None:
    """Remove the cluster of a test run that was killed; leave any other as it is."""
    if not etc.is_dir() or not os.access(etc, os.W_OK):
        return
    lock = os.open(etc, os.O_RDONLY)
    try:
        # Else, one of two test runs could remove the links of the other, made since it looked.
        fcntl.flock(lock, fcntl.LOCK_EX)
        for folder in {folder for name in FILES if (folder := _folder(etc / name))}:
            process, started = _owner(folder)
            if _started(process) != started:
                remove(folder, etc)
    finally:
        os.close(lock)


def remove(folder: Path, etc: Path) -> None:
    """Kill the daemons and jobs of a cluster, and remove its files and the links to them."""
    end = time.monotonic() + PATIENCE
    while running := _processes(folder):
        assert time.monotonic() < end, f"{running} cannot be killed"
        for process in running:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.05)
    for file in (etc / name for name in FILES):
        if _folder(file) == folder:
            file.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _folder(file: Path) -> Path | None:
    """Directory of the cluster of tests that a file in /etc/slurm is a link to."""
    if not file.is_symlink():
        return None
    target = file.readlink()
    made = target.name == file.name and _NAME.fullmatch(target.parent.name)
    return target.parent if made else None


def _owner(folder: Path) -> tuple[int, int]:
    """The process that started a cluster: its number, and when it started."""
    found = _NAME.fullmatch(folder.name)
    assert found, folder
    return int(found[1]), int(found[2])


def _started(process: int) -> int | None:
    """When a process was started, in clock ticks since the machine was; None if it has ended."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(fields[18])


def _processes(folder: Path) -> list[psutil.Process]:
    """Daemons with open files in the directory of a cluster, and all that they have started."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name().startswith(("munged", "slurm")) and any(
                folder in Path(file.path).parents for file in process.open_files()
            ):
                found += [process, *process.children(recursive=True)]
    return [process for process in found if _started(process.pid) is not None]
