"""Files of one image, or of the pages of one: TIFF, PNG and JPEG 2000."""

from __future__ import annotations

import itertools
import math
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.files import check_kind
from neurozarr.regions import Region
from neurozarr.sources.base import library
from neurozarr.sources.mapping import fetched
from neurozarr.sources.tiff_metadata import is_default
from neurozarr.units import factor, ome_unit

T = TypeVar("T")

#: File name endings of each format, in lower case.
FORMATS = {
    "TIFF": (".tif", ".tiff"),
    "PNG": (".png",),
    "JPEG 2000": (".jp2", ".j2k", ".j2c"),
}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)

#: What the axes are that tifffile finds: I and Q are pages of which a file says no more.
_TIFF_AXES = {"X": "x", "Y": "y", "Z": "z", "I": "z", "Q": "z", "C": "c", "S": "c", "T": "t"}
#: TIFF 6.0, section 8, ResolutionUnit.
_UNITS = {2: "inch", 3: "centimeter"}
#: PNG (third edition), section 11.2.1: channels of each colour type, as decoded.
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_PNG_START = b"\x89PNG\r\n\x1a\n"
#: ISO/IEC 15444-1, annex I.5.1: the first box of a JP2 file.
_JP2_START = b"\0\0\0\x0cjP  \r\n\x87\n"
#: Annex A.4.1 and A.5.1: the markers that a codestream starts with, SOC and SIZ.
_CODESTREAM_START = b"\xff\x4f\xff\x51"


@dataclass(frozen=True, kw_only=True)
class Image:
    """What the header of a file says.

    Attributes
    ----------
    axes
        Names of its axes, some of t, c, z, y and x, in C order.
    shape
        Length of each, in voxels.
    dtype
        Data type of the voxels, in native byte order.
    read_shape
        Shape of what is decoded together: a strip, a tile or a page.
    """

    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read_shape: tuple[int, ...]


def format_of(file: str) -> str:
    """The format that the name of a file tells; "" of none of them."""
    known = (name for name, suffixes in FORMATS.items() if file.lower().endswith(suffixes))
    return next(known, "")


def read_header(file: str) -> Image:
    """What the header of a file says; its voxels are not read.

    Raises
    ------
    SourceError
        It is no such file, or damaged, or no array of voxels.
    """
    check_kind(file)
    with _naming(file, "not an image that can be read"):
        match format_of(file):
            case "TIFF":
                with _open_tiff(file) as tiff:
                    return _tiff_header(file, _tiff_series(file, tiff))
            case "PNG":
                return _png_header(file)[0]
            case _:
                return _jpeg2k_header(file)


def read_sizes(file: str) -> tuple[dict[str, float], str]:
    """Size of a voxel, along those of z, y and x of which a file says it, and its unit.

    Only a TIFF does, in OME-XML, in ImageJ's text, or by its resolution.
    """
    if format_of(file) != "TIFF":
        return {}, ""
    with _naming(file, "not an image that can be read"), _open_tiff(file) as tiff:
        if tiff.pages.first.is_ome:
            xml = library("tifffile", "tiff", file).xml2dict(tiff.pages.first.description)
            return _ome_sizes(xml)
        return _tiff_sizes(tiff)


def read_voxels(file: str, region: Region, expected: Image) -> np.ndarray:
    """Read a region of a file, given by a slice for each axis that it is expected to have.

    Of a TIFF, only the strips or tiles that the region touches are read.

    Raises
    ------
    SourceError
        The file does not have these axes, this shape and this data type, or cannot be read.
    """
    check_kind(file)
    with _naming(file, "the voxels cannot be read; the file may be cut short or damaged"):
        if format_of(file) == "TIFF":
            status = os.stat(file)
            image, stored, offset = _tiff_place(file, status.st_size, status.st_mtime_ns)
            check(file, image, expected)
            own = _along(image.axes, expected.axes, region)
            if offset is None:
                with _open_tiff(file) as tiff:
                    voxels = _read_tiff(file, tiff, _tiff_series(file, tiff), own)
            else:
                _check_size(file, offset + math.prod(image.shape) * stored.itemsize)
                with open(file, "rb") as stream:
                    mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
                view = np.ndarray(image.shape, stored, mapped, offset)[own]
                voxels = np.array(fetched(view, mapped, file))
            return voxels.reshape([side.stop - side.start for side in region])
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
                f"{file}: it was decoded to shape {voxels.shape} and dtype {voxels.dtype}, but its "
                f"header says {image.shape} and {image.dtype}"
            )
        return voxels[region]


def check(file: str, image: Image, expected: Image) -> None:
    """Raise a SourceError where a file does not have the axes, shape and data type that it should.

    One page is enough where a single one is expected along z, c or t.
    """
    once = tuple(
        length
        for axis, length in zip(expected.axes, expected.shape, strict=True)
        if axis in image.axes or length > 1
    )
    kept = _along(image.axes, expected.axes, expected.axes)
    if ("".join(kept), once, expected.dtype) != (image.axes, image.shape, image.dtype):
        raise SourceError(
            f"{file}: it has shape {image.shape} along {image.axes} and dtype {image.dtype}, but "
            f"by the first of the files it should have {expected.shape} along {expected.axes} and "
            f"{expected.dtype}"
        )


