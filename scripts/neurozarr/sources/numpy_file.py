"""NumPy's .npy files, and raw voxels without a header."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.files import check_file
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Source
from neurozarr.sources.columns import check_axes
from neurozarr.sources.damage import as_source_errors, check_size
from neurozarr.sources.mapping import populated

#: Default names of the axes, by their number.
_AXES = {2: "yx", 3: "zyx"}
#: Readers of the header by version of the format. Version 3.0 differs from 2.0 only in the encoding
#: of the field names of structured arrays.
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class MappedSource(Source):
    """A contiguous array in a file, which is memory-mapped.

    Attributes
    ----------
    stored_dtype
        Data type of the array, in the byte order of the file.
    offset
        Where the array starts in the file, in bytes.
    end
        Where the array ends in the file, in bytes.
    """

    stored_dtype: np.dtype[Any]
    offset: int
    end: int

    @classmethod
    def _open(
        cls,
        path: str,
        *,
        axes: str | None,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        fortran: bool,
        offset: int,
        exact: bool = False,
    ) -> Self:
        """Map an array; ``axes`` and ``shape`` are in index order, Fortran order included.

        With ``exact``, the array has to fill the file from ``offset`` (in bytes) to its end.
        """
        if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None:
            raise SourceError(f"{path}: its dtype is {dtype}; only arrays of numbers can be read")
        axes = _AXES.get(len(shape)) if axes is None else axes
        if not axes:
            raise SourceError(
                f"{path}: the array has shape {shape}: give axes, one letter for each, such as czyx"
            )
        check_axes(path, axes, shape)
        if min(shape) < 1:
            raise SourceError(f"{path}: the array is empty: its shape is {shape}")
        end = offset + math.prod(shape) * dtype.itemsize
        try:
            with open(path, "rb") as file:
                size = file.seek(0, 2)
                if size > end and exact:
                    raise SourceError(
                        f"{path}: too long: {size} bytes, but its voxels end at byte {end}; check "
                        "shape, dtype and offset"
                    )
                check_size(path, size, end)
        except OSError as error:
            raise SourceError(f"{path}: the file cannot be read ({error.strerror})") from None
        if fortran:
            axes, shape = axes[::-1], shape[::-1]
        return cls(
            files=(Path(path),),
            file_axes=axes,
            file_shape=shape,
            dtype=dtype.newbyteorder("="),
            stored_dtype=dtype,
            offset=offset,
            end=end,
        )

    @cached_property
    def _mapped(self) -> tuple[np.ndarray[Any, Any], mmap.mmap]:
        """The array and its map; of thousands of sources that are planned, none is kept open."""
        with open(self.files[0], "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        check_size(self._name, mapped.size(), self.end)
        return np.ndarray(self.file_shape, self.stored_dtype, mapped, self.offset), mapped

    def read_file(self, region: Region) -> np.ndarray:
        stored, mapped = self._mapped
        # Reading a map beyond the end of its file would crash.
        check_size(self._name, mapped.size(), self.end)
        return populated(stored, region, mapped, self._name)


@dataclass(frozen=True, kw_only=True, eq=False)
class NpySource(MappedSource):
    """An array of numbers in a .npy file, format version 1.0 to 3.0 (`numpy.lib.format`).

    By default, its axes are (y, x) or (z, y, x).
    """

    suffixes = (".npy",)

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        check_file(path)
        with as_source_errors(path, "its .npy header cannot be read"), open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            if version not in _HEADERS:
                raise SourceError(
                    f"{path}: version {version[0]}.{version[1]} of the .npy format is unknown"
                )
            shape, fortran, dtype = _HEADERS[version](file)
            offset = file.tell()
        return cls._open(
            path, axes=layout.axes, shape=shape, dtype=dtype, fortran=fortran, offset=offset
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class RawSource(MappedSource):
    """Voxels without a header, which fill the file from ``offset`` to its end.

    ``shape`` and ``dtype`` are required. By default, ``axes`` are (y, x) or (z, y, x), ``order`` is
    "C" and ``offset`` is 0.
    """

    suffixes = (".raw", ".bin", ".dat")
    takes = ("axes", "shape", "dtype", "order", "offset")

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        check_file(path)
        if layout.shape is None or layout.dtype is None:
            missing = [name for name in ("shape", "dtype") if name not in layout.given]
            raise SourceError(f"{path}: raw voxels have no header: give {' and '.join(missing)}")
        try:
            dtype = np.dtype(layout.dtype)
        except (TypeError, ValueError, SyntaxError):
            raise SourceError(
                f"{path}: dtype is {layout.dtype!r}; allowed: the name of a NumPy data type, such "
                "as uint16 or >f4"
            ) from None
        order, offset = layout.order or "C", layout.offset or 0
        if order not in ("C", "F"):
            raise SourceError(f"{path}: order is {order!r}; allowed: C or F")
        if offset < 0:
            raise SourceError(f"{path}: offset is {offset}; allowed: a number of bytes, 0 or more")
        return cls._open(
            path,
            axes=layout.axes,
            shape=layout.shape,
            dtype=dtype,
            fortran=order == "F",
            offset=offset,
            exact=True,
        )
