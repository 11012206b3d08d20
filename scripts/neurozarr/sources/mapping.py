"""Reading of memory-mapped files: disk errors become exceptions instead of crashes (SIGBUS)."""

from __future__ import annotations

import ctypes
import errno
import mmap
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from neurozarr.regions import Region

#: MADV_POPULATE_READ: read the pages, and fail where accessing them would crash (Linux 5.14).
_POPULATE_READ = 22
#: How many times more than the view may be read to bridge the gaps between its rows, which are
#: likely to be read next.
_MAX_EXCESS = 16
#: Maximum number of spans of a view that are populated. More would take longer than reading and
#: encoding them, as for wide rows of a huge volume: there, a disk error crashes the process.
_MAX_SPANS = 2**10
#: Function of each map that populates a span, given by its start and length, unless it is one of
#: the last that it has populated.
_POPULATES: WeakKeyDictionary[mmap.mmap, Callable[[int, int], None]] = WeakKeyDictionary()
#: Bytes per read of `_read`.
_READ_BYTES = 2**20
_MADVISE = getattr(ctypes.CDLL(None, use_errno=True), "madvise", None)
if _MADVISE is not None:
    _MADVISE.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def populated(array: np.ndarray, region: Region, mapped: mmap.mmap, file: str | Path) -> np.ndarray:
    """Read the pages of a region of an array in a memory map from the disk.

    Neighbours along the rows of the file have most of their pages in common. So whole rows are
    read, and not again for the next region: if the system lacks memory and drops a page until then,
    an error of the disk crashes the process.

    Parameters
    ----------
    array
        The array.
    region
        The region: a slice with a step of 1 for each axis.
    mapped
        The map, of the whole file.
    file
        Name of the file.

    Returns
    -------
    np.ndarray
        The region: a view of the array.

    Raises
    ------
    OSError
        The file cannot be read there.
    """
    view = array[region]
    first = np.frombuffer(mapped, np.uint8).ctypes.data
    origin = array.ctypes.data - first
    axes = sorted(zip(view.strides, view.shape, strict=True), reverse=True)
    populate = _POPULATES.get(mapped)
    if populate is None:
        populate = lru_cache(_MAX_SPANS)(partial(_populate, first, file))
        _POPULATES[mapped] = populate
    for low, length, row in _spans(view.ctypes.data, axes, view.nbytes, view.itemsize):
        start, stop = low - first, low - first + length
        if row < length:
            start -= (start - origin) % row
            stop = min(stop + (origin - stop) % row, len(mapped))
        start -= start % mmap.PAGESIZE
        populate(start, stop - start)
    return view


def _populate(first: int, file: str | Path, start: int, length: int) -> None:
    """Populate a span of the map that starts at the address ``first``."""
    if not _is_populated(first + start, length):
        _read(file, start, length)


def _spans(
    low: int, axes: Sequence[tuple[int, int]], size: int, itemsize: int
) -> Iterator[tuple[int, int, int]]:
    """Split an array in memory into spans without large gaps.

    Parameters
    ----------
    low
        Address of the array.
    axes
        Stride (positive, in bytes) and length of each axis, the largest stride first.
    size, itemsize
        Sizes of the array and of an element, in bytes.

    Returns
    -------
    Iterator[tuple[int, int, int]]
        Address and length of each span, and the largest stride in it, in bytes.
    """
    starts = [low]
    for number, (stride, count) in enumerate(axes):
        length = itemsize + sum(step * (many - 1) for step, many in axes[number:])
        if length <= _MAX_EXCESS * size // len(starts):
            yield from ((start, length, stride) for start in starts)
            return
        if len(starts) * count > _MAX_SPANS:
            return
        starts = [start + index * stride for start in starts for index in range(count)]
    yield from ((start, itemsize, itemsize) for start in starts)


def _is_populated(address: int, length: int) -> bool:
    """Whether pages could be read into memory; False also if the system lacks the call."""
    if _MADVISE is None:
        return False
    while True:
        if _MADVISE(address, length, _POPULATE_READ) == 0:
            return True
        if ctypes.get_errno() not in (errno.EINTR, errno.EAGAIN):
            return False


def _read(file: str | Path, start: int, length: int) -> None:
    """Read bytes of a file with ordinary reads, which raise the errors that a map cannot."""
    with open(file, "rb", buffering=0) as stream:
        stream.seek(start)
        while length > 0:
            count = len(stream.read(min(length, _READ_BYTES)))
            if not count:
                raise OSError(errno.EIO, "the file ends before its voxels do", str(file))
            length -= count
