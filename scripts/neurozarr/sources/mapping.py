"""Reading mapped files, in which an error of the disk is not one of Python but a crash."""

from __future__ import annotations

import ctypes
import errno
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

#: Has the pages of a map read, and fails where to look at them would be a crash (Linux 5.14).
_POPULATE_READ = 22
#: What is read together although parts of it are not asked for: by size in bytes, or by how much
#: more it is.
_TOGETHER = 2**16
_MORE = 4
_PIECE = 2**20
_MADVISE = getattr(ctypes.CDLL(None, use_errno=True), "madvise", None)


def fetched(view: np.ndarray, mapped: mmap.mmap, file: str | Path) -> np.ndarray:
    """A view of a map, when the pages that it lies in have been read.

    Parameters
    ----------
    view
        A part of an array in the map.
    mapped, file
        The map of the whole file, and its name.

    Raises
    ------
    OSError
        The file cannot be read there.
    """
    first = np.frombuffer(mapped, np.uint8).ctypes.data
    for low, high in _spans(view):
        start = (low - first) // mmap.PAGESIZE * mmap.PAGESIZE
        length = high - first - start
        if not _is_populated(first + start, length):
            _read(file, start, length)
    return view


def _spans(view: np.ndarray) -> Iterator[tuple[int, int]]:
    """The addresses between which the voxels of a view lie, without large gaps."""
    low, high = np.lib.array_utils.byte_bounds(view)
    if high - low <= max(_TOGETHER, _MORE * view.nbytes):
        yield low, high
        return
    for part in np.moveaxis(view, int(np.argmax(np.abs(view.strides))), 0):
        yield from _spans(part)


def _is_populated(address: int, length: int) -> bool:
    """Whether pages are in memory; False also where the system cannot say."""
    if _MADVISE is None:
        return False
    pages = ctypes.c_void_p(address), ctypes.c_size_t(length)
    while True:
        if _MADVISE(*pages, _POPULATE_READ) == 0:
            return True
        if ctypes.get_errno() not in (errno.EINTR, errno.EAGAIN):
            return False


def _read(file: str | Path, start: int, length: int) -> None:
    """Read a part of a file in the usual way, which says what is wrong with it."""
    with open(file, "rb", buffering=0) as stream:
        stream.seek(start)
        while length > 0:
            found = len(stream.read(min(length, _PIECE)))
            if not found:
                raise OSError(errno.EIO, "it ends before its voxels do", str(file))
            length -= found
