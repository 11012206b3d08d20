"""File systems of several kinds, each in a file, which root can mount."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: Sizes in bytes of the smallest file systems that hold what tests write.
_SIZES = {"exfat": 2**26, "ext4": 2**26, "xfs": 320 * 2**20}
#: Programs that mount file systems that the kernel may not know.
_MOUNTED_BY = {"exfat": "exfat-fuse"}


def skip(reason: str) -> None:
    """Skip a test if this machine lacks something, unless the test is required here."""
    assert "NEUROZARR_NEEDS_LOOP" not in os.environ, reason
    pytest.skip(reason)


def make(kind: str, path: Path) -> Path:
    """Make an empty file system of a kind, such as ext4, in a file."""
    if kind in _MOUNTED_BY and not os.path.exists("/dev/fuse"):
        pytest.skip(f"mounting {kind} needs FUSE")
    if os.geteuid() != 0 or not shutil.which(f"mkfs.{kind}"):
        skip(f"mounting {kind} needs root and mkfs.{kind}")
    with path.open("wb") as file:
        file.truncate(_SIZES[kind])
    _command(f"mkfs.{kind}", *([] if kind == "exfat" else ["-q"]), path)
    return path


@contextmanager
def mounted(image: Path, folder: Path, kind: str = "auto") -> Iterator[Path]:
    """Mount a file system that is contained in a file."""
    folder.mkdir(exist_ok=True)
    _command("mount", "-t", _MOUNTED_BY.get(kind, kind), "-o", "loop", image, folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _command(*words: str | Path) -> None:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    if done.returncode:
        skip(f"{words[0]} does not work here: {done.stderr.strip()}")
