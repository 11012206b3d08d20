"""Arrays in parts of files that a header describes: raw, compressed or as text, in any number."""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Self

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.files import check_file
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Source
from neurozarr.sources.damage import as_source_errors, check_size
from neurozarr.sources.nibabel_image import NibabelSource
from neurozarr.sources.streams import RATIOS, decompressed

#: Reads a region along the axes of a file.
Read = Callable[[Region], np.ndarray[Any, Any]]

#: The encoding of voxels that are written as numbers, separated by spaces or line ends.
TEXT = "text"


class Part(NamedTuple):
    """Where a file has voxels.

    Attributes
    ----------
    file
        The file.
    start
        Where they, or the stream that is compressed, start in the file, in bytes.
    skip
        Where they start in the decompressed stream, in bytes.
    """

    file: Path
    start: int = 0
    skip: int = 0


def numbered(header: Path, words: Sequence[str], count: int) -> list[Path]:
    """The files that a pattern names, beside the header.

    Parameters
    ----------
    header
        The file that describes the array.
    words
        The pattern, as of printf; the first and the last number; and the step, if it is not 1.
    count
        Number of voxels of the array.

    Raises
    ------
    SourceError
        The pattern is not valid, or there would be more files than voxels.
    """
    numbers = range(0)
    if re.fullmatch(r"[^%]*%0?\d?\dd[^%]*|[^%]*%d[^%]*", words[0]):
        first, last, step = map(int, (*words[1:4], "1")[:3])
        numbers = range(first, last + (1 if step > 0 else -1), step)
    if not 0 < len(numbers) <= count:
        raise SourceError(f"{header}: {' '.join(words)} names no files of {count} voxels")
    return [header.parent / (words[0] % number) for number in numbers]


@dataclass(frozen=True, kw_only=True, eq=False)
class PartsSource(Source):
    """An image whose voxels are in parts of files.

    Attributes
    ----------
    voxels
        Reads a region of the voxels.
    """

    voxels: Read

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        check_file(path)
        with as_source_errors(path, "its header cannot be read"), np.errstate(all="ignore"):
            return cls(**cls.fields_of(Path(path), layout.axes))

    @staticmethod
    @abstractmethod
    def fields_of(path: Path, given: str | None) -> dict[str, Any]:
        """Read a header and return the fields of the source; axes may be given by the user.

        Its errors, of any class, become SourceErrors.
        """

    def read_file(self, region: Region) -> np.ndarray:
        return self.voxels(region)


def open_parts(
    header: Path,
    parts: Sequence[Part],
    *,
    axes: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    codec: str,
) -> dict[str, Any]:
    """Open an array whose voxels follow each other in parts of files.

    Uncompressed voxels are memory-mapped. A stream in one file is read from start to end; of
    several files that are compressed, each is read as a whole. Text in one file is kept.

    Parameters
    ----------
    header
        The file that describes the array.
    parts
        The parts, of the same number of voxels each.
    axes, shape
        Names and lengths of the axes, slowest first.
    dtype
        Data type of the stored voxels, with their byte order.
    codec
        "" for raw voxels, "gzip", "zlib", "bzip2" or `TEXT`.

    Returns
    -------
    dict[str, Any]
        Fields of a `PartsSource`.

    Raises
    ------
    SourceError
        A file is missing or too short, or the number of parts does not fit the shape.
    """
    if min(shape) < 1:
        raise SourceError(f"{header}: the array is empty: its shape is {shape}")
    place, inner = _split(header, shape, len(parts))
    for part in parts:
        check_file(part.file)
        if part.start < 0 or part.skip < 0:
            raise SourceError(f"{part.file}: cut short: its voxels would start before its start")
    fields: dict[str, Any] = {
        "files": tuple(dict.fromkeys((header, *(part.file for part in parts)))),
        "file_axes": axes,
        "file_shape": shape,
        "dtype": dtype.newbyteorder("="),
    }
    names, last = axes[place:], parts[-1]
    count = math.prod(inner)
    if codec == TEXT:
        for part in parts:  # A digit and a separator for each number.
            size = part.file.stat().st_size
            check_size(part.file, size - part.start, 2 * count - 1)
    if codec == "":
        mapped = [
            NibabelSource.of_voxels(part.file, names, inner, dtype, part.start + part.skip)
            for part in parts
        ]
        reads: list[Read] = [source.read_file for source in mapped]
        fields["in_order"] = any(source.in_order for source in mapped)
    elif len(parts) > 1:
        reads = [partial(_read_whole, part, inner, dtype, codec) for part in parts]
        fields["file_native_chunk_shape"] = (1,) * place + inner
    elif codec == TEXT:
        reads = [_Kept(last, inner, dtype)]
        fields["held_bytes"] = count * max(dtype.itemsize, 8)
    else:
        end = last.skip + count * dtype.itemsize
        check_size(last.file, last.file.stat().st_size - last.start, end, RATIOS[codec])
        opener = partial(decompressed, last.file, last.start, codec)
        stream = NibabelSource.of_voxels(last.file, names, inner, dtype, last.skip, opener)
        reads = [stream.read_file]
        fields["in_order"] = True
    if len(parts) > 1:
        fields["voxels"] = partial(_read_parts, reads, place, shape, inner[0], dtype)
    else:
        fields["voxels"] = reads[0]
    return fields


