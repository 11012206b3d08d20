"""Checks that a path is a file with its content; and paths of directories for TensorStore."""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from neurozarr.errors import SourceError

#: Part of the path of a content of git-annex, and start of a pointer to one.
_ANNEX = b"/annex/objects/"
#: Start of a pointer of Git LFS.
_LFS = b"version https://git-lfs.github.com/spec/"
#: The largest size of a pointer, that of git-annex, in bytes.
_MAX_POINTER = 2**15


def check_kind(path: str | Path) -> None:
    """Check that a path, if it exists, is a regular file whose content is on this disk.

    Reading a pipe might never end. The content of a file in a repository of git-annex (DataLad) or
    Git LFS may not have been downloaded.

    Raises
    ------
    SourceError
        The path is a directory, a pipe, a socket or a device, or its content is elsewhere.
    """
    status = _status(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise SourceError(f"{path}: a directory, a pipe or a device, not a file")
    if why := _elsewhere(path, status):
        raise SourceError(f"{path}: {why}")


def check_file(path: str | Path) -> None:
    """Check that a path is a regular file that can be read.

    Raises
    ------
    SourceError
        The path does not exist, is not a regular file, is not readable, or its content is
        elsewhere.
    """
    check_kind(path)
    if not os.path.exists(path):
        raise SourceError(f"{path}: there is no such file")
    if not os.access(path, os.R_OK):
        raise SourceError(f"{path}: the file cannot be read: permission denied")


def content_elsewhere(path: str | Path) -> str:
    """Say why a file has no content on this disk, and how to get it; "" if it has.

    Of a locked file, git-annex leaves a symbolic link to nothing; of an unlocked one, a short text
    (git-annex, "Internals: pointer files"). Git LFS leaves such a text, too (Git LFS
    specification, "The Pointer").
    """
    return _elsewhere(path, _status(path))


def _elsewhere(path: str | Path, status: os.stat_result | None) -> str:
    if status is None and os.path.islink(path):
        target = os.path.realpath(path)
        if _ANNEX.decode() in target:
            return f"its content is not here, only a link of git-annex: {_get(path)}"
        return f"there is no such file, only a link to {target}"
    start = b"" if status is None else _start_of_small(path, status)
    if start.startswith(_ANNEX):
        return f"its content is not here, only a pointer of git-annex: {_get(path)}"
    if start.startswith(_LFS):
        folder = shlex.quote(os.path.dirname(path) or ".")
        return f"its content is not here, only a pointer of Git LFS: run git -C {folder} lfs pull"
    return ""


def check_beside(path: str | Path) -> None:
    """Check that the files beside a file are found by programs that resolve symbolic links.

    git-annex keeps the content of each locked file in a directory of its own.

    Raises
    ------
    SourceError
        The path is a link into such a directory.
    """
    if _ANNEX.decode() in os.path.realpath(path):
        folder, name = os.path.split(path)
        raise SourceError(
            f"{path}: its image is in several files, which are found only if git-annex has "
            f"unlocked them: run git -C {shlex.quote(folder or '.')} annex unlock "
            f"{shlex.quote(name)}, and likewise for the others"
        )


def _get(path: str | Path) -> str:
    """Commands that download a file of git-annex."""
    folder, name = os.path.split(path)
    return (
        f"run datalad get {shlex.quote(str(path))}, or "
        f"git -C {shlex.quote(folder or '.')} annex get {shlex.quote(name)}"
    )


def _status(path: str | Path) -> os.stat_result | None:
    """The status of what a path leads to; None if that does not exist or cannot be known."""
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def _start_of_small(path: str | Path, status: os.stat_result) -> bytes:
    """The first bytes of a file, if it is small enough to be a pointer and can be read."""
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_POINTER:
        return b""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(len(_LFS))
    except OSError:  # Whoever reads the file says so.
        return b""


def tensorstore_file(folder: str | Path) -> dict[str, Any]:
    """The TensorStore specification of a directory, for the "file" key-value store driver.

    The driver refuses ``.`` and ``..`` in a path, and reads a backslash as a slash.
    """
    path = os.path.realpath(folder)
    return {"driver": "file", "path": f"{_link(path)}/" if "\\" in path else f"{path}/"}


@cache
def _link(path: str) -> str:
    """A symbolic link to a directory, in a temporary directory of this process."""
    link = os.path.join(tempfile.mkdtemp(dir=_links().name), "link")
    os.symlink(path, link)
    return link


@cache
def _links() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="neurozarr-")
