"""Pages of TIFF files (TIFF 6.0; BigTIFF) with one encoding, read by strips or tiles."""

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
from neurozarr.sources.damage import check_size
from neurozarr.sources.mapping import populated

#: Tags of the encoding of a page (TIFF 6.0, part 1, section 8, and part 2), by code: name and
#: default; ImageDepth and TileDepth are SGI's.
_ENCODING_TAGS: dict[int, tuple[str, int | None]] = {
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
#: Sizes of integers in tags, in bytes, by their type (TIFF 6.0, section 2; BigTIFF).
_INTEGERS = {1: 1, 3: 2, 4: 4, 16: 8}
#: Compressions whose strips and tiles share JPEG tables of their page.
_JPEG = (6, 7, 33007, 34892)
#: Bytes read of a directory at first: most are smaller.
_DIRECTORY_BYTES = 1024
#: Maximum number of bytes of a tag that are compared.
_MAX_TAG_BYTES = 2**20
#: Memory of a Python integer in a tuple, in bytes.
_INTEGER_BYTES = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Pages:
    """Pages of the same shape, data type and encoding, in one or several files.

    As in tifffile, a page has five axes: planar samples, depth, rows, columns and contiguous
    samples. A segment is a strip or a tile.

    Attributes
    ----------
    files
        The files of the pages.
    file_of
        Index of the file of each page; -1 for a page that is missing, whose voxels are 0.
    offsets, counts
        Start in its file and length of each segment, in bytes; arrays of shape (pages, segments).
        An uncompressed, contiguous page is one segment.
    shape
        Shape of a page along its five axes, in voxels.
    stored
        Data type of the samples, in the byte order of the file.
    segment
        Shape of a segment, in voxels; None if pages are uncompressed and contiguous, so that any
        region can be read without reading more.
    decode
        The ``decode`` function of the TiffPage; None if ``segment`` is None.
    tables, header
        JPEG tables of each page, and the JPEG header that all segments share.
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
        """Memory for the offsets and counts, which tifffile holds as Python integers, in bytes."""
        return 2 * _INTEGER_BYTES * self.offsets.size

    def check(self) -> None:
        """Raise a SourceError if a file is too short for its pages."""
        for number, file in enumerate(self.files):
            inside = self.file_of == number
            end = int((self.offsets[inside] + self.counts[inside]).max(initial=0))
            check_size(file, os.stat(file).st_size, end)

    def read(self, numbers: Sequence[int], region: Region) -> np.ndarray:
        """Read the same region of several pages, in native byte order.

        Parameters
        ----------
        numbers
            Indices of the pages.
        region
            A slice, with a step of 1, for each of the five axes of a page.

        Returns
        -------
        np.ndarray
            The voxels; the first axis is the pages, the others are those of a page.

        Raises
        ------
        SourceError
            A file cannot be read.
        """
        lengths = [side.stop - side.start for side in region]
        voxels = np.empty([len(numbers), *lengths], self.stored.newbyteorder("="))
        for index, group in itertools.groupby(
            enumerate(numbers), key=lambda item: int(self.file_of[item[1]])
        ):
            if index < 0:
                voxels[[position for position, _ in group]] = 0
                continue
            file = self.files[index]
            try:
                with open(file, "rb", buffering=0) as stream:
                    if self.segment is None:
                        self._copy(file, stream.fileno(), group, region, voxels)
                        continue
                    for position, number in group:
                        self._decode(file, stream.fileno(), number, region, voxels[position])
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
        """Copy a region of uncompressed pages; ``group`` has their positions in ``voxels``."""
        size = os.fstat(descriptor).st_size
        numbers = list(group)
        # Reading a map beyond the end of its file would crash.
        check_size(file, size, max(self._end(number) for _, number in numbers))
        if self.stored.isnative and self._is_contiguous(region):
            # This takes half as long as setting up the pages of a map.
            first = np.ravel_multi_index([side.start for side in region], self.shape)
            for position, number in numbers:
                start = int(self.offsets[number, 0] + first * self.stored.itemsize)
                _fill(file, descriptor, start, voxels[position])
            return
        mapped = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
        for position, number in numbers:
            start = int(self.offsets[number, 0])
            page = np.ndarray(self.shape, self.stored, mapped, start)
            voxels[position] = populated(page, region, mapped, file)

    def _is_contiguous(self, region: Region) -> bool:
        """Whether the voxels of a region are contiguous in an uncompressed page."""
        lengths = [side.stop - side.start for side in region]
        first = next((axis for axis, length in enumerate(lengths) if length > 1), len(lengths))
        return tuple(lengths[first + 1 :]) == self.shape[first + 1 :]

    def _end(self, number: int) -> int:
        """Where a page ends in its file, in bytes."""
        return int(self.offsets[number, -1] + self.counts[number, -1])

    def _decode(
        self, file: Path, descriptor: int, number: int, region: Region, voxels: np.ndarray
    ) -> None:
        """Decode the segments of a page that a region touches, into ``voxels``."""
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
                check_size(file, os.fstat(descriptor).st_size, start + count)
            try:
                segment, (sample, z, y, x, _), shape = self.decode(raw, index, **options)
            except Exception as error:  # Codecs have no common base class of errors.
                raise SourceError(
                    f"{file}: strip or tile {index} of page {number} cannot be decoded "
                    f"({error}); the file may be damaged"
                ) from error
            if segment is None:
                segment = np.broadcast_to(np.asarray(self.nodata, voxels.dtype), shape)
            # The intersection of segment and region; tiles may extend beyond their page.
            target = voxels[
                sample - first, max(z - top, 0) :, max(y - row, 0) :, max(x - column, 0) :
            ]
            inside = segment[max(top - z, 0) :, max(row - y, 0) :, max(column - x, 0) :, samples]
            if target.shape != inside.shape:
                common = tuple(map(slice, map(min, target.shape, inside.shape)))
                target, inside = target[common], inside[common]
            # Codecs decode bits to bytes of 0 and 1; any other unsafe cast could change values.
            np.copyto(target, inside, casting="unsafe" if voxels.dtype == bool else "same_kind")

    def _touched(self, region: Region) -> list[int]:
        """Indices of the segments that a region of a page touches."""
        assert self.segment is not None
        sides = [
            np.arange(side.start // size, -(-side.stop // size))
            for side, size in zip(region, self.segment, strict=True)
        ]
        counts = grid(self.shape, self.segment)
        return np.ravel_multi_index(np.ix_(*sides), counts).ravel().tolist()


def pages_from_tifffile(path: str, resolved: str, found: Sequence[Any | None]) -> Pages:
    """Convert pages of tifffile, after checking that they have the same shape and encoding.

    Parameters
    ----------
    path, resolved
        The file that the user names, and its path without symbolic links.
    found
        TiffPage and TiffFrame objects; None for missing pages.

    Returns
    -------
    Pages
        The pages.

    Raises
    ------
    SourceError
        They differ, or cannot be decoded.
    """
    key = next(page for page in found if page is not None).keyframe
    paths = [None if page is None else page.parent.filehandle.path for page in found]
    groups: dict[str, list[Any]] = {}
    for page, name in zip(found, paths, strict=True):
        if name is not None:
            groups.setdefault(name, []).append(page)
    start = next(iter(groups))
    for name, group in groups.items():
        keys = {id(page.keyframe): page.keyframe for page in group}
        for other in keys.values():
            if other.hash != key.hash:
                raise SourceError(
                    f"{name}: its pages are {_text(other)}, but those of {start} are "
                    f"{_text(key)}; pages of an image must have the same encoding"
                )
        # In NDPI, whose offsets are longer than it says, tifffile reads and compares all pages.
        if len(group) > 1 and not group[0].parent.tiff.is_ndpi:
            _check_directories(name, group)
    indices = {name: index for index, name in enumerate(groups)}
    segments = math.prod(key.chunked)
    is_jpeg = key.compression in _JPEG
    tables = tuple(page and page.jpegtables for page in found) if is_jpeg else None
    offsets, counts = np.zeros((2, len(found), segments), np.int64)
    for number, page in enumerate(found):
        if page is None:
            continue
        if min(len(page.dataoffsets), len(page.databytecounts)) < segments:
            raise SourceError(
                f"{path}: damaged: page {number} has offsets of {len(page.dataoffsets)} and byte "
                f"counts of {len(page.databytecounts)} strips or tiles, but {segments} are needed"
            )
        offsets[number], counts[number] = (
            page.dataoffsets[:segments],
            page.databytecounts[:segments],
        )
    file_of = np.array([-1 if file is None else indices[file] for file in paths], np.int32)
    stored = file_of >= 0
    segment = None
    if not key.is_final or (
        segments > 1 and (np.diff(offsets[stored]) != counts[stored, :-1]).any()
    ):
        segment = _segment(key)
    else:
        offsets = offsets[:, :1]
        counts = np.full_like(offsets, key.nbytes)
    return Pages(
        files=tuple(_as_given(path, resolved, name) for name in groups),
        file_of=file_of,
        offsets=offsets,
        counts=counts,
        tables=tables,
        **_encoding(path, key, segment),
    )


def contiguous_pages(path: str, key: Any, offset: int, number: int) -> Pages:
    """Describe uncompressed pages that are contiguous in a file.

    Parameters
    ----------
    path
        The file.
    key
        The TiffPage whose shape and data type they have.
    offset
        Start of the first page, in bytes.
    number
        Number of pages.

    Returns
    -------
    Pages
        The pages.

    Raises
    ------
    SourceError
        The file is too short.
    """
    check_size(path, key.parent.filehandle.size, offset + number * key.nbytes)
    offsets = offset + key.nbytes * np.arange(number, dtype=np.int64)[:, None]
    return Pages(
        files=(Path(path),),
        file_of=np.zeros(number, np.int32),
        offsets=offsets,
        counts=np.full_like(offsets, key.nbytes),
        **_encoding(path, key, None),
    )


def _encoding(path: str, key: Any, segment: tuple[int, ...] | None) -> dict[str, Any]:
    """The encoding of a TiffPage, as fields of `Pages`; a SourceError if it is not supported."""
    if key.dtype is None:
        raise SourceError(
            f"{path}: samples of {key.bitspersample} bits, in SampleFormat {key.sampleformat}, "
            "cannot be decoded"
        )
    if segment is not None:
        try:
            key.decode(None, 0)
        except Exception as error:  # tifffile raises the same for any segment.
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
    """Shape of a strip or a tile along the axes of a page, in voxels."""
    samples = key.shaped[4]
    if key.is_tiled:
        return (1, key.tiledepth, key.tilelength, key.tilewidth, samples)
    return (1, 1, min(key.rowsperstrip, key.shaped[2]), key.shaped[3], samples)


def _as_given(path: str, resolved: str, file: str) -> Path:
    """The path of a file as the user would give it: tifffile resolves symbolic links."""
    if file == resolved:
        return Path(path)
    given = Path(path).parent / os.path.relpath(file, os.path.dirname(resolved))
    return given if given.exists() and given.samefile(file) else Path(file)


def _fill(file: Path, descriptor: int, start: int, voxels: np.ndarray) -> None:
    """Read bytes of a file, from ``start``, into contiguous voxels."""
    left = voxels.reshape(-1).view(np.uint8).data
    while left:
        count = os.preadv(descriptor, [left], start)
        if not count:
            raise OSError(errno.EIO, "the file ends before its voxels do", str(file))
        left, start = left[count:], start + count


def _text(page: Any) -> str:
    shape = " x ".join(map(str, page.shape))
    return f"{shape} {page.dtype}, compression {int(page.compression)}"


def _check_directories(file: str, pages: Sequence[Any]) -> None:
    """Raise a SourceError if pages differ in their encoding; tifffile compares only a few pages."""
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
            code = next(code for code in _ENCODING_TAGS if tags.get(code) != first.get(code))
            raise SourceError(
                f"{file}: page {page.index} has {_ENCODING_TAGS[code][0]} {_value(tags, code)}, "
                f"but page {pages[0].index} has {_value(first, code)}; pages of an image must have "
                "the same encoding"
            )


def _value(tags: dict[int, tuple[int, ...]], code: int) -> str:
    return ", ".join(map(str, tags.get(code, ("none",))))


def entries(descriptor: int, offset: int, tiff: Any) -> tuple[bytes, int]:
    """Read an image file directory.

    Parameters
    ----------
    descriptor
        Descriptor of the file.
    offset
        Start of the directory, in bytes.
    tiff
        The TiffFormat of the file.

    Returns
    -------
    tuple[bytes, int]
        Its entries, and the start of the next directory, in bytes; 0 if it is the last one.
    """
    size, width, start = (20, 8, 8) if tiff.is_bigtiff else (12, 4, 2)
    raw = os.pread(descriptor, _DIRECTORY_BYTES, offset)
    end = start + size * _integer(raw[:start], tiff)
    if len(raw) < end + width:
        raw = os.pread(descriptor, end + width, offset)
    return raw[start:end], _integer(raw[end : end + width], tiff)


def _directory(descriptor: int, offset: int, tiff: Any) -> dict[int, tuple[int, ...]]:
    """The tags of the encoding of a page, from its image file directory."""
    field, width = ("HHQ8s", 8) if tiff.is_bigtiff else ("HHI4s", 4)
    raw, _ = entries(descriptor, offset, tiff)
    tags: dict[int, tuple[int, ...]] = {
        code: (default,) for code, (_, default) in _ENCODING_TAGS.items() if default is not None
    }
    for code, kind, count, value in struct.iter_unpack(tiff.byteorder + field, raw):
        if code not in _ENCODING_TAGS or kind not in _INTEGERS:
            continue
        length = min(count * _INTEGERS[kind], _MAX_TAG_BYTES)
        if length > width:
            value = os.pread(descriptor, length, _integer(value, tiff))
        numbers = np.frombuffer(value[:length], f"{tiff.byteorder}u{_INTEGERS[kind]}")
        tags[code] = tuple(numbers.tolist())
    return tags


def _integer(raw: bytes, tiff: Any) -> int:
    return int.from_bytes(raw, "little" if tiff.byteorder == "<" else "big")
