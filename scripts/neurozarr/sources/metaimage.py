"""MetaImage files (.mha, .mhd), as MetaIO's documentation, "MetaImage", defines them.

ITK, the only library that reads all of them, has no Python package of less than 250 MB.
"""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.files import check_file
from neurozarr.sources.columns import check_axes
from neurozarr.sources.directions import common_unit, place
from neurozarr.sources.parts import TEXT, Part, PartsSource, numbered, open_parts
from neurozarr.sources.scaled_image import time_of
from neurozarr.sources.streams import codec_of

logger = logging.getLogger(__name__)

#: Names of the axes, slowest first, by their number.
_AXES = {1: "x", 2: "yx", 3: "zyx", 4: "tzyx"}
#: Data types; in files, a LONG has 4 bytes.
_TYPES = {
    "CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4", "UINT": "u4",
    "LONG": "i4", "ULONG": "u4", "LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4",
    "DOUBLE": "f8", "ASCII_CHAR": "i1",
}  # fmt: skip
#: Names of fields that have several.
_ALIASES = {
    "elementbyteordermsb": "binarydatabyteordermsb",
    "position": "offset",
    "origin": "offset",
    "rotation": "transformmatrix",
    "orientation": "transformmatrix",
}
#: The anatomical orientation of the directions that a file has if it gives none.
_DEFAULT = "RAI"
#: Largest header, in bytes.
_MAX_HEADER = 2**20


@dataclass(frozen=True, kw_only=True, eq=False)
class MetaImageSource(PartsSource):
    """A MetaImage; the fourth axis is time, and the elements of a voxel are channels.

    As in ITK, directions are those of LPS coordinates in mm, and ``AnatomicalOrientation`` does not
    change them. Without directions, the anatomy is unknown.
    """

    suffixes = (".mha", ".mhd")

    @staticmethod
    def fields_of(path: Path, given: str | None) -> dict[str, Any]:
        header, data, rest, end = _read_header(path)
        sizes = tuple(map(int, header["dimsize"].split()))
        channels = int(header.get("elementnumberofchannels", 1))
        if len(sizes) not in _AXES or len(sizes) != int(header.get("ndims", len(sizes))):
            raise SourceError(
                f"{path}: DimSize is {sizes}; allowed: 1 to 4 lengths, as many as NDims"
            )
        axes, shape = _AXES[len(sizes)], sizes[::-1]
        if channels > 1:
            axes, shape = f"{axes}c", (*shape, channels)
        if given is not None:
            check_axes(str(path), given, shape)
            axes = given
        name = header["elementtype"].removeprefix("MET_").removesuffix("_ARRAY")
        if name not in _TYPES:
            raise SourceError(f"{path}: ElementType is {header['elementtype']}, which is unknown")
        is_big = _is_true(header.get("binarydatabyteordermsb", "False"))
        dtype = np.dtype(_TYPES[name]).newbyteorder(">" if is_big else "<")
        files = _data_files(path, data, rest, math.prod(sizes))
        start, codec = int(header.get("headersize", 0)), ""
        if files == [path] and start == 0:
            start = end
        if not _is_true(header.get("binarydata", "True")):
            codec = TEXT
        elif _is_true(header.get("compresseddata", "False")):
            check_file(files[0])
            with files[0].open("rb") as file:
                file.seek(max(start, 0))
                codec = codec_of(file.read(2))
        size = math.prod(shape) * dtype.itemsize // len(files)
        parts = [Part(file, _start(file, start, size)) for file in files]
        names = (axes[:-1] if channels > 1 else axes)[::-1]
        return open_parts(path, parts, axes=axes, shape=shape, dtype=dtype, codec=codec) | _place(
            path, header, names
        )


def _read_header(path: Path) -> tuple[dict[str, str], str, list[str], int]:
    """The fields of a header, in lower case; its ElementDataFile; lines after it; and its end."""
    with path.open("rb") as file:
        content = file.read(_MAX_HEADER)
    found = re.search(rb"(?:^|\n)[ \t]*ElementDataFile[ \t]*[=:]([^\n]*)(?:\n|$)", content)
    if found is None:
        raise SourceError(f"{path}: not a MetaImage: its header has no ElementDataFile")
    header: dict[str, str] = {}
    for line in content[: found.start()].decode("latin-1").splitlines():
        match = re.match(r"\s*(\w+)\s*[=:](.*)", line)
        if match:
            key = match[1].lower()
            header[_ALIASES.get(key, key)] = match[2].strip()
    for key in ("dimsize", "elementtype"):
        if key not in header:
            raise SourceError(f"{path}: not a MetaImage: its header has no {key}")
    data = found[1].decode("utf-8", "surrogateescape").strip()
    is_list = data.split()[:1] == ["LIST"]
    rest = content[found.end() :].decode("utf-8", "surrogateescape").split("\n") if is_list else []
    return header, data, [line.strip() for line in rest if line.strip()], found.end()


def _data_files(path: Path, data: str, rest: list[str], count: int) -> list[Path]:
    """The files with the voxels: the header itself, those of a list or a pattern, or another."""
    if data.upper() == "LOCAL":
        return [path]
    words = data.split()
    if words and words[0] == "LIST":
        if not rest:
            raise SourceError(f"{path}: ElementDataFile is a LIST without files")
        return [path.parent / name for name in rest]
    if len(words) in (3, 4) and "%" in words[0]:
        return numbered(path, words, count)
    return [path.parent / data]


def _start(file: Path, start: int, size: int) -> int:
    """Where the voxels start in a file; -1 stands for as many bytes before its end as they have."""
    if start != -1:
        return start
    check_file(file)
    return file.stat().st_size - size


def _is_true(value: str) -> bool:
    return value[:1] in ("T", "t", "1")


def _place(path: Path, header: dict[str, str], names: str) -> dict[str, Any]:
    """Sizes, units and place of an image whose axes, without channels, have these names."""
    count = len(names)
    sizes = _numbers(path, header, "elementspacing", count)
    sizes = sizes or _numbers(path, header, "elementsize", count)
    fields: dict[str, Any] = {}
    unit, _ = common_unit(path, [header.get("distanceunits", "mm")], "space")
    if not sizes:
        return fields
    if "t" in names:
        fields |= time_of(sizes[names.index("t")], "")
    matrix = _numbers(path, header, "transformmatrix", count**2)
    orientation = header.get("anatomicalorientation", "")
    anatomy = "LPS" if count > 2 and (matrix or orientation == _DEFAULT) else ""
    if not matrix and re.fullmatch("[RLAPSI]{3}", orientation) and not anatomy:
        logger.warning(
            "%s: AnatomicalOrientation is %s, without a TransformMatrix: the anatomy is unknown",
            path,
            orientation,
        )
    # Each row of the matrix is the direction of an axis of the file.
    rows = np.reshape(matrix, (count, count)) if matrix else np.eye(count)
    padded = np.zeros((count, max(count, 3)))
    padded[:, :count] = rows * np.array([sizes]).T
    origin = _numbers(path, header, "offset", count)
    start = None if not origin and not anatomy else (*origin, 0.0, 0.0, 0.0)[:3]
    vectors = {name: padded[i, :3] for i, name in enumerate(names) if name in "xyz"}
    return fields | {"space_unit": unit} | place(path, vectors, start, anatomy)


def _numbers(path: Path, header: dict[str, str], key: str, count: int) -> tuple[float, ...]:
    """The numbers of a field; empty if it is missing."""
    values = tuple(map(float, header.get(key, "").split()))
    if values and len(values) != count:
        raise SourceError(f"{path}: {key} has {len(values)} numbers; allowed: {count}")
    return values