def _split(header: Path, shape: tuple[int, ...], count: int) -> tuple[int, tuple[int, ...]]:
    """Number of axes along which each part has one place; and shape of a part, without these."""
    outer = 1
    for place, length in enumerate(shape):
        pieces, rest = divmod(count, outer)
        if rest == 0 and length % pieces == 0:
            return place, (length // pieces, *shape[place + 1 :])
        outer *= length
    raise SourceError(
        f"{header}: {count} files, among which an array of shape {shape} has no parts"
    )


def _read_parts(
    reads: list[Read],
    place: int,
    shape: tuple[int, ...],
    size: int,
    dtype: np.dtype[Any],
    region: Region,
) -> np.ndarray[Any, Any]:
    """Read a region of an array whose parts divide it along its axis ``place``, ``size`` long."""
    lengths = [side.stop - side.start for side in region]
    voxels = np.empty(lengths, dtype.newbyteorder("="))
    grid = (*shape[:place], shape[place] // size)
    side, inner = region[place], region[place + 1 :]
    for index in np.ndindex(*lengths[:place]):
        outer = [around.start + i for around, i in zip(region, index, strict=False)]
        for number in range(side.start // size, -(-side.stop // size)):
            first = number * size
            low, high = max(side.start, first), min(side.stop, first + size)
            part = reads[int(np.ravel_multi_index((*outer, number), grid))]
            there = (*index, slice(low - side.start, high - side.start))
            voxels[there] = part((slice(low - first, high - first), *inner))
    return voxels


def _read_whole(
    part: Part, shape: tuple[int, ...], dtype: np.dtype[Any], codec: str, region: Region
) -> np.ndarray[Any, Any]:
    """Read a region of a part that is compressed or text, by reading all of it."""
    if codec == TEXT:
        return _numbers(part, shape, dtype)[region]
    size = math.prod(shape) * dtype.itemsize
    with decompressed(part.file, part.start, codec) as stream:
        stream.seek(part.skip)
        found = stream.read(size)
        if len(found) < size:
            raise EOFError(f"{part.file}: {len(found)} of {size} bytes")
        stream.read(1)  # At the end, the checksum is verified.
    return np.frombuffer(found, dtype).reshape(shape)[region]


class _Kept:
    """Voxels of a text, which are kept once they have been read."""

    def __init__(self, part: Part, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._arguments = part, shape, dtype
        self._voxels: np.ndarray[Any, Any] | None = None
        self._lock = Lock()

    def __call__(self, region: Region) -> np.ndarray[Any, Any]:
        with self._lock:
            if self._voxels is None:
                self._voxels = _numbers(*self._arguments)
        return self._voxels[region]


def _numbers(part: Part, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Read numbers from a text; NumPy would wrap those that are too large for a small type."""
    wide = np.float64 if dtype.kind == "f" else np.dtype("u8" if dtype == "u8" else "i8")
    count = math.prod(shape)
    with part.file.open("rb") as file:
        file.seek(part.start)
        found = np.fromfile(file, wide, count, sep=" ")
    if found.size < count:
        raise ValueError(f"{part.file}: {found.size} numbers, not {count}")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if found.min() < limits.min or found.max() > limits.max:
            raise ValueError(f"{part.file}: numbers from {found.min()} to {found.max()}: {dtype}")
    return found.astype(dtype.newbyteorder("=")).reshape(shape)