def _along(axes: str, known: str, values: Sequence[T]) -> tuple[T, ...]:
    """Values for each of the ``known`` axes, of some axes alone."""
    return tuple(value for axis, value in zip(known, values, strict=True) if axis in axes)


@contextmanager
def _naming(file: str, wrong: str) -> Iterator[None]:
    """Have whatever a library raises name the file."""
    try:
        yield
    except SourceError:
        raise
    except FileNotFoundError:
        raise SourceError(f"{file}: there is no such file") from None
    except PermissionError:
        raise SourceError(f"{file}: the file cannot be read: permission denied") from None
    except Exception as error:  # Every library has its own.
        raise SourceError(f"{file}: {wrong} ({error})") from error


@lru_cache(maxsize=4096)
def _tiff_place(file: str, size: int, modified: int) -> tuple[Image, np.dtype[Any], int | None]:
    """The header of a TIFF of a size and a time; the dtype of its voxels in the file; and where
    they start, in bytes, if they lie in one piece.

    A slice is read a strip at a time, and reading its header takes longer than that.
    """
    with _open_tiff(file) as tiff:
        series = _tiff_series(file, tiff)
        dtype = np.dtype(series.dtype).newbyteorder(tiff.byteorder)
        return _tiff_header(file, series), dtype, series.dataoffset


def _open_tiff(file: str) -> Any:
    # The OME-XML of a slice may name all the others, which are not to be looked for.
    tifffile = library("tifffile", "tiff", file)
    tiff = tifffile.TiffFile(file, is_ome=False)
    if len(tiff.pages) > 1 and tiff.pages.first.is_ome:
        tiff.close()
        tiff = tifffile.TiffFile(file, _multifile=False)
    return tiff


def _tiff_series(file: str, tiff: Any) -> Any:
    """The pages that make one array: the only one, or all that a file has."""
    found = tiff.series
    if len(found) != 1:
        raise SourceError(
            f"{file}: it holds {len(found)} images; only files of one can be a part of another"
        )
    return found[0]


def _tiff_header(file: str, series: Any) -> Image:
    page = series.keyframe
    axes = "".join(_TIFF_AXES.get(axis, "?") for axis in series.axes)
    own = "".join(_TIFF_AXES.get(axis, "?") for axis in page.axes)
    if "?" in axes or len(set(axes)) < len(axes) or not axes.endswith(own) or "z" in own:
        raise SourceError(
            f"{file}: its axes are {series.axes}, of lengths {series.shape}; only those of z, c, t "
            "before those of a page can be a part of another image"
        )
    shape = tuple(map(int, series.shape))
    lengths = dict(zip(axes, shape, strict=True))
    together = dict.fromkeys(axes, 1) | {"x": lengths["x"]}
    if own.endswith("c"):
        together["c"] = lengths["c"]
    if series.dataoffset is None:
        height, width = page.chunks[:2]
        together |= {"y": min(height, lengths["y"]), "x": min(width, lengths["x"])}
        if None in (series.pages[i] for i in range(math.prod(shape[: -len(own)]))):
            raise SourceError(f"{file}: its header asks for pages that it does not have")
    return Image(
        axes=axes,
        shape=shape,
        dtype=np.dtype(series.dtype).newbyteorder("="),
        read_shape=tuple(together[axis] for axis in axes),
    )


def _tiff_sizes(tiff: Any) -> tuple[dict[str, float], str]:
    """Size of a voxel by axis, and its unit, where it is said in a unit of length.

    ImageJ says the unit in its own text, and the distance between pages; others have TIFF 6.0's
    ResolutionUnit, section 8, alone.
    """
    page = tiff.pages.first
    try:
        per_unit = [float(number) for number in page.resolution]
    except ZeroDivisionError:
        return {}, ""
    if len(per_unit) != 2 or not all(0 < number < math.inf for number in per_unit):
        return {}, ""
    sizes = {"x": 1 / per_unit[0], "y": 1 / per_unit[1]}
    if tiff.is_imagej:
        said = tiff.imagej_metadata or {}
        try:
            unit = ome_unit(str(said.get("unit")).replace("\\u00B5", "µ"), "space")
        except ValueError:
            return {}, ""
        if isinstance(said.get("spacing"), int | float) and said["spacing"]:
            sizes["z"] = abs(float(said["spacing"]))
        return sizes, unit
    unit = _UNITS.get(int(page.resolutionunit), "")
    if not unit or is_default(sizes["x"], unit):
        return {}, ""
    ratio = factor(unit, "micrometer")
    return {axis: size * ratio for axis, size in sizes.items()}, "micrometer"


