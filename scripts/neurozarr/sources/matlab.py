"""Variables in MATLAB files: Level 5 (v5 to v7) by SciPy, and HDF5 (v7.3) by h5py.

MATLAB's last dimension is the slowest, and its volumes have rows (y), columns (x) and planes (z): a
variable of size (y, x, z) has the axes z, x, y in C order.
"""

from __future__ import annotations

import math
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from neurozarr.axes import STORED_ORDER
from neurozarr.errors import SourceError
from neurozarr.files import check_file
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Source, check_axes, library
from neurozarr.sources.hdf5 import Hdf5Source, choose, is_hdf5

_AXES = {2: "xy", 3: "zxy"}
#: Classes of arrays, by their codes (MAT-File Format, Level 5, "Array Types"); NumPy has the same
#: names for those of numbers.
_NUMBERS = {
    6: "double", 7: "single", 8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32",
    13: "uint32", 14: "int64", 15: "uint64",
}  # fmt: skip
_OTHERS = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 16: "function"}
_COMPLEX_NUMBERS: dict[str, np.dtype[Any]] = {"double": np.dtype("c16"), "single": np.dtype("c8")}
#: Types of data elements (Level 5, "Data Types"), those of numbers, and flags of arrays.
_MATRIX, _COMPRESSED = 14, 15
_VALUES = (1, 2, 3, 4, 5, 6, 7, 9, 12, 13)
_COMPLEX, _LOGICAL = 0x0800, 0x0200
#: Bytes in which the flags, dimensions and name of a variable are.
_HEADER = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class MatlabHdf5Source(Hdf5Source):
    """A variable of a MATLAB file of version 7.3, or a field of a struct, as /struct/field."""

    suffixes = (".mat",)
    usual_axes = _AXES

    @classmethod
    def matches(cls, path: str) -> bool:
        return super().matches(path) and is_hdf5(path)

    @classmethod
    def numbers(cls, dataset: Any) -> Any:
        kind = dataset.attrs.get("MATLAB_class")
        name = kind.decode(errors="replace") if isinstance(kind, bytes) else kind
        if dataset.name.startswith("/#") or dataset.attrs.get("MATLAB_empty", 0):
            return None
        if name == "logical":
            return np.dtype(bool)
        return super().numbers(dataset) if name in (None, *_NUMBERS.values()) else None


