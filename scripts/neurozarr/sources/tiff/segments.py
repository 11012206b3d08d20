"""Pages of TIFF files (TIFF 6.0; BigTIFF) that are alike, read strip by strip or tile by tile."""

from __future__ import annotations

import errno
import itertools
import math
import mmap
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.regions import Region, grid
from neurozarr.sources.mapping import fetched

#: The tags (TIFF 6.0, part 1, section 8, and part 2) by which pages are stored alike, with what
#: they are where they are missing; ImageDepth and TileDepth are SGI's.
_ALIKE: dict[int, tuple[str, int | None]] = {
    256: ("ImageWidth", None),
    257: ("ImageLength", None),
    258: ("BitsPerSample", 1),
    259: ("Compression", 1),
    266: ("FillOrder", 1),
    277: ("SamplesPerPixel", 1),
    278: ("RowsPerStrip", 2**32 - 1),
    284: ("PlanarConfiguration", 1),
    317: ("Predictor", 1),
    322: ("TileWidth", None),
    323: ("TileLength", None),
    339: ("SampleFormat", 1),
    32997: ("ImageDepth", 1),
    32998: ("TileDepth", None),
}
#: Bytes of the integers that such tags hold, by their type (TIFF 6.0, section 2; BigTIFF).
_INTEGERS = {1: 1, 3: 2, 4: 4, 16: 8}
#: Compressions whose strips and tiles share tables of their page.
_JPEG = (6, 7, 33007, 34892)
#: How much of a directory is read at once, in bytes: most are smaller.
_DIRECTORY_BYTES = 1024
#: How long the values of a tag that is compared may be, in bytes.
_MOST_VALUES = 2**20
#: Memory that a Python integer takes in a tuple, in bytes.
_INTEGER_BYTES = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Pages:
    """Pages of the same shape, data type and encoding, in one file or several.

    The axes of a page are those of tifffile: separate samples, depth, rows, columns, and samples
    that lie side by side.

    Attributes
    ----------
    files
        The files that they are in.
    file_of
        Index of the file of each page.
    offsets, counts
        Where each strip or tile of each page starts in its file, and how long it is, in bytes, as
        arrays of shape (pages, segments); of one segment where a page lies there as it is.
    shape
        Of a page, along its five axes.
    stored
        Data type of the samples, in the byte order of the file.
    segment
        Shape of a strip or a tile; None where any voxels can be read at their own cost.
    decode
        What tifffile makes of the bytes of a segment, and of its number; None where there are none.
    tables, header
        What JPEG segments share: the tables of each page, and a header.
    nodata
        Value of the samples of segments that are not stored.
    """

    files: tuple[Path, ...]
    file_of: np.ndarray[Any, Any]
    offsets: np.ndarray[Any, Any]
    counts: np.ndarray[Any, Any]
    shape: tuple[int, ...]
    stored: np.dtype[Any]
    segment: tuple[int, ...] | None
    decode: Callable[..., Any] | None
    tables: tuple[bytes | None, ...] | None = None
    header: bytes | None = None
    nodata: float = 0

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def held_bytes(self) -> int:
        """Memory for the places of all segments, which tifffile holds as integers first."""
        return 2 * _INTEGER_BYTES * self.offsets.size

    def check(self) -> None:
        """Raise a SourceError where a file ends before its pages do."""
        for number, file in enumerate(self.files):
            mine = self.file_of == number
            end = int((self.offsets[mine] + self.counts[mine]).max(initial=0))
            _check_size(file, os.stat(file).st_size, end)

    def read(self, numbers: Sequence[int], region: Region) -> np.ndarray:
        """Read the same region of several pages, in native byte order.

        Parameters
        ----------
        numbers
            Which pages.
        region
            A slice, with a step of 1, for each of the five axes of a page.

        Returns
        -------
        np.ndarray
            Of six axes, the pages first.
        """
        lengths = [side.stop - side.start for side in region]
        voxels = np.empty([len(numbers), *lengths], self.stored.newbyteorder("="))
        for index, group in itertools.groupby(
            enumerate(numbers), key=lambda item: int(self.file_of[item[1]])
        ):
            file = self.files[index]
            try:
                with open(file, "rb", buffering=0) as stream:
                    if self.segment is None:
                        self._copy(file, stream.fileno(), group, region, voxels)
                        continue
                    for place, number in group:
                        self._decode(file, stream.fileno(), number, region, voxels[place])
            except OSError as error:
                raise SourceError(
                    f"{file}: the voxels cannot be read ({error.strerror or error})"
                ) from error
        return voxels

    def _copy(
        self,
        file: Path,
        descriptor: int,
        group: Iterator[tuple[int, int]],
        region: Region,
        voxels: np.ndarray,
    ) -> None:
        """Copy pages that lie in their file as they are."""
        size = os.fstat(descriptor).st_size
        numbers = list(group)
        # To read a map beyond the end of its file is not an error, but a crash.
        _check_size(file, size, max(self._end(number) for _, number in numbers))
        if self.stored.isnative and self._is_one_piece(region):
            # That takes half as long as a map does, whose pages are to be set up.
            first = np.ravel_multi_index([side.start for side in region], self.shape)
            for place, number in numbers:
                start = int(self.offsets[number, 0] + first * self.stored.itemsize)
                _fill(file, descriptor, start, voxels[place])
            return
        mapped = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
        for place, number in numbers:
            start = int(self.offsets[number, 0])
            page = np.ndarray(self.shape, self.stored, mapped, start)
            voxels[place] = fetched(page[region], mapped, file)

    def _is_one_piece(self, region: Region) -> bool:
        """Whether the voxels of a region follow each other in a page."""
        lengths = [side.stop - side.start for side in region]
        first = next((axis for axis, length in enumerate(lengths) if length > 1), len(lengths))
        return tuple(lengths[first + 1 :]) == self.shape[first + 1 :]

    def _end(self, number: int) -> int:
        return int(self.offsets[number, -1] + self.counts[number, -1])

    def _decode(
        self, file: Path, descriptor: int, number: int, region: Region, voxels: np.ndarray
    ) -> None:
        """Decode each segment of a page that a region touches."""
        assert self.decode is not None
        first, top, row, column = (side.start for side in region[:4])
        samples = region[4]
        options: dict[str, Any] = {}
        if self.tables is not None:
            options = {"jpegtables": self.tables[number], "jpegheader": self.header}
        for index in self._touched(region):
            start, count = int(self.offsets[number, index]), int(self.counts[number, index])
            raw = os.pread(descriptor, count, start) if count and start else None
            if raw is not None and len(raw) < count:
                _check_size(file, os.fstat(descriptor).st_size, start + count)
            try:
                segment, (sample, z, y, x, _), shape = self.decode(raw, index, **options)
            except Exception as error:  # Each codec has its own.
                raise SourceError(
                    f"{file}: strip or tile {index} of page {number} cannot be decoded "
                    f"({error}); the file may be damaged"
                ) from error
            if segment is None:
                segment = np.broadcast_to(np.asarray(self.nodata, voxels.dtype), shape)
            # Where the segment starts in the region, and the region in the segment: tiles reach
            # beyond the edges of their page.
            into = voxels[
                sample - first, max(z - top, 0) :, max(y - row, 0) :, max(x - column, 0) :
            ]
            part = segment[max(top - z, 0) :, max(row - y, 0) :, max(column - x, 0) :, samples]
            if into.shape != part.shape:
                common = tuple(map(slice, map(min, into.shape, part.shape)))
                into, part = into[common], part[common]
            # Codecs of bits give bytes of 0 and 1; any other cast could change values.
            np.copyto(into, part, casting="unsafe" if voxels.dtype == bool else "same_kind")

    def _touched(self, region: Region) -> list[int]:
        """Numbers of the segments that a region of a page touches."""
        assert self.segment is not None
        sides = [
            np.arange(side.start // size, -(-side.stop // size))
            for side, size in zip(region, self.segment, strict=True)
        ]
        counts = grid(self.shape, self.segment)
        return np.ravel_multi_index(np.ix_(*sides), counts).ravel().tolist()


def alike(path: str, resolved: str, found: Sequence[Any]) -> Pages:
    """Pages that tifffile found, which are to be alike.

    Parameters
    ----------
    path, resolved
        The file that they were found by, as it is named, and without links.
    found
        TiffPage and TiffFrame objects of tifffile.

    Raises
    ------
    SourceError
        They are not alike, or hold what cannot be decoded.
    """
    key = found[0].keyframe
    paths = [page.parent.filehandle.path for page in found]
    groups: dict[str, list[Any]] = {}
    for page, name in zip(found, paths, strict=True):
        groups.setdefault(name, []).append(page)
    for name, own in groups.items():
        keys = {id(page.keyframe): page.keyframe for page in own}
        for other in keys.values():
            if other.hash != key.hash:
                raise SourceError(
                    f"{name}: its pages are {_text(other)}, but those of {paths[0]} are "
                    f"{_text(key)}: pages of an image must be alike"
                )
        if len(own) > 1:
            _check_directories(name, own)
    places = {name: place for place, name in enumerate(groups)}
    segments = math.prod(key.chunked)
    tables = tuple(page.jpegtables for page in found) if key.compression in _JPEG else None
    for number, page in enumerate(found):
        if min(len(page.dataoffsets), len(page.databytecounts)) < segments:
            raise SourceError(
                f"{path}: page {number} has {len(page.dataoffsets)} strips or tiles, and the "
                f"lengths of {len(page.databytecounts)}, but {segments} are needed; it is damaged"
            )
    offsets = np.array([page.dataoffsets[:segments] for page in found], np.int64)
    counts = np.array([page.databytecounts[:segments] for page in found], np.int64)
    segment = None
    if not key.is_final or (segments > 1 and (np.diff(offsets) != counts[:, :-1]).any()):
        segment = _segment(key)
    else:
        offsets = offsets[:, :1]
        counts = np.full_like(offsets, key.nbytes)
    return Pages(
        files=tuple(_as_given(path, resolved, name) for name in groups),
        file_of=np.array([places[file] for file in paths], np.int32),
        offsets=offsets,
        counts=counts,
        tables=tables,
        **_encoding(path, key, segment),
    )


def contiguous(path: str, key: Any, offset: int, number: int) -> Pages:
    """So many pages, all like one that tifffile found, that follow each other in its file."""
    _check_size(Path(path), key.parent.filehandle.size, offset + number * key.nbytes)
    offsets = offset + key.nbytes * np.arange(number, dtype=np.int64)[:, None]
    return Pages(
        files=(Path(path),),
        file_of=np.zeros(number, np.int32),
        offsets=offsets,
        counts=np.full_like(offsets, key.nbytes),
        **_encoding(path, key, None),
    )


def _encoding(path: str, key: Any, segment: tuple[int, ...] | None) -> dict[str, Any]:
    """How pages are encoded, as fields of `Pages`.

    Raises
    ------
    SourceError
        In a way that tifffile does not know.
    """
    if key.dtype is None:
        raise SourceError(
            f"{path}: samples of {key.bitspersample} bits, in SampleFormat {key.sampleformat}, "
            "cannot be decoded"
        )
    if segment is not None:
        try:
            key.decode(None, 0)
        except Exception as error:  # It raises the same for any segment.
            raise SourceError(f"{path}: its pages cannot be decoded ({error})") from None
    return {
        "shape": tuple(map(int, key.shaped)),
        "stored": key.dtype.newbyteorder(key.parent.byteorder),
        "segment": segment,
        "decode": None if segment is None else key.decode,
        "header": key.jpegheader,
        "nodata": key.nodata,
    }


def _segment(key: Any) -> tuple[int, ...]:
    """Shape of a strip or a tile along the axes of a page."""
    samples = key.shaped[4]
    if key.is_tiled:
        return (1, key.tiledepth, key.tilelength, key.tilewidth, samples)
    return (1, 1, min(key.rowsperstrip, key.shaped[2]), key.shaped[3], samples)


def _as_given(path: str, resolved: str, file: str) -> Path:
    """A file that tifffile opened, whose name it resolved, as it is named by that of the first."""
    if file == resolved:
        return Path(path)
    near = Path(path).parent / os.path.relpath(file, os.path.dirname(resolved))
    return near if near.exists() and near.samefile(file) else Path(file)


def _fill(file: Path, descriptor: int, start: int, voxels: np.ndarray) -> None:
    """Read what follows a place in a file into voxels that lie in one piece."""
    left = voxels.reshape(-1).view(np.uint8).data
    while left:
        read = os.preadv(descriptor, [left], start)
        if not read:
            raise OSError(errno.EIO, "it ends before its voxels do", str(file))
        left, start = left[read:], start + read


def _check_size(file: Path, size: int, end: int) -> None:
    if size < end:
        raise SourceError(f"{file}: cut short: {size} bytes, but its pages reach to byte {end}")


def _text(page: Any) -> str:
    shape = " x ".join(map(str, page.shape))
    return f"{shape} {page.dtype}, compression {int(page.compression)}"


def _check_directories(file: str, pages: Sequence[Any]) -> None:
    """Raise a SourceError where pages are not stored alike.

    tifffile compares a few of them only, and takes the others to be like these.
    """
    tiff = pages[0].parent.tiff
    with open(file, "rb", buffering=0) as stream:
        first: dict[int, tuple[int, ...]] | None = None
        for page in pages:
            if page.offset <= 0:
                continue
            tags = _directory(stream.fileno(), page.offset, tiff)
            rows = tags.get(257, (0,))[0]
            tags[278] = (min(tags[278][0], rows),)
            first = first or tags
            if tags == first:
                continue
            code = next(code for code in _ALIKE if tags.get(code) != first.get(code))
            raise SourceError(
                f"{file}: page {page.index} has {_ALIKE[code][0]} {_value(tags, code)}, but page "
                f"{pages[0].index} has {_value(first, code)}: pages of an image must be alike"
            )


def _value(tags: dict[int, tuple[int, ...]], code: int) -> str:
    return ", ".join(map(str, tags.get(code, ("none",))))


def entries(descriptor: int, offset: int, tiff: Any) -> tuple[bytes, int]:
    """The entries of an image file directory, and where the next one is; 0 if nowhere.

    Parameters
    ----------
    descriptor
        Of the file.
    offset
        Where the directory is in it.
    tiff
        The format of the file, as tifffile has it.
    """
    size, width, start = (20, 8, 8) if tiff.is_bigtiff else (12, 4, 2)
    raw = os.pread(descriptor, _DIRECTORY_BYTES, offset)
    end = start + size * _integer(raw[:start], tiff)
    if len(raw) < end + width:
        raw = os.pread(descriptor, end + width, offset)
    return raw[start:end], _integer(raw[end : end + width], tiff)


def _directory(descriptor: int, offset: int, tiff: Any) -> dict[int, tuple[int, ...]]:
    """How a page is stored, by its image file directory."""
    field, width = ("HHQ8s", 8) if tiff.is_bigtiff else ("HHI4s", 4)
    raw, _ = entries(descriptor, offset, tiff)
    tags: dict[int, tuple[int, ...]] = {
        code: (default,) for code, (_, default) in _ALIKE.items() if default is not None
    }
    for code, kind, count, value in struct.iter_unpack(tiff.byteorder + field, raw):
        if code not in _ALIKE or kind not in _INTEGERS:
            continue
        length = min(count * _INTEGERS[kind], _MOST_VALUES)
        if length > width:
            value = os.pread(descriptor, length, _integer(value, tiff))
        numbers = np.frombuffer(value[:length], f"{tiff.byteorder}u{_INTEGERS[kind]}")
        tags[code] = tuple(numbers.tolist())
    return tags


def _integer(raw: bytes, tiff: Any) -> int:
    return int.from_bytes(raw, "little" if tiff.byteorder == "<" else "big")
