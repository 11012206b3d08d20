"""What is a file, and what only has the name of one; and directories as TensorStore names them."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from neurozarr.errors import SourceError


def check_kind(path: str | Path) -> None:
    """Check that what a path leads to, if anything, is a file: to read a pipe may never end.

    Raises
    ------
    SourceError
        It is a directory, a pipe, a socket or a device.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise SourceError(f"{path}: a directory, a pipe or a device, not a file")


def check_file(path: str | Path) -> None:
    """Check that a path leads to a file that can be read.

    Raises
    ------
    SourceError
        Nothing is there, or no file, or it may not be read.
    """
    check_kind(path)
    if not os.path.exists(path):
        raise SourceError(f"{path}: there is no such file")
    if not os.access(path, os.R_OK):
        raise SourceError(f"{path}: the file cannot be read: permission denied")


def tensorstore_file(folder: str | Path) -> dict[str, Any]:
    """The key-value store of a directory, as TensorStore's "file" driver takes it.

    The driver refuses ``.`` and ``..`` in a path, and takes a backslash for a slash.
    """
    path = os.path.realpath(folder)
    return {"driver": "file", "path": f"{_link(path)}/" if "\\" in path else f"{path}/"}


@cache
def _link(path: str) -> str:
    """A link to a directory by another name, for as long as this process lives."""
    link = os.path.join(tempfile.mkdtemp(dir=_links().name), "link")
    os.symlink(path, link)
    return link


@cache
def _links() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="neurozarr-")
