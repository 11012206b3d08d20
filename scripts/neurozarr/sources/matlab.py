"""Variables in MATLAB files: Level 5 (v5 to v7) read by SciPy, and HDF5 (v7.3) by h5py.

MATLAB stores arrays in Fortran order, and its volumes have rows (y), columns (x) and planes (z): a
variable of size (y, x, z) has the axes z, x, y in C order.
"""

from __future__ import annotations

import math
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from neurozarr.axes import STORED_ORDER
from neurozarr.errors import SourceError
from neurozarr.files import check_file
from neurozarr.regions import Region
from neurozarr.sources.arrays import choose_dataset, members, named_labels
from neurozarr.sources.base import Layout, Member, Source
from neurozarr.sources.columns import check_axes
from neurozarr.sources.extras import library
from neurozarr.sources.hdf5 import Hdf5Source, is_hdf5

#: Default names of the axes in C order, by their number.
_AXES = {2: "xy", 3: "zxy"}
#: Classes of arrays by code (MAT-File Format, Level 5, "Array Types"); for numbers, NumPy uses the
#: same names.
_NUMBERS = {
    6: "double", 7: "single", 8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32",
    13: "uint32", 14: "int64", 15: "uint64",
}  # fmt: skip
_OTHERS = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 16: "function"}
_COMPLEX_NUMBERS: dict[str, np.dtype[Any]] = {"double": np.dtype("c16"), "single": np.dtype("c8")}
#: Types of data elements (Level 5, "Data Types"), types of numbers, and flags of arrays.
_MATRIX, _COMPRESSED = 14, 15
_VALUES = (1, 2, 3, 4, 5, 6, 7, 9, 12, 13)
_COMPLEX, _LOGICAL = 0x0800, 0x0200
#: Bytes read of a variable: enough for its flags, dimensions and name.
_HEADER_BYTES = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class MatlabHdf5Source(Hdf5Source):
    """A variable of a MATLAB 7.3 file, or a field of a struct, named /struct/field."""

    suffixes = (".mat",)
    default_axes = _AXES

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
    """Header of a variable; ``size`` is in MATLAB's order."""

    name: str
    kind: int
    flags: int
    size: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Data type of its numbers; None if it does not hold numbers."""
        name = _NUMBERS.get(self.kind, "")
        if not name or not self.flags & _COMPLEX:
            return np.dtype(bool if self.flags & _LOGICAL else name) if name else None
        return _COMPLEX_NUMBERS.get(name)

    @property
    def type_name(self) -> str:
        """MATLAB's name of its class."""
        name = (_NUMBERS | _OTHERS).get(self.kind, f"class {self.kind}")
        return f"complex {name}" if self.flags & _COMPLEX else name


@dataclass(frozen=True, kw_only=True, eq=False)
class MatlabSource(Source):
    """A variable of a MATLAB file of version 5 to 7 (MAT-File Format, Level 5), read as a whole.

    Attributes
    ----------
    dataset
        Name of the variable.
    lock
        Held while the variable is read.
    """

    suffixes = (".mat",)
    takes = ("axes", "dataset")

    dataset: str
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        library("scipy.io", "matlab", path)
        variables = _by_name(path)
        arrays = _arrays(variables)
        if layout.dataset in variables.keys() - arrays.keys():
            found = variables[str(layout.dataset)]
            raise SourceError(
                f"{path}: {found.name} is {found.type_name} of size {found.size}; only full arrays "
                "of numbers with 2 to 5 dimensions can be converted"
            )
        variable = variables[choose_dataset(path, layout.dataset, arrays)]
        shape = variable.size[::-1]
        axes = layout.axes or _AXES.get(len(shape), "")
        if not axes:
            raise SourceError(
                f"{path}: {variable.name} has size {variable.size}, and its axes have no names: "
                "give axes, the last dimension first, such as czxy for (y, x, z, c)"
            )
        check_axes(path, axes, shape)
        dtype = np.dtype(variable.dtype)
        # SciPy reads the real and the imaginary part, then combines them.
        held = math.prod(shape) * dtype.itemsize * (3 if dtype.kind == "c" else 1)
        return cls(
            files=(Path(path),),
            file_axes=axes,
            file_shape=shape,
            dtype=dtype,
            held_bytes=held,
            labels={} if named_labels(variable.name, dtype) else None,
            dataset=variable.name,
        )

    @classmethod
    def images(cls, path: str, layout: Layout) -> Sequence[Member]:
        return members(path, _arrays(_by_name(path)))

    @cached_property
    def voxels(self) -> np.ndarray:
        """All voxels, in C order; their type in the file may be narrower than ``dtype``."""
        path = str(self.files[0])
        io = library("scipy.io", "matlab", path)
        found = io.loadmat(path, appendmat=False, variable_names=[self.dataset])[self.dataset]
        voxels = np.asarray(found).T
        if voxels.shape != self.file_shape:
            raise ValueError(f"SciPy reads {self.dataset} as {found!r}")
        return voxels

    def read_file(self, region: Region) -> np.ndarray:
        with self.lock:
            voxels = self.voxels
        return voxels[region]


