"""Arrays as they lie in memory: NumPy's .npy files, and raw voxels without a header."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.files import check_file
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Source, check_axes
from neurozarr.sources.mapping import fetched

#: Names of the axes by number of dimensions, where they are not given.
_AXES = {2: "yx", 3: "zyx"}
#: Readers of the header by version of the format. That of 3.0 differs from 2.0 in the encoding of
#: the field names of structured arrays alone.
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class MappedSource(Source):
    """An array in one piece in a file, which is mapped."""

    #: The array, the axis that varies fastest last; its file; and where in it the array ends, in
    #: bytes.
    stored: np.ndarray[Any, Any]
    stream: mmap.mmap
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
        """Map an array, given by its index order, which Fortran order reverses in the file."""
        if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None:
            raise SourceError(f"{path}: its dtype is {dtype}; only arrays of numbers can be read")
        axes = _AXES.get(len(shape)) if axes is None else axes
        if not axes:
            raise SourceError(
                f"{path}: the array has shape {shape}: give axes, the name of each, such as czyx"
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
                        f"{path}: too long: {size} bytes, but shape, dtype and offset ask for {end}"
                    )
                _check_size(path, size, end)
                stream = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise SourceError(f"{path}: the file cannot be read ({error.strerror})") from None
        if fortran:
            axes, shape = axes[::-1], shape[::-1]
        return cls(
            files=(Path(path),),
            file_axes=axes,
            file_shape=shape,
            dtype=dtype.newbyteorder("="),
            stored=np.ndarray(shape, dtype, stream, offset),
            stream=stream,
            end=end,
        )

    def read_file(self, region: Region) -> np.ndarray:
        # To read a map beyond the end of its file is not an error, but a crash.
        _check_size(self._name, self.stream.size(), self.end)
        return fetched(self.stored[region], self.stream, self._name)


@dataclass(frozen=True, kw_only=True, eq=False)
class NpySource(MappedSource):
    """An array of numbers in NumPy's own format, versions 1.0 to 3.0 (`numpy.lib.format`).

    Without ``axes``, its dimensions are (y, x) or (z, y, x).
    """

    suffixes = (".npy",)

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        check_file(path)
        try:
            with open(path, "rb") as file:
                version = np.lib.format.read_magic(file)
                if version not in _HEADERS:
                    raise SourceError(
                        f"{path}: version {version[0]}.{version[1]} of the .npy format is unknown"
                    )
                shape, fortran, dtype = _HEADERS[version](file)
                offset = file.tell()
        except OSError as error:
            raise SourceError(f"{path}: the file cannot be read ({error.strerror})") from None
        except SourceError:
            raise
        except Exception as error:  # A damaged header is a literal that Python may not parse.
            raise SourceError(f"{path}: not a .npy file, or a damaged one ({error})") from None
        return cls._open(
            path, axes=layout.axes, shape=shape, dtype=dtype, fortran=fortran, offset=offset
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class RawSource(MappedSource):
    """Voxels without a header, of a given shape and dtype, that fill the file to its end.

    Without ``axes``, its dimensions are (y, x) or (z, y, x); ``order`` is "C", and ``offset`` 0.
    """

    suffixes = (".raw", ".bin", ".dat")
    takes = ("axes", "shape", "dtype", "order", "offset")

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        check_file(path)
        if layout.shape is None or layout.dtype is None:
            lacking = [name for name in ("shape", "dtype") if name not in layout.given]
            raise SourceError(
                f"{path}: a file of raw voxels says nothing of them: give {' and '.join(lacking)}"
            )
        try:
            dtype = np.dtype(layout.dtype)
        except (TypeError, ValueError, SyntaxError):
            raise SourceError(
                f"{path}: dtype is {layout.dtype!r}; allowed: the name of a data type in NumPy, "
                "such as uint16 or >f4"
            ) from None
        order, offset = layout.order or "C", layout.offset or 0
        if order not in ("C", "F"):
            raise SourceError(f"{path}: order is {order!r}; allowed: C or F")
        if offset < 0:
            raise SourceError(f"{path}: offset is {offset}; allowed: a number of bytes from 0 on")
        return cls._open(
            path,
            axes=layout.axes,
            shape=layout.shape,
            dtype=dtype,
            fortran=order == "F",
            offset=offset,
            exact=True,
        )


def _check_size(path: str, size: int, end: int) -> None:
    """Raise a SourceError where a file of so many bytes does not hold an array up to its end."""
    if size < end:
        raise SourceError(
            f"{path}: cut short: {size} bytes, but shape, dtype and offset ask for {end}"
        )
