"""MRC and CCP4 images (.mrc, .map, .rec and others), as MRC2014 and IMOD define them.

mrcfile describes their headers, but reads bytes as signed always, ignores the order of the axes,
and reads all of a compressed file.
"""

from __future__ import annotations

import bz2
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from isal import igzip

from neurozarr.errors import SourceError
from neurozarr.sources.columns import check_axes
from neurozarr.sources.directions import place
from neurozarr.sources.extras import library
from neurozarr.sources.parts import Part, PartsSource, open_parts

logger = logging.getLogger(__name__)

_SUFFIXES = (".mrc", ".mrcs", ".map", ".ccp4", ".st")
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2"}
#: Size of the header, in bytes, and place of its text "MAP".
_HEADER_SIZE = 1024
_MAP = slice(208, 211)
#: Stamp of IMOD, with its flags, in ``extra2`` (IMOD, "MRC file format", bytes 152 to 159).
_IMOD = 1146047817
_IMOD_PLACE = 152 - 112
_SIGNED, _INVERTED, _PACKED = 1, 4, 16
#: First version of the format whose origin is that of the standard.
_STANDARD = 20140


@dataclass(frozen=True, kw_only=True, eq=False)
class MrcSource(PartsSource):
    """An image, a stack of images or a volume, or a stack of volumes along t or c.

    Sections are slices along z, unless ``axes`` says otherwise.
    """

    suffixes = tuple(
        suffix + ending for suffix in (*_SUFFIXES, ".rec") for ending in ("", *_COMPRESSIONS)
    )

    @classmethod
    def matches(cls, path: str) -> bool:
        name = path.lower()
        if name.endswith(".rec"):  # As in PAR/REC, which has a header in a file of its own.
            return _is_mrc(path)
        return super().matches(path)

    @staticmethod
    def fields_of(path: Path, given: str | None) -> dict[str, Any]:
        header = _read_header(path)
        mrc = library("mrcfile.utils", "mrc", str(path))
        flags = _imod_flags(header)
        try:
            dtype = mrc.data_dtype_from_header(header)
        except ValueError:
            dtype = None
        if dtype is None or (flags or 0) & _PACKED:
            raise SourceError(
                f"{path}: its mode is {header.mode}{' with 4 bits' if dtype else ''}; supported: "
                "0, 1, 2, 4, 6 and 12; convert it, for example by newstack -mode"
            )
        if dtype == np.int8 and not _is_signed(header, flags):
            dtype = np.dtype(np.uint8)
        lengths = tuple(int(header[name]) for name in ("nx", "ny", "nz"))
        if min(lengths) < 1:
            raise SourceError(f"{path}: damaged: it has {lengths} columns, rows and sections")
        order = [int(header[name]) for name in ("mapc", "mapr", "maps")]
        order = order if sorted(order) == [1, 2, 3] else [1, 2, 3]
        if mrc.spacegroup_is_volume_stack(header.ispg):
            if int(header.mz) < 1 or lengths[2] % int(header.mz):
                raise SourceError(
                    f"{path}: damaged: volumes of {header.mz} sections among {lengths[2]} sections"
                )
            lengths = (*lengths[:2], int(header.mz), lengths[2] // int(header.mz))
        axes = "".join("xyz"[number - 1] for number in order) + "t" * (len(lengths) - 3)
        if given is not None:
            check_axes(str(path), given, lengths[::-1])
            axes = given[::-1]
        if int(header.nsymbt) < 0:
            raise SourceError(f"{path}: damaged: its extended header has {header.nsymbt} bytes")
        start = _HEADER_SIZE + int(header.nsymbt)
        codec = _COMPRESSIONS.get(path.suffix.lower(), "")
        part = Part(path, 0, start) if codec else Part(path, start)
        return open_parts(
            path, [part], axes=axes[::-1], shape=lengths[::-1], dtype=dtype, codec=codec
        ) | _placed(path, header, flags, order, axes)


def _is_mrc(path: str) -> bool:
    """Whether a file has the header of MRC."""
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        return False
    with open(path, "rb") as file:
        return file.read(_HEADER_SIZE)[_MAP] == b"MAP"


def _read_header(path: Path) -> Any:
    """Read a header, a record of mrcfile, in the byte order of its machine stamp or its axes."""
    dtypes = library("mrcfile.dtypes", "mrc", str(path))
    opened: dict[str, Any] = {".gz": igzip.open, ".bz2": bz2.open}
    with opened.get(path.suffix.lower(), open)(path, "rb") as file:
        raw = file.read(_HEADER_SIZE)
    if len(raw) < _HEADER_SIZE:
        raise SourceError(f"{path}: cut short: {len(raw)} bytes, but its header has {_HEADER_SIZE}")
    record = np.frombuffer(raw, dtypes.HEADER_DTYPE.newbyteorder("<")).reshape(()).view(np.recarray)
    utils = library("mrcfile.utils", "mrc", str(path))
    try:
        order = utils.byte_order_from_machine_stamp(record.machst) if _has_map(record) else ""
    except ValueError:
        order = ""
    if not order:  # As IMOD does, by fields that are small.
        order = "<" if 0 <= record.mapc <= 3 and 0 <= record.mode < 2**16 else ">"
    if order == ">":
        record = record.view(dtypes.HEADER_DTYPE.newbyteorder(">")).view(np.recarray)
    if not _has_map(record):
        axes = sorted(int(record[name]) for name in ("mapc", "mapr", "maps"))
        if axes not in ([0, 0, 0], [1, 2, 3]):
            raise SourceError(f"{path}: not an MRC file: its header has no MAP at byte 208")
        logger.warning("%s: it has no MAP at byte 208; it is read as an old MRC file", path)
    return record


def _has_map(record: Any) -> bool:
    return bool(record["map"].item()[:3] == b"MAP")


def _imod_flags(header: Any) -> int | None:
    """The flags of IMOD; None if it has not written the file."""
    order = header["mode"].dtype.byteorder
    raw = header["extra2"].tobytes()[_IMOD_PLACE : _IMOD_PLACE + 8]
    stamp, flags = np.frombuffer(raw, np.dtype(np.int32).newbyteorder(order))
    return int(flags) if stamp == _IMOD else None


def _is_signed(header: Any, flags: int | None) -> bool:
    """Whether bytes are signed, as MRC2014 says, or not, as IMOD or the largest value say."""
    if flags is not None:
        return bool(flags & _SIGNED)
    return not (header.dmin >= 0 and 127 < header.dmax <= 255)


def _placed(
    path: Path, header: Any, flags: int | None, order: list[int], axes: str
) -> dict[str, Any]:
    """Voxel size and position of an image, whose first three axes, fastest first, have an order."""
    cell = np.array([header.cella[name] for name in "xyz"], float)
    counts = np.array([header.mx, header.my, header.mz], float)
    angles = [float(header.cellb[name]) for name in ("alpha", "beta", "gamma")]
    if any(angle not in (0.0, 90.0) for angle in angles):
        logger.warning("%s: its axes are at angles of %s, which are left out", path, angles)
    if (counts < 1).any() or not (cell[:2] > 0).all():
        return {}
    sizes = cell / counts
    sizes[2] = sizes[2] if sizes[2] > 0 else sizes[0]  # As IMOD does.
    # The origin is of x, y and z; starts are of columns, rows and sections.
    origin = np.array([header.origin[name] for name in "xyz"], float)
    if not _has_map(header) or not origin.any():
        origin[np.array(order) - 1] = [header.nxstart, header.nystart, header.nzstart]
        origin *= sizes
    elif flags is not None and not flags & _INVERTED and header.nversion < _STANDARD:
        origin *= -1
    vectors = {
        axis: np.eye(3)[number - 1] * sizes[number - 1]
        for axis, number in zip(axes, order, strict=False)
        if axis in "xyz"
    }
    return {"space_unit": "angstrom"} | place(path, vectors, origin + 0.0, "")
