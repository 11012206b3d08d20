"""Checks that a path is a readable file; and paths of directories for TensorStore."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from neurozarr.errors import SourceError


def check_kind(path: str | Path) -> None:
    """Check that a path, if it exists, is a regular file: reading a pipe might never end.

    Raises
    ------
    SourceError
        The path is a directory, a pipe, a socket or a device.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise SourceError(f"{path}: a directory, a pipe or a device, not a file")


def check_file(path: str | Path) -> None:
    """Check that a path is a regular file that can be read.

    Raises
    ------
    SourceError
        The path does not exist, is not a regular file, or is not readable.
    """
    check_kind(path)
    if why := content_elsewhere(path):
        raise SourceError(f"{path}: {why}")
    if not os.path.exists(path):
        raise SourceError(f"{path}: there is no such file")
    if not os.access(path, os.R_OK):
        raise SourceError(f"{path}: the file cannot be read: permission denied")


def content_elsewhere(path: str | Path) -> str:
    """Say what to do if a path is a link of git-annex without its content; "" if it is not."""
    lacks = os.path.islink(path) and not os.path.exists(path)
    if not (lacks and "annex/objects/" in os.readlink(path)):
        return ""
    return (
        "is a link of git-annex without its content: get the file first, by git annex get or "
        "datalad get"
    )


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
