"""Syncing files and directories to the disk, so that they survive a power cut.

After a power cut, a file is complete only if it was synced, and exists only if its directory was
synced. So voxels are synced before the receipt that lists their files; receipts before the image is
published; and the deletion of a receipt before the files that it lists are changed. The system
starts to write files of voxels while the next ones are encoded, so that syncing takes little time.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

#: Threads that sync at once: a file system syncs many files in little more time than one.
_THREADS = 16
#: SYNC_FILE_RANGE_WRITE: start to write the pages of a file (Linux).
_START_WRITE = 2
_SYNC_FILE_RANGE = getattr(ctypes.CDLL(None), "sync_file_range", None)
if _SYNC_FILE_RANGE is not None:
    _SYNC_FILE_RANGE.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def sync(path: str | os.PathLike[str]) -> None:
    """Sync a file, or the entries of a directory, to the disk.

    Raises
    ------
    OSError
        The file cannot be opened, or the disk fails.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def start_sync(file: str | os.PathLike[str]) -> None:
    """Have the system start to write a file to the disk, without waiting; `sync` must follow.

    Raises
    ------
    OSError
        The file cannot be opened.
    """
    if _SYNC_FILE_RANGE is None:
        return
    descriptor = os.open(file, os.O_RDONLY)
    try:
        _SYNC_FILE_RANGE(descriptor, 0, 0, _START_WRITE)  # Errors are those of `sync`, which waits.
    finally:
        os.close(descriptor)


def sync_files(files: Iterable[Path], top: Path) -> None:
    """Sync files, and their directories up to ``top``, to the disk.

    Parameters
    ----------
    files
        Files below ``top``.
    top
        The highest directory that may have new entries.
    """
    files = list(files)
    folders = dict.fromkeys(
        folder
        for parent in dict.fromkeys(file.parent for file in files)
        for folder in (parent, *parent.parents)
        if folder == top or top in folder.parents
    )
    with ThreadPoolExecutor(_THREADS) as pool:
        for paths in (files, folders):
            for _ in pool.map(sync, paths):
                pass


#: Directories whose own entries this process has synced.
_synced: set[Path] = set()


def make_folder(folder: Path) -> None:
    """Create a directory and its missing parents, and sync them to the disk.

    The directory's entry is synced even if it exists: another job may have just created it.
    """
    if folder in _synced and folder.is_dir():
        return
    missing = [place for place in folder.parents if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in (folder, *missing):
        sync(place.parent)
    _synced.add(folder)
