"""What every source can say of itself, and do."""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from neurozarr.axes import SPATIAL, STORED_ORDER
from neurozarr.errors import SourceError
from neurozarr.regions import Region


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a user says of an array in its files, where they do not say it, or say it wrongly.

    Attributes
    ----------
    axes
        Names of the files' own axes in C order (slowest first), such as "czyx".
    dataset
        Name of the array in a file of several.
    shape, dtype, order, offset
        Of an array in a file without a header: lengths of its axes in C order; its data type, as
        NumPy names it, such as "<u2"; "C" or "F", for the last or the first axis varying fastest;
        and where it starts, in bytes.
    overlap
        How many voxels of a tile lie in the next one too, along z, y and x.
    output
        Where a run writes: what is there is no slice that a glob names.
    """

    axes: str | None = None
    dataset: str | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    order: str | None = None
    offset: int | None = None
    overlap: tuple[int, ...] | None = None
    output: str | None = None

    @property
    def given(self) -> dict[str, Any]:
        """What is said of the array at all, by name."""
        names = (field.name for field in fields(self) if field.name != "output")
        known = {name: getattr(self, name) for name in names}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True, kw_only=True, eq=False)
class Source(ABC):
    """A volume, read lazily.

    Attributes
    ----------
    files
        All files that it is made of.
    file_axes
        Names of the axes as they lie in the file, some of t, c, z, y and x, the one that varies
        fastest last.
    file_shape
        Length of each of them, in voxels.
    dtype
        Data type of the stored (unscaled) voxels, in native byte order.
    file_native_chunk_shape
        Shape, along the axes of the file, of what can only be read, or decoded, together: a strip,
        a tile, a page, a chunk; None where any voxels can be read at their own cost.
    in_order
        Whether reading is fast only from the start to the end (a compressed stream).
    held_bytes
        Memory that the source takes as soon as it is read, beside what is asked of it.
    voxel_size
        Along z, y and x, in ``space_unit``; empty where the format does not say.
    time_step
        Time between two volumes, in ``time_unit``.
    space_unit, time_unit
        UDUNITS names; "" where unknown.
    affine
        4 by 4, from voxel indices (x, y, z) to RAS+ coordinates in ``space_unit``; None where the
        format does not say.
    slope, inter
        What the stored values are to be multiplied with, and then added to, to be the real ones.
    nifti_header
        The source's own NIfTI-1 or NIfTI-2 header, byte by byte, with extensions; None where it
        has none.
    channel_names, channel_colors
        Of each channel, colours as hexadecimal RGB; empty where the format does not say.
    """

    #: Endings, in lower case, of the names of this family's files.
    suffixes: ClassVar[tuple[str, ...]]
    #: What of a `Layout` the family can use.
    takes: ClassVar[tuple[str, ...]] = ("axes",)

    files: tuple[Path, ...]
    file_axes: str
    file_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    file_native_chunk_shape: tuple[int, ...] | None = None
    in_order: bool = False
    held_bytes: int = 0
    voxel_size: tuple[float, ...] = ()
    time_step: float = 1.0
    space_unit: str = ""
    time_unit: str = ""
    affine: np.ndarray[Any, Any] | None = None
    slope: float = 1.0
    inter: float = 0.0
    nifti_header: bytes | None = None
    channel_names: tuple[str, ...] = ()
    channel_colors: tuple[str, ...] = ()

    @classmethod
    def matches(cls, path: str) -> bool:
        """Whether what a path names is of this family."""
        return path.lower().endswith(cls.suffixes)

    @classmethod
    @abstractmethod
    def open(cls, path: str, layout: Layout) -> Self:
        """Open what a path names; its headers are read, its voxels are not.

        Raises
        ------
        SourceError
            It is missing or damaged, holds what cannot be converted, or is not laid out so.
        """

    @abstractmethod
    def read_file(self, region: Region) -> np.ndarray:
        """Read a region, given by a slice for each axis of the file, in any byte order.

        Any number of threads may call it at once, unless the source is read in order. Whatever it
        raises, a reader of the voxels gets a `SourceError`.
        """

    def check(self) -> None:
        """Look at all files, as far as that can be done before the voxels are read.

        Raises
        ------
        SourceError
            One of them cannot be read, or does not belong to the others.
        """
        for file in self.files:
            if not os.access(file, os.R_OK):
                raise SourceError(f"{file}: the file cannot be read: permission denied")

    def files_of(self, region: Region) -> tuple[Path, ...]:
        """The files that a region is read from, given by a slice for each stored axis."""
        return self.files

    @property
    def header_files(self) -> tuple[Path, ...]:
        """The files that say what is known of it beside its voxels: those of the first one."""
        return self.files_of(tuple(slice(0, 1) for _ in self.shape))

    @property
    def axes(self) -> str:
        """Names of the axes as they are stored: some of t, c, then z, y, x, all three."""
        return "".join(axis for axis in STORED_ORDER if axis in self.file_axes or axis in SPATIAL)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each stored axis, in voxels; 1 of a spatial axis that the file lacks."""
        return self._stored(self.file_shape)

    @property
    def native_chunk_shape(self) -> tuple[int, ...] | None:
        """Shape, along the stored axes, of what can only be read together."""
        return (
            None
            if self.file_native_chunk_shape is None
            else self._stored(self.file_native_chunk_shape)
        )

    def read(self, region: Region) -> np.ndarray:
        """Read a region, given by a slice for each stored axis, in native byte order.

        Slices have steps of 1 and are not empty.

        Raises
        ------
        SourceError
            The voxels cannot be read.
        """
        slices = dict(zip(self.axes, region, strict=True))
        try:
            voxels = self.read_file(tuple(slices[axis] for axis in self.file_axes))
        except SourceError:
            raise
        except Exception as error:  # Every library has its own.
            raise SourceError(
                f"{self._name}: the voxels cannot be read ({error}); the file may be cut short or "
                "damaged"
            ) from error
        known = [axis for axis in self.axes if axis in self.file_axes]
        voxels = voxels.transpose([self.file_axes.index(axis) for axis in known])
        lacking = tuple(i for i, axis in enumerate(self.axes) if axis not in self.file_axes)
        return np.expand_dims(voxels, lacking).astype(self.dtype, copy=False)

    @property
    def _name(self) -> str:
        return str(self.files[0]) if self.files else type(self).__name__

    def _stored(self, lengths: tuple[int, ...]) -> tuple[int, ...]:
        """Lengths along the file's axes, along the stored ones."""
        known = dict(zip(self.file_axes, lengths, strict=True))
        return tuple(known.get(axis, 1) for axis in self.axes)


def library(name: str, extra: str, path: str) -> Any:
    """A library that reads a family of formats, and need not be installed.

    Raises
    ------
    SourceError
        It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise SourceError(
            f"{path}: to read it, the package {error.name} is needed: "
            f"pip install 'neurozarr[{extra}]'"
        ) from None


def check_axes(path: str, axes: str, shape: tuple[int, ...]) -> None:
    """Raise a SourceError where names of axes, given by a user, do not fit an array."""
    if len(axes) != len(shape) or len(set(axes)) < len(axes) or set(axes) - set(STORED_ORDER):
        raise SourceError(
            f"{path}: axes is {axes!r}, but the array has shape {shape}: name each of its axes, "
            f"slowest first, by another letter of {', '.join(STORED_ORDER)}"
        )
