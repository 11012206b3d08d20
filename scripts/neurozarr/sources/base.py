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
    nifti_header
        Header of the volume as NIfTI-1 or NIfTI-2, with extensions: the source's own bytes where
        it has one.
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
    nifti_header: bytes
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
