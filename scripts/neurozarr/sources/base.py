"""What every source can say of itself, and do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from neurozarr.chunks import Region


@dataclass(frozen=True, kw_only=True, eq=False)
class Source(ABC):
    """A volume, read lazily.

    Attributes
    ----------
    files
        All files that it is made of.
    axes
        Names of the axes as they will be stored: some of t, c, z, y, x, in this order.
    shape
        Length of each axis, in voxels.
    dtype
        Data type of the stored (unscaled) voxels, in native byte order.
    voxel_size
        Along the spatial axes, in Zarr order (z, y, x), in ``space_unit``.
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
    file_axes
        The axes as they lie in the file, the one that varies fastest last.
    in_order
        Whether reading is fast only from the start to the end (a compressed stream).
    """

    #: Endings, in lower case, of the names of this family's files.
    suffixes: ClassVar[tuple[str, ...]]

    files: tuple[Path, ...]
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    voxel_size: tuple[float, ...]
    time_step: float
    space_unit: str
    time_unit: str
    affine: np.ndarray[Any, Any] | None
    slope: float
    inter: float
    nifti_header: bytes | None
    file_axes: str
    in_order: bool

    @classmethod
    def matches(cls, path: Path) -> bool:
        """Whether a file is of this family."""
        return path.name.lower().endswith(cls.suffixes)

    @classmethod
    @abstractmethod
    def open(cls, path: Path, *, axes: str | None = None) -> Self:
        """Open a file of this family, with its axes named if the format's names do not hold."""

    @abstractmethod
    def read(self, region: Region) -> np.ndarray:
        """Read a region, given by a slice for each stored axis, in native byte order.

        Slices have steps of 1 and are not empty.

        Raises
        ------
        SourceError
            The voxels cannot be read.
        """