def _ome_sizes(xml: Any) -> tuple[dict[str, float], str]:
    """OME-XML (2016-06), Pixels: PhysicalSizeX and its unit, µm by default, and so on."""
    try:
        image = xml["OME"]["Image"]
        pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
        names = {axis: f"PhysicalSize{axis.upper()}" for axis in "zyx"}
        sizes = {axis: float(pixels[name]) for axis, name in names.items() if name in pixels}
        units = {ome_unit(pixels.get(f"{names[axis]}Unit", "µm"), "space") for axis in sizes}
    except (KeyError, TypeError, ValueError):
        return {}, ""
    if len(units) != 1 or not all(0 < size < math.inf for size in sizes.values()):
        return {}, ""
    return sizes, units.pop()


def _read_tiff(file: str, tiff: Any, series: Any, region: Region) -> np.ndarray:
    dtype = np.dtype(series.dtype).newbyteorder("=")
    voxels = np.empty([side.stop - side.start for side in region], dtype)
    before = len(region) - len(series.keyframe.axes)
    shape = tuple(series.shape[:before])
    for index in np.ndindex(voxels.shape[:before]):
        at = [side.start + i for side, i in zip(region[:before], index, strict=True)]
        page = series.pages[int(np.ravel_multi_index(at, shape)) if at else 0]
        _read_page(file, tiff, page, region[before:], voxels[index])
    return voxels


def _read_page(file: str, tiff: Any, page: Any, region: Region, voxels: np.ndarray) -> None:
    """Decode the strips or tiles of a page that a region touches into ``voxels``."""
    keyframe = page.keyframe
    # As tifffile has it: separate samples, length, width, samples of a pixel.
    planes, _, _, _, samples = keyframe.shaped
    own = keyframe.axes
    rows, columns = (region[own.index(axis)] for axis in "YX")
    whole = slice(0, planes if own[0] == "S" else samples)
    colours = region[own.index("S")] if "S" in own else whole
    plane, sample = (colours, slice(0, 1)) if own[0] == "S" else (slice(0, 1), colours)
    target = voxels[..., None] if own[0] == "S" else voxels.reshape(1, *voxels.shape[:2], -1)
    height, width = keyframe.chunks[:2]
    down, across = (-(-keyframe.shaped[i] // size) for i, size in ((2, height), (3, width)))
    options = {}
    if keyframe.compression in (6, 7, 33007, 34892):  # JPEG
        options = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
    touched = (
        range(plane.start, plane.stop),
        range(rows.start // height, -(-rows.stop // height)),
        range(columns.start // width, -(-columns.stop // width)),
    )
    for i, j, k in itertools.product(*touched):
        number = (i * down + j) * across + k
        offset, count = page.dataoffsets[number], page.databytecounts[number]
        _check_size(file, offset + count)
        tiff.filehandle.seek(offset)
        encoded = tiff.filehandle.read(count) if count else None
        decoded, _, _ = keyframe.decode(encoded, number, **options)
        top, left = j * height, k * width
        inside = (
            slice(max(rows.start - top, 0), min(rows.stop - top, height)),
            slice(max(columns.start - left, 0), min(columns.stop - left, width)),
        )
        outside = (
            slice(top + inside[0].start - rows.start, top + inside[0].stop - rows.start),
            slice(left + inside[1].start - columns.start, left + inside[1].stop - columns.start),
        )
        target[(i - plane.start, *outside)] = (
            keyframe.nodata if decoded is None else decoded[0][(*inside, sample)]
        )


def _check_size(file: str, end: int) -> None:
    """Raise a SourceError where a file is too short: beyond its end there is only a crash."""
    if (size := os.path.getsize(file)) < end:
        raise SourceError(f"{file}: cut short: {size} bytes, but its header asks for {end}")


def _png_header(file: str) -> tuple[Image, int]:
    """What a header says, and by what greys of fewer bits than 8 are multiplied when decoded.

    PNG (third edition), sections 5.3, 11.2.1 and 11.3.1. A palette becomes colours, transparency
    (tRNS) another channel.
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
        raise SourceError(f"{file}: greys of {bits} bits with transparency cannot be converted")
    factor = 255 // (2**bits - 1) if bits < 8 and colour == 0 else 1
    return _page(height, width, channels, np.dtype("u2" if bits == 16 else "u1")), factor


def _jpeg2k_header(file: str) -> Image:
    """ISO/IEC 15444-1, annex A.5.1 (SIZ) and, of a JP2 file, annex I.4 (boxes)."""
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
            f"{file}: only images whose channels all have the same size and the same number of "
            "bits, 16 at the most, can be converted from JPEG 2000"
        )
    kind = "i" if components[0] & 0x80 else "u"
    dtype = np.dtype(f"{kind}{1 if bits <= 8 else 2}")
    return _page(bottom - top, right - left, channels, dtype)


def _skip_boxes(stream: Any) -> None:
    """Go to the codestream."""
    while len(head := stream.read(8)) == 8 and head[4:] != b"jp2c":
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(stream.read(8), "big") - 8
        stream.seek(max(length, 8) - 8, os.SEEK_CUR)
    if head[:4] == b"\0\0\0\1":
        stream.seek(8, os.SEEK_CUR)


def _page(height: int, width: int, channels: int, dtype: np.dtype[Any]) -> Image:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return Image(axes="yxc"[: len(shape)], shape=shape, dtype=dtype, read_shape=shape)