@dataclass(frozen=True, kw_only=True)
class _Variable:
    """What the header of a variable says; ``size`` in MATLAB's order."""

    name: str
    kind: int
    flags: int
    size: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Data type of its numbers; None where it has none."""
        name = _NUMBERS.get(self.kind, "")
        if not name or not self.flags & _COMPLEX:
            return np.dtype(bool if self.flags & _LOGICAL else name) if name else None
        return _COMPLEX_NUMBERS.get(name)

    @property
    def type_name(self) -> str:
        """What it is, as MATLAB calls it."""
        name = (_NUMBERS | _OTHERS).get(self.kind, f"class {self.kind}")
        return f"complex {name}" if self.flags & _COMPLEX else name


@dataclass(frozen=True, kw_only=True, eq=False)
class MatlabSource(Source):
    """A variable of a MATLAB file of versions 5 to 7 (MAT-File Format, Level 5), read whole.

    Attributes
    ----------
    dataset
        Its name.
    """

    suffixes = (".mat",)
    takes = ("axes", "dataset")

    dataset: str
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        library("scipy.io", "matlab", path)
        check_file(path)
        try:
            variables = {variable.name: variable for variable in _variables(path)}
        except (struct.error, zlib.error, OSError) as error:
            raise SourceError(f"{path}: its variables cannot be listed ({error})") from None
        arrays = {
            name: variable.size
            for name, variable in variables.items()
            if variable.dtype is not None and len(variable.size) <= len(STORED_ORDER)
        }
        if layout.dataset in variables.keys() - arrays.keys():
            found = variables[str(layout.dataset)]
            raise SourceError(
                f"{path}: {found.name} is {found.type_name} of size {found.size}; only full arrays "
                "of numbers, of 2 to 5 dimensions, can be converted"
            )
        variable = variables[choose(path, layout.dataset, arrays)]
        shape = variable.size[::-1]
        axes = layout.axes or _AXES.get(len(shape), "")
        if not axes:
            raise SourceError(
                f"{path}: {variable.name} has size {variable.size}, and its axes have no names: "
                "give axes, the last dimension first, such as czxy for (y, x, z, c)"
            )
        check_axes(path, axes, shape)
        dtype = np.dtype(variable.dtype)
        # Complex numbers are put together from their parts.
        held = math.prod(shape) * dtype.itemsize * (3 if dtype.kind == "c" else 1)
        return cls(
            files=(Path(path),),
            file_axes=axes,
            file_shape=shape,
            dtype=dtype,
            held_bytes=held,
            dataset=variable.name,
        )

    @cached_property
    def voxels(self) -> np.ndarray:
        """All voxels, in C order, of the type they are saved with, which may be a narrower one."""
        path = str(self.files[0])
        io = library("scipy.io", "matlab", path)
        found = io.loadmat(path, appendmat=False, variable_names=[self.dataset])[self.dataset]
        voxels = np.asarray(found).T
        if voxels.shape != self.file_shape:
            raise ValueError(f"{self.dataset} is {found!r}")
        return voxels

    def read_file(self, region: Region) -> np.ndarray:
        with self.lock:
            voxels = self.voxels
        return voxels[region]


def _variables(path: str) -> Iterator[_Variable]:
    """The variables of a file, by their headers (MAT-File Format, Level 5)."""
    with open(path, "rb") as file:
        end = file.seek(0, 2)
        file.seek(0)
        start = file.read(128)
        order = {b"IM": "<", b"MI": ">"}.get(start[126:128])
        if order is None or 0 in start[:4]:
            raise SourceError(
                f"{path}: not a MATLAB file of version 5 or later; save it again in MATLAB, with "
                "-v7 or -v7.3"
            )
        while file.tell() < end:
            kind, size = struct.unpack(f"{order}2I", file.read(8))
            following = file.tell() + size
            if following > end:
                raise SourceError(
                    f"{path}: cut short: {end} bytes, but a variable ends at byte {following}"
                )
            variable = _variable(_matrix(file, kind, size), order)
            if variable is not None:
                if min(variable.size, default=0) < 0:
                    raise SourceError(
                        f"{path}: damaged: {variable.name} has size {variable.size} by its header"
                    )
                yield variable
            file.seek(following)


def _matrix(file: BinaryIO, kind: int, size: int) -> bytes:
    """The first bytes of a variable, uncompressed, after its tag; none of other elements."""
    content = file.read(min(size, _HEADER))
    if kind == _COMPRESSED:
        return zlib.decompressobj().decompress(content, _HEADER)[8:]
    return content if kind == _MATRIX else b""


def _variable(content: bytes, order: str) -> _Variable | None:
    """What a header says: flags, dimensions and name; None where it has not all of them."""
    if not content:
        return None
    (flags,) = struct.unpack_from(f"{order}I", content, 8)
    if flags & 0xFF not in _NUMBERS | _OTHERS:
        return None
    _, start, length, place = _element(content, 16, order)
    size = struct.unpack_from(f"{order}{length // 4}i", content, start)
    _, start, length, place = _element(content, place, order)
    name = content[start : start + length].decode("latin-1")
    if name and flags & 0xFF in _NUMBERS:
        kind, *_ = _element(content, place, order)
        if kind not in _VALUES:  # Of which SciPy would crash.
            raise struct.error(f"the values of {name} have type {kind}")
    return _Variable(name=name, kind=flags & 0xFF, flags=flags, size=size) if name else None


def _element(content: bytes, place: int, order: str) -> tuple[int, int, int, int]:
    """Type, start and length of a data element at a place, and the place of the next one."""
    (tag,) = struct.unpack_from(f"{order}I", content, place)
    if tag >> 16:  # Up to four bytes are in the tag itself, with their number above their type.
        return tag & 0xFFFF, place + 4, tag >> 16, place + 8
    (length,) = struct.unpack_from(f"{order}I", content, place + 4)
    return tag, place + 8, length, place + 8 + -(-length // 8) * 8
