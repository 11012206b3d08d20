"""Slices and tiles: TIFF, PNG and JPEG 2000 files with one image each."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.files import check_kind
from neurozarr.regions import Region
from neurozarr.sources.damage import as_source_errors
from neurozarr.sources.extras import library
from neurozarr.sources.tiff.source import TiffSource

T = TypeVar("T")

#: File name endings of each format, in lower case.
FORMATS = {
    "TIFF": (".tif", ".tiff"),
    "PNG": (".png",),
    "JPEG 2000": (".jp2", ".j2k", ".j2c"),
}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)

#: Fields of a `TiffSource` that hold for a whole stack or mosaic.
_METADATA = (
    "voxel_size", "space_unit", "sized_axes", "position", "time_step", "time_unit",
    "channel_names", "channel_colors",
)  # fmt: skip
#: Maximum number of strips or tiles of a file whose offsets are cached.
_MAX_CACHED_SEGMENTS = 256
#: PNG (third edition), section 11.2.1: decoded channels of each colour type.
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_PNG_START = b"\x89PNG\r\n\x1a\n"
#: ISO/IEC 15444-1, annex I.5.1: the first box of a JP2 file.
_JP2_START = b"\0\0\0\x0cjP  \r\n\x87\n"
#: Annex A.4.1 and A.5.1: the first markers of a codestream, SOC and SIZ.
_CODESTREAM_START = b"\xff\x4f\xff\x51"


@dataclass(frozen=True, kw_only=True)
class Image:
    """Contents of the header of a file.

    Attributes
    ----------
    axes
        Names of the axes, some of t, c, z, y and x, slowest first.
    shape
        Lengths of the axes, in voxels.
    dtype
        Data type of the voxels, in native byte order.
    native_chunk_shape
        Shape of a native chunk (a strip, a tile or a page), in voxels.
    file
        The file.
    advice
        What to do, for errors, if another file should have this header but for its shape.
    """

    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    native_chunk_shape: tuple[int, ...]
    file: str = field(default="", compare=False)
    advice: str = field(default="", compare=False)


def format_of(file: str) -> str:
    """The format of a file, by its name; "" if it is none of these."""
    known = (name for name, suffixes in FORMATS.items() if file.lower().endswith(suffixes))
    return next(known, "")


def read_header(file: str) -> Image:
    """Read the header of a file.

    Raises
    ------
    SourceError
        The file is missing, damaged or not supported.
    """
    if format_of(file) == "TIFF":
        return replace(_tiff_header(TiffSource.open_tile(file)), file=file)
    check_kind(file)
    with as_source_errors(file, "not an image that can be read"):
        image = _png_header(file)[0] if format_of(file) == "PNG" else _jpeg2k_header(file)
        return replace(image, file=file)


def read_metadata(file: str) -> dict[str, Any]:
    """Read the voxel size, time step and channels of a TIFF file, as fields of a `TiffSource`.

    Other formats have none.
    """
    if format_of(file) != "TIFF":
        return {}
    source = TiffSource.open_tile(file, described=True)
    return {name: getattr(source, name) for name in _METADATA}


def read_voxels(file: str, region: Region, expected: Image) -> np.ndarray:
    """Read a region of a file; of a TIFF, only the strips or tiles that the region touches.

    Parameters
    ----------
    file
        The file.
    region
        A slice for each of the axes in ``expected``.
    expected
        What the header has to contain.

    Returns
    -------
    np.ndarray
        The voxels, in native byte order.

    Raises
    ------
    SourceError
        The file does not have these axes, this shape and this data type, or cannot be read.
    """
    with as_source_errors(file, "the voxels cannot be read"):
        if format_of(file) == "TIFF":
            status = os.stat(file)
            image, source = _cached_tiff(file, status.st_size, status.st_mtime_ns)
            check(file, image, expected)
            source = source or TiffSource.open_tile(file)
            voxels = source.read_file(_select(image.axes, expected.axes, region))
            return voxels.reshape([side.stop - side.start for side in region])
        check_kind(file)
        imagecodecs = library("imagecodecs", "tiff", file)
        with open(file, "rb") as stream:
            encoded = stream.read()
        if format_of(file) == "PNG":
            image, factor = _png_header(file)
            voxels = imagecodecs.png_decode(encoded)
            voxels = voxels if factor == 1 else voxels // factor
        else:
            image = _jpeg2k_header(file)
            voxels = imagecodecs.jpeg2k_decode(encoded)
        check(file, image, expected)
        if (voxels.shape, voxels.dtype) != (image.shape, image.dtype):
            raise SourceError(
                f"{file}: decoded to shape {voxels.shape} and dtype {voxels.dtype}, but its header "
                f"says {image.shape} and {image.dtype}"
            )
        return voxels[region]


def check(file: str, image: Image, expected: Image) -> None:
    """Check the header of a file; it may lack axes of length 1.

    Parameters
    ----------
    file
        The file.
    image
        Its header.
    expected
        The axes, shape and data type that it should have.

    Raises
    ------
    SourceError
        They differ.
    """
    shape = tuple(
        length
        for axis, length in zip(expected.axes, expected.shape, strict=True)
        if axis in image.axes or length > 1
    )
    axes = "".join(_select(image.axes, expected.axes, expected.axes))
    if (axes, shape, expected.dtype) != (image.axes, image.shape, image.dtype):
        others = [set(axes) ^ set(image.axes), image.dtype != expected.dtype]
        others += [
            n != m for a, n, m in zip(axes, shape, image.shape, strict=False) if a not in "yx"
        ]
        raise SourceError(
            f"{file}: it has shape {image.shape} along {image.axes} and dtype {image.dtype}, but "
            f"according to the first file, {expected.file}, it should have {expected.shape} along "
            f"{expected.axes} and {expected.dtype}{'' if any(others) else expected.advice}"
        )


def _select(axes: str, known: str, values: Sequence[T]) -> tuple[T, ...]:
    """Of the values for each of the ``known`` axes, those for ``axes``."""
    return tuple(value for axis, value in zip(known, values, strict=True) if axis in axes)


@lru_cache(maxsize=4096)
def _cached_tiff(file: str, size: int, modified: int) -> tuple[Image, TiffSource | None]:
    """The header of a TIFF file, and its source if that takes little memory.

    Slices are read strip by strip, and reading the header takes longer than reading a strip. The
    size and the modification time are keys of the cache only.
    """
    source = TiffSource.open_tile(file)
    is_small = source.pages.offsets.size <= _MAX_CACHED_SEGMENTS
    return _tiff_header(source), source if is_small else None


def _tiff_header(source: TiffSource) -> Image:
    shape, native_chunk_shape = source.file_shape, source.file_native_chunk_shape
    if native_chunk_shape is None:
        # Any voxels can be read, but a whole row at no higher cost.
        row = source.file_axes.index("x")
        native_chunk_shape = (1,) * row + shape[row:]
    return Image(
        axes=source.file_axes,
        shape=shape,
        dtype=source.dtype,
        native_chunk_shape=native_chunk_shape,
    )


def _png_header(file: str) -> tuple[Image, int]:
    """The header of a PNG file, and the factor by which the decoder scales greys below 8 bits.

    PNG (third edition), sections 5.3, 11.2.1 and 11.3.1. A palette becomes colours, and
    transparency (tRNS) another channel.
    """
    with open(file, "rb") as stream:
        start = stream.read(33)
        if len(start) < 33 or start[:8] != _PNG_START or start[12:16] != b"IHDR":
            raise SourceError(f"{file}: not a PNG file, or cut short")
        width, height, bits, colour = struct.unpack(">IIBB", start[16:26])
        channels = _PNG_CHANNELS[colour]
        while len(head := stream.read(8)) == 8 and head[4:] != b"IDAT":
            channels += head[4:] == b"tRNS"
            stream.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    if bits < 8 and colour == 0 and channels > 1:
        raise SourceError(f"{file}: grey of {bits} bits with transparency cannot be converted")
    factor = 255 // (2**bits - 1) if bits < 8 and colour == 0 else 1
    return _page(height, width, channels, np.dtype("u2" if bits == 16 else "u1")), factor


def _jpeg2k_header(file: str) -> Image:
    """The header of a JPEG 2000 file: ISO/IEC 15444-1, annexes A.5.1 (SIZ) and I.4 (JP2 boxes)."""
    with open(file, "rb") as stream:
        if stream.read(12) == _JP2_START:
            _skip_boxes(stream)
        else:
            stream.seek(0)
        size = stream.read(42)
        if len(size) < 42 or size[:4] != _CODESTREAM_START:
            raise SourceError(f"{file}: not a JPEG 2000 file, or cut short")
        right, bottom, left, top = struct.unpack(">4I", size[8:24])
        (channels,) = struct.unpack(">H", size[40:42])
        components = stream.read(3 * channels)
    if len(components) < 3 * channels or not channels:
        raise SourceError(f"{file}: not a JPEG 2000 file, or cut short")
    depths, steps = set(components[::3]), {*components[1::3], *components[2::3]}
    bits = (components[0] & 0x7F) + 1
    if len(depths) > 1 or steps != {1} or bits > 16:
        raise SourceError(
            f"{file}: JPEG 2000 images can only be converted if all channels have the same size "
            "and number of bits, at most 16"
        )
    kind = "i" if components[0] & 0x80 else "u"
    dtype = np.dtype(f"{kind}{1 if bits <= 8 else 2}")
    return _page(bottom - top, right - left, channels, dtype)


def _skip_boxes(stream: Any) -> None:
    """Skip the boxes of a JP2 file up to its codestream."""
    while len(head := stream.read(8)) == 8 and head[4:] != b"jp2c":
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(stream.read(8), "big") - 8
        stream.seek(max(length, 8) - 8, os.SEEK_CUR)
    if head[:4] == b"\0\0\0\1":
        stream.seek(8, os.SEEK_CUR)


def _page(height: int, width: int, channels: int, dtype: np.dtype[Any]) -> Image:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return Image(axes="yxc"[: len(shape)], shape=shape, dtype=dtype, native_chunk_shape=shape)
