"""The interface of all sources."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from neurozarr.axes import SPATIAL, STORED_ORDER, Space
from neurozarr.errors import SourceError
from neurozarr.regions import Region
from neurozarr.sources.damage import as_source_errors


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns of the sample sheet, or options, that describe the array in a file.

    They replace what the file says, or add what it does not say. None if a column is empty.

    Attributes
    ----------
    axes
        Names of the file's axes, slowest first, such as "czyx".
    dataset
        Name of the array to convert, if the file has several.
    shape, dtype, order, offset
        Layout of a file without a header: lengths of ``axes``; data type, as NumPy names it, such
        as "<u2"; "C" if the last axis varies fastest or "F" if the first does; and start of the
        array, in bytes.
    overlap
        Overlap of neighbouring tiles along z, y and x, in voxels.
    pad
        Where slices of a stack are placed that are smaller than others: "center" or "corner".
    missing
        "fill" to fill planes and files that are missing with zeros; they are refused without it.
    output
        Output directory of the run, in which globs match no slices.
    dicom
        Options of the group ``dicom``, by name.
    state
        Directory for the converted image of a DICOM source, and for its record.
    """

    axes: str | None = None
    dataset: str | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    order: str | None = None
    offset: int | None = None
    overlap: tuple[int, ...] | None = None
    pad: str | None = None
    missing: str | None = None
    output: str | None = None
    dicom: dict[str, Any] | None = None
    state: str | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The columns that are not empty, by name."""
        others = ("output", "dicom", "state")
        names = (field.name for field in fields(self) if field.name not in others)
        known = {name: getattr(self, name) for name in names}
        return {name: value for name, value in known.items() if value is not None}


class Member(NamedTuple):
    """One of the images of a source.

    Attributes
    ----------
    dataset
        Value of the column ``dataset`` that names it.
    name
        What tells it from the others, for the name of its sample: any text, not empty.
    """

    dataset: str
    name: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Source(ABC):
    """A volume whose voxels are read on demand.

    Attributes
    ----------
    files
        All files that it is read from.
    file_axes
        Names of the axes in the file, some of t, c, z, y and x, slowest first.
    file_shape
        Lengths of ``file_axes``, in voxels.
    dtype
        Data type of the stored (unscaled) voxels, in native byte order.
    file_native_chunk_shape
        Shape of a native chunk along ``file_axes``, in voxels; None if the voxels are not stored
        in chunks, so that any region can be read without reading more.
    in_order
        Whether reading is fast only from the start to the end (a compressed stream).
    held_bytes
        Memory that the source keeps once it has been read from, in bytes.
    voxel_size
        Along z, y and x, in ``space_unit``; empty if unknown.
    time_step
        Time between two volumes, in ``time_unit``; 0 if unknown.
    space_unit, time_unit
        UDUNITS names; "" if unknown.
    position
        Position of the centre of the first voxel along z, y and x, in ``space_unit``, in the
        coordinates of the instrument, whatever the anatomy; empty if unknown.
    affine
        4 by 4 matrix from voxel indices (x, y, z) to RAS+ coordinates in ``space_unit``; None if
        unknown.
    spaces
        Coordinate systems without anatomical orientation, such as that of registered views.
    slope, inter
        Scale factors: real value = slope * stored value + inter.
    nifti_header
        Bytes of the source's NIfTI-1 or NIfTI-2 header, with extensions; None if it has none.
    channel_names, channel_colors
        Names and colours (hexadecimal RGB) of the channels, "" for one that has none; empty if
        unknown.
    channel_windows
        Display window of each channel, chosen by a person: start and end; None for a channel that
        has none; empty if unknown.
    channel_active
        Whether each channel is shown; empty if unknown.
    labels
        If the voxels are labels (segmentation): details of them as in the "image-label" metadata of
        OME-Zarr, such as colours, empty if there are none. None if they are intensities.
    sidecars
        Text of files to write beside the store, by their endings, such as ".json".
    converter
        Name and version of the program that converted the source; "" if it is read as it is.
    filled
        What is missing in the source, and is filled with zeros; "" if nothing is.
    """

    #: File name endings of the family, in lower case.
    suffixes: ClassVar[tuple[str, ...]]
    #: Names of the fields of `Layout` that apply to the family.
    takes: ClassVar[tuple[str, ...]] = ("axes",)

    files: tuple[Path, ...]
    file_axes: str
    file_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    file_native_chunk_shape: tuple[int, ...] | None = None
    in_order: bool = False
    held_bytes: int = 0
    voxel_size: tuple[float, ...] = ()
    time_step: float = 0.0
    space_unit: str = ""
    time_unit: str = ""
    position: tuple[float, ...] = ()
    affine: np.ndarray[Any, Any] | None = None
    spaces: tuple[Space, ...] = ()
    slope: float = 1.0
    inter: float = 0.0
    nifti_header: bytes | None = None
    channel_names: tuple[str, ...] = ()
    channel_colors: tuple[str, ...] = ()
    channel_windows: tuple[tuple[float, float] | None, ...] = ()
    channel_active: tuple[bool, ...] = ()
    labels: dict[str, Any] | None = None
    sidecars: dict[str, str] = field(default_factory=dict)
    converter: str = ""
    filled: str = ""

    @classmethod
    def matches(cls, path: str) -> bool:
        """Whether a path belongs to this family."""
        return path.lower().endswith(cls.suffixes)

    @classmethod
    @abstractmethod
    def open(cls, path: str, layout: Layout) -> Self:
        """Open a source; this reads its headers, but no voxels.

        Parameters
        ----------
        path
            A path that the family matches.
        layout
            The columns that describe the array.

        Returns
        -------
        Self
            The source.

        Raises
        ------
        SourceError
            The source is missing, damaged, not supported or contradicts the layout.
        """

    @classmethod
    def images(cls, path: str, layout: Layout) -> Sequence[Member]:
        """List the images of a path, in the order of the file; this reads headers, but no voxels.

        Parameters
        ----------
        path
            A path that the family matches.
        layout
            The columns that describe the arrays; ``dataset`` is ignored.

        Raises
        ------
        SourceError
            Files of this family have one image, or the source cannot be read.
        """
        raise SourceError(
            f"{path}: dataset is '*', but there is only one image in files of this format; leave "
            "it out"
        )

    @classmethod
    def labels_of(cls, path: str, layout: Layout) -> Sequence[Member]:
        """List the labels beneath an image; this reads metadata, but no voxels.

        Parameters
        ----------
        path
            A path that the family matches.
        layout
            The columns that describe the image.

        Raises
        ------
        SourceError
            The source cannot be read.
        """
        return ()

    @abstractmethod
    def read_file(self, region: Region) -> np.ndarray:
        """Read a region, a slice for each of ``file_axes``; others call `read` or `read_stored`.

        Threads call it concurrently, unless ``in_order`` is set. Any byte order may be returned.
        """

    def check(self) -> None:
        """Check all files, without reading voxels.

        Raises
        ------
        SourceError
            A file cannot be read, or does not fit the others.
        """
        for file in self.files:
            if not os.access(file, os.R_OK):
                raise SourceError(f"{file}: the file cannot be read: permission denied")

    def positioned(self) -> Self:
        """The source with its position and spaces, if they follow from its voxel size and unit.

        These are final then: a user may have replaced those of the file.
        """
        return self

    def close(self) -> None:  # noqa: B027 (most sources have nothing to delete)
        """Delete the files that were made only to read the source."""

    def files_of(self, region: Region) -> tuple[Path, ...]:
        """The files that a region is read from; the region has a slice for each of ``axes``."""
        return self.files

    @property
    def header_files(self) -> tuple[Path, ...]:
        """The files with the metadata of the source: those of its first voxel."""
        return self.files_of(tuple(slice(0, 1) for _ in self.shape))

    @property
    def axes(self) -> str:
        """Names of the axes of level 0: t and c if the file has them, then z, y and x."""
        return "".join(axis for axis in STORED_ORDER if axis in self.file_axes or axis in SPATIAL)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of ``axes``, in voxels; 1 along spatial axes that the file lacks."""
        return self._stored(self.file_shape)

    @property
    def native_chunk_shape(self) -> tuple[int, ...] | None:
        """Shape of a native chunk along ``axes``, in voxels."""
        return (
            None
            if self.file_native_chunk_shape is None
            else self._stored(self.file_native_chunk_shape)
        )

    def read(self, region: Region) -> np.ndarray:
        """Read a region, a slice for each of ``axes``, in native byte order.

        Slices have steps of 1 and are not empty.

        Raises
        ------
        SourceError
            The voxels cannot be read.
        """
        slices = dict(zip(self.axes, region, strict=True))
        voxels = self.read_stored(tuple(slices[axis] for axis in self.file_axes))
        known = [axis for axis in self.axes if axis in self.file_axes]
        voxels = voxels.transpose([self.file_axes.index(axis) for axis in known])
        lacking = tuple(i for i, axis in enumerate(self.axes) if axis not in self.file_axes)
        return np.expand_dims(voxels, lacking).astype(self.dtype, copy=False)

    def read_stored(self, region: Region) -> np.ndarray:
        """Read a region, a slice for each of ``file_axes``; any byte order may be returned.

        Raises
        ------
        SourceError
            The voxels cannot be read.
        """
        with as_source_errors(self._name, "the voxels cannot be read"):
            return self.read_file(region)

    @property
    def _name(self) -> str:
        """Name of the source in errors."""
        return str(self.files[0]) if self.files else type(self).__name__

    def _stored(self, lengths: tuple[int, ...]) -> tuple[int, ...]:
        """Convert lengths along ``file_axes`` to lengths along ``axes``."""
        known = dict(zip(self.file_axes, lengths, strict=True))
        return tuple(known.get(axis, 1) for axis in self.axes)
