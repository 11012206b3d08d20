"""Files that have reached the disk: what a power cut cannot take back.

A file is whole after a power cut only if it was synced, and there at all only if its directory was.
So voxels are synced before the receipt that names them, receipts before the image is published, and
a receipt's deletion before the files that it accounted for are changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

#: Syncs that wait for the disk at once: file systems do many together in little more than the time
#: of one.
_AT_ONCE = 16


def sync(path: str | os.PathLike[str]) -> None:
    """Have a file, or the entries of a directory, reach the disk.

    Raises
    ------
    OSError
        It cannot be opened, or the disk fails.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(files: Iterable[Path], top: Path) -> None:
    """Have files, and all directories from theirs up to one, reach the disk.

    Parameters
    ----------
    files
        Files below ``top``.
    top
        The highest directory whose entries may be new.
    """
    files = list(files)
    folders = dict.fromkeys(
        folder
        for parent in dict.fromkeys(file.parent for file in files)
        for folder in (parent, *parent.parents)
        if folder == top or top in folder.parents
    )
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for paths in (files, folders):
            for _ in pool.map(sync, paths):
                pass


def make_folder(folder: Path) -> None:
    """Make a directory, and those above it that are missing, and have them reach the disk.

    The directory's own entry is synced in any case: another job may have made it a moment ago.
    """
    missing = [place for place in folder.parents if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in (folder, *missing):
        sync(place.parent)