def _by_name(path: str) -> dict[str, _Variable]:
    """Headers of the variables of a file, by name; a SourceError if they cannot be read."""
    check_file(path)
    try:
        return {variable.name: variable for variable in _variables(path)}
    except (struct.error, zlib.error, OSError) as error:
        raise SourceError(f"{path}: its variables cannot be listed ({error})") from None


def _arrays(variables: dict[str, _Variable]) -> dict[str, tuple[int, ...]]:
    """Sizes of the variables that can be converted, by name."""
    return {
        name: variable.size
        for name, variable in variables.items()
        if variable.dtype is not None and len(variable.size) <= len(STORED_ORDER)
    }


def _variables(path: str) -> Iterator[_Variable]:
    """Headers of the variables of a file (MAT-File Format, Level 5)."""
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
                        f"{path}: damaged: the header of {variable.name} has size {variable.size}"
                    )
                yield variable
            file.seek(following)


def _matrix(file: BinaryIO, kind: int, size: int) -> bytes:
    """First bytes of a variable, after its tag, uncompressed; b"" for other data elements."""
    content = file.read(min(size, _HEADER_BYTES))
    if kind == _COMPRESSED:
        return zlib.decompressobj().decompress(content, _HEADER_BYTES)[8:]
    return content if kind == _MATRIX else b""


def _variable(content: bytes, order: str) -> _Variable | None:
    """Parse the header of a variable; None if it is not a variable, or has no name."""
    if not content:
        return None
    (flags,) = struct.unpack_from(f"{order}I", content, 8)
    if flags & 0xFF not in _NUMBERS | _OTHERS:
        return None
    _, start, length, offset = _element(content, 16, order)
    size = struct.unpack_from(f"{order}{length // 4}i", content, start)
    _, start, length, offset = _element(content, offset, order)
    name = content[start : start + length].decode("latin-1")
    if name and flags & 0xFF in _NUMBERS:
        kind, *_ = _element(content, offset, order)
        if kind not in _VALUES:  # SciPy would crash.
            raise struct.error(f"the values of {name} have type {kind}")
    return _Variable(name=name, kind=flags & 0xFF, flags=flags, size=size) if name else None


def _element(content: bytes, offset: int, order: str) -> tuple[int, int, int, int]:
    """Type, start and length of the data element at an offset, and the offset of the next one."""
    (tag,) = struct.unpack_from(f"{order}I", content, offset)
    if tag >> 16:  # Small data element: the upper 16 bits are its length, and its data follow.
        return tag & 0xFFFF, offset + 4, tag >> 16, offset + 8
    (length,) = struct.unpack_from(f"{order}I", content, offset + 4)
    return tag, offset + 8, length, offset + 8 + -(-length // 8) * 8
