"""NRRD files (.nrrd, .nhdr), as Teem's "Definition of NRRD File Format" defines them.

pynrrd parses their fields, but reads the voxels of one file only, and all of them. Section numbers
are those of the definition.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.files import check_file
from neurozarr.sources.columns import check_axes
from neurozarr.sources.directions import TO_RAS, common_unit, place
from neurozarr.sources.extras import library
from neurozarr.sources.parts import TEXT, Part, PartsSource, numbered, open_parts
from neurozarr.sources.scaled_image import time_of
from neurozarr.units import is_plausible

#: Data types (section 5, "type"); "uint" may also be "unsigned int", with "int" after any name.
_TYPES = {
    "signed char": "i1", "int8": "i1", "int8_t": "i1", "uchar": "u1", "unsigned char": "u1",
    "uint8": "u1", "uint8_t": "u1", "short": "i2", "int16": "i2", "int16_t": "i2", "ushort": "u2",
    "unsigned short": "u2", "uint16": "u2", "uint16_t": "u2", "int": "i4", "int32": "i4",
    "int32_t": "i4", "uint": "u4", "unsigned": "u4", "uint32": "u4", "uint32_t": "u4",
    "longlong": "i8", "long long": "i8", "int64": "i8", "int64_t": "i8", "ulonglong": "u8",
    "unsigned long long": "u8", "uint64": "u8", "uint64_t": "u8", "float": "f4", "double": "f8",
}  # fmt: skip
_CODECS = {"raw": "", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_CODECS |= dict.fromkeys(("txt", "text", "ascii"), TEXT)
#: Spaces (section 4) whose anatomy is known.
_SPACES = {
    "right-anterior-superior": "RAS",
    "left-anterior-superior": "LAS",
    "left-posterior-superior": "LPS",
}
#: Kinds (section 6) of axes of space; all others but "time" are channels.
_SPATIAL_KINDS = ("domain", "space")
#: Names of the axes, fastest first, by their number, if nothing tells them apart.
_AXES = {1: "x", 2: "xy", 3: "xyz"}
#: Largest header, in bytes.
_MAX_HEADER = 2**22


class _Header(NamedTuple):
    """The header of a NRRD file.

    Attributes
    ----------
    fields
        Its fields, as pynrrd parses them, and its keys.
    files
        The lines of its list of data files.
    end
        Where it ends, in bytes.
    """

    fields: dict[str, Any]
    files: list[str]
    end: int

    def get(self, name: str, default: Any = None) -> Any:
        """A field whose name may be written without spaces."""
        return self.fields.get(name, self.fields.get(name.replace(" ", ""), default))

    def of_axes(self, name: str, empty: Any) -> list[Any]:
        """A field with a value for each axis, fastest first; ``empty`` if it is missing.

        Raises
        ------
        ValueError
            It has another number of values.
        """
        count = len(self.fields["sizes"])
        values = self.get(name)
        values = values.split() if isinstance(values, str) else values  # As of "centers".
        values = [empty] * count if values is None else list(values)
        if len(values) != count:
            raise ValueError(f"{name} has {len(values)} values for {count} axes")
        return values


@dataclass(frozen=True, kw_only=True, eq=False)
class NrrdSource(PartsSource):
    """A NRRD image, whose axes are of space, time or anything else: channels.

    The affine is known in anatomical spaces (RAS, LAS, LPS), of which the unit is mm if the header
    does not say it, as in ITK and 3D Slicer. A segmentation of 3D Slicer (.seg.nrrd) is labels.
    """

    suffixes = (".nrrd", ".nhdr")

    @staticmethod
    def fields_of(path: Path, given: str | None) -> dict[str, Any]:
        header = _read_header(path)
        sizes = [int(size) for size in header.fields["sizes"]]
        encoding, kind = (str(header.fields[name]).lower() for name in ("encoding", "type"))
        if encoding not in _CODECS:
            raise SourceError(
                f"{path}: encoding is {encoding}, which is not supported; convert it, for example "
                f"by unu save -e gzip -f nrrd -i {path.name} -o new.nrrd"
            )
        codec = _CODECS[encoding]
        dtype = _dtype(path, kind, header, codec)
        vectors = _vectors(header)
        axes = given[::-1] if given is not None else _axes(path, header, vectors, sizes)
        check_axes(str(path), axes[::-1], tuple(sizes[::-1]))
        parts = _parts(path, header, math.prod(sizes) * dtype.itemsize, codec)
        fields = open_parts(
            path, parts, axes=axes[::-1], shape=tuple(sizes[::-1]), dtype=dtype, codec=codec
        )
        if (labels := _labels(header.fields)) is not None:
            # Layers, which are channels, have labels of their own.
            fields["labels"] = {} if "c" in axes else labels
        return fields | _placed(path, header, axes, vectors)


def _read_header(path: Path) -> _Header:
    """Read a header, up to an empty line or the end of the file."""
    nrrd = library("nrrd", "nrrd", str(path))
    with path.open("rb") as file:
        content = file.read(_MAX_HEADER)
    if not content.startswith(b"NRRD"):
        raise SourceError(f"{path}: not a NRRD file: it does not start with NRRD")
    found = re.search(rb"\n\r?\n", content)
    end = len(content) if found is None else found.end()
    try:
        text = content[:end].decode("utf-8")
    except UnicodeDecodeError:
        text = content[:end].decode("latin-1")
    # pynrrd knows names of fields in lower case only; those of keys, with :=, have any.
    lines = [
        re.sub(r"^[\w ]+:(?!=)", lambda name: name[0].lower(), line)
        for line in text.rstrip("\r\n").split("\n")
    ]
    lists = [i for i, line in enumerate(lines) if re.match(r"data ?file:\s*LIST\b", line)]
    stop = lists[0] + 1 if lists else len(lines)
    fields = dict(nrrd.read_header(lines[:stop]))
    for name in ("sizes", "type", "encoding", "dimension"):
        if name not in fields:
            raise SourceError(f"{path}: its header has no {name}")
    if len(fields["sizes"]) != fields["dimension"]:
        sizes = fields["sizes"].tolist()
        raise SourceError(f"{path}: dimension is {fields['dimension']}, but sizes is {sizes}")
    return _Header(fields, [line.strip() for line in lines[stop:] if line.strip()], end)


def _dtype(path: Path, kind: str, header: _Header, codec: str) -> np.dtype[Any]:
    """Data type, with the byte order of the file."""
    name = " ".join(kind.split())
    name = name if name in _TYPES else name.removeprefix("signed ").removesuffix(" int")
    if name not in _TYPES:
        raise SourceError(f"{path}: type is {kind}, which is not supported")
    dtype = np.dtype(_TYPES[name])
    order = str(header.get("endian", "")).lower()
    if dtype.itemsize > 1 and codec != TEXT:
        if order not in ("little", "big"):
            raise SourceError(f"{path}: endian is {order!r}; allowed: little or big")
        dtype = dtype.newbyteorder("<" if order == "little" else ">")
    return dtype


def _parts(path: Path, header: _Header, size: int, codec: str) -> list[Part]:
    """Where the voxels are, of which there are ``size`` bytes (section 5, "data file")."""
    name = header.get("data file")
    words = str(name or "").split()
    if name is None:
        files = [path]
    elif words and words[0] == "LIST":
        files = [path.parent / line for line in header.files]
    elif len(words) in (4, 5) and "%" in words[0]:
        files = numbered(path, words[:4], size)
    else:
        files = [path.parent / name]
    if not files:
        raise SourceError(f"{path}: data file is {name}: there are none")
    lines, skip = int(header.get("line skip", 0)), int(header.get("byte skip", 0))
    if lines < 0 or skip < -1:
        raise SourceError(f"{path}: line skip is {lines}, byte skip {skip}; allowed: 0 or more")
    parts = []
    for file in files:
        check_file(file)
        start = header.end if name is None else 0
        with file.open("rb") as opened:
            opened.seek(start)
            for _ in range(lines):
                if not opened.readline(_MAX_HEADER):
                    raise SourceError(f"{file}: cut short: line skip is {lines}")
            start = opened.tell()
            if skip == -1:  # The voxels are the last bytes.
                end = opened.seek(0, 2)
                if codec == "gzip":
                    # RFC 1952, section 2.3.1: the length of what is compressed, modulo 2**32.
                    opened.seek(max(end - 4, 0))
                    length = int.from_bytes(opened.read(), "little")
                    parts.append(Part(file, start, (length - size // len(files)) % 2**32))
                elif codec == "":
                    parts.append(Part(file, end - size // len(files)))
                else:
                    raise SourceError(
                        f"{path}: byte skip is -1, which is not supported with this encoding"
                    )
            elif codec == TEXT:
                parts.append(Part(file, start + skip))
            else:
                parts.append(Part(file, start, skip))
    return parts


def _vectors(header: _Header) -> list[np.ndarray[Any, Any] | None]:
    """The direction of each axis, fastest first; None for those that have none (section 4)."""
    rows = header.get("space directions")
    if rows is None:
        return [None] * len(header.fields["sizes"])
    if len(rows) != len(header.fields["sizes"]):
        raise ValueError(f"space directions has {len(rows)} vectors, not one for each axis")
    vectors = [np.asarray(row, float) for row in rows]
    return [vector if np.isfinite(vector).all() and vector.any() else None for vector in vectors]


def _axes(
    path: Path,
    header: _Header,
    vectors: Sequence[np.ndarray[Any, Any] | None],
    sizes: list[int],
) -> str:
    """Names of the axes, fastest first, by their kinds and directions, or by their number."""
    kinds = [str(kind).lower() for kind in header.of_axes("kinds", "")]
    spacings = header.of_axes("spacings", math.nan)
    letters = ""
    if not any(kinds) and all(vector is None for vector in vectors):
        if any(map(math.isfinite, spacings)):
            kinds = ["space" if math.isfinite(spacing) else "list" for spacing in spacings]
        else:
            letters = _AXES.get(len(sizes), "")
    for kind, vector in zip(kinds, vectors, strict=True) if not letters else ():
        if kind == "time" or (vector is not None and len(vector) == 4 and not vector[:3].any()):
            letters += "t"
        elif vector is not None or kind in _SPATIAL_KINDS:
            letters += "xyz"[min(sum(letter in "xyz" for letter in letters), 2)]
        else:
            letters += "c"
    if not letters or len(set(letters)) < len(letters):
        raise SourceError(
            f"{path}: axes of lengths {sizes[::-1]}, slowest first, of the kinds {kinds[::-1]}: "
            "give axes, one letter for each, such as tzyx"
        )
    return letters


def _placed(
    path: Path, header: _Header, axes: str, vectors: Sequence[np.ndarray[Any, Any] | None]
) -> dict[str, Any]:
    """Sizes, units and place of an image, as fields of a source."""
    space = str(header.get("space", "")).lower().removesuffix("-time")
    anatomy = _SPACES.get(space, space.upper().removesuffix("T"))
    anatomy = anatomy if anatomy in TO_RAS else ""
    names = [str(name) for name in header.of_axes("units", "")]
    spacings = [abs(float(spacing)) for spacing in header.of_axes("spacings", math.nan)]
    fields: dict[str, Any] = {}
    if "t" in axes:
        number = axes.index("t")
        vector = vectors[number]
        step = spacings[number] if vector is None else float(np.linalg.norm(vector))
        fields |= time_of(step, common_unit(path, [names[number]], "time")[0])
    spatial = [number for number, axis in enumerate(axes) if axis in "xyz"]
    in_space = [str(name) for name in header.get("space units", ())][:3]
    if any(vectors[number] is not None for number in spatial):
        unit, factors = common_unit(path, in_space, "space")
        scale = np.append(factors, np.ones(3))[:3]
        known = {axes[i]: _padded(vectors[i]) * scale for i in spatial if vectors[i] is not None}
        found = header.get("space origin")
        origin = None if found is None or np.isnan(found).any() else _padded(found) * scale
        fields["space_unit"] = unit or ("millimeter" if anatomy else "")
        return fields | place(path, known, origin, anatomy)
    own = [names[number] for number in spatial]
    own = own if any(own) or len(in_space) != len(own) else in_space
    fields["space_unit"], factors = common_unit(path, own, "space")
    if not all(is_plausible(spacings[number]) for number in spatial):
        return fields
    corner = _corner(header, axes, spacings)
    known, start = {}, np.zeros(3)
    for number, factor in zip(spatial, factors, strict=True):
        place_ = "xyz".index(axes[number])
        known[axes[number]] = np.eye(3)[place_] * spacings[number] * factor
        start[place_] = corner[place_] * factor
    return fields | place(path, known, None if np.isnan(start).any() else start, "")


def _padded(vector: Any) -> np.ndarray[Any, Any]:
    """A vector as x, y and z: 0 where the space has fewer axes; time is left out."""
    return np.append(np.asarray(vector, float), np.zeros(3))[:3]


def _corner(header: _Header, axes: str, spacings: list[float]) -> np.ndarray[Any, Any]:
    """Centre of the first voxel along x, y and z, NaN where it is unknown (section 6).

    "axis mins" are the first borders of voxels that are cells, and else their centres.
    """
    mins = header.of_axes("axis mins", math.nan)
    name = "centers" if header.get("centerings") is None else "centerings"
    centers = header.of_axes(name, "")
    corner = np.zeros(3)
    for axis, low, center, spacing in zip(axes, mins, centers, spacings, strict=True):
        if axis in "xyz":
            corner["xyz".index(axis)] = low + (spacing / 2 if center == "cell" else 0)
    return corner


def _labels(fields: dict[str, Any]) -> dict[str, Any] | None:
    """Colours and names of the labels of a segmentation of 3D Slicer; None if it is none."""
    numbers = sorted(
        int(match[1]) for key in fields if (match := re.fullmatch(r"Segment(\d+)_ID", key))
    )
    if not numbers:
        return None
    colors, properties = [], []
    for number in numbers:
        value = int(fields.get(f"Segment{number}_LabelValue", number + 1))
        color = [float(part) for part in str(fields.get(f"Segment{number}_Color", "")).split()]
        if len(color) == 3 and all(0 <= part <= 1 for part in color):
            rgba = [*(round(255 * part) for part in color), 255]
            colors.append({"label-value": value, "rgba": rgba})
        if name := str(fields.get(f"Segment{number}_Name", "")):
            properties.append({"label-value": value, "name": name})
    found = {"colors": colors, "properties": properties}
    return {name: values for name, values in found.items() if values}
