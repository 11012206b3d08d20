"""Reading mapped files, in which an error of the disk is not one of Python but a crash."""

from __future__ import annotations

import ctypes
import errno
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

#: Has the pages of a map read, and fails where to look at them would be a crash (Linux 5.14).
_POPULATE_READ = 22
#: How much more than what is asked for is read together: what lies between rows is asked for soon.
_MORE = 16
#: Parts of a view that are looked at one by one. More would take longer than to read and encode
#: them, as in the wide rows of a huge volume: there, an error of the disk ends the process.
_MOST_PARTS = 2**10
#: How much is read at once in the usual way, in bytes.
_PIECE = 2**20
_MADVISE = getattr(ctypes.CDLL(None, use_errno=True), "madvise", None)
if _MADVISE is not None:
    _MADVISE.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


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
    axes = sorted(zip(view.strides, view.shape, strict=True), reverse=True)
    for low, length in _spans(view.ctypes.data, axes, view.nbytes, view.itemsize):
        start = (low - first) // mmap.PAGESIZE * mmap.PAGESIZE
        length += low - first - start
        if not _is_populated(first + start, length):
            _read(file, start, length)
    return view


def _spans(
    low: int, axes: Sequence[tuple[int, int]], size: int, itemsize: int
) -> Iterator[tuple[int, int]]:
    """The addresses and lengths of parts, without large gaps, of an array at an address.

    Its axes are given by their strides, which are positive, and lengths, the widest stride first.
    """
    parts = 1
    starts = [low]
    for number, (stride, count) in enumerate(axes):
        length = itemsize + sum(step * (many - 1) for step, many in axes[number:])
        if length <= _MORE * size // parts:
            yield from ((start, length) for start in starts)
            return
        parts *= count
        if parts > _MOST_PARTS:
            return
        starts = [start + index * stride for start in starts for index in range(count)]
    yield from ((start, itemsize) for start in starts)


def _is_populated(address: int, length: int) -> bool:
    """Whether pages are in memory; False also where the system cannot say."""
    if _MADVISE is None:
        return False
    while True:
        if _MADVISE(address, length, _POPULATE_READ) == 0:
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
