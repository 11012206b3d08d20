"""Series of NIfTI files, one volume in each, as the times or channels of an image."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from neurozarr import nifti
from neurozarr.errors import SourceError
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Source
from neurozarr.sources.nibabel_image import NibabelSource, describe
from neurozarr.sources.paths import has_places
from neurozarr.sources.stacks import grid

logger = logging.getLogger(__name__)

#: File name endings of a volume.
_ENDINGS = (".nii", ".nii.gz", ".nii.bz2", ".nii.zst")
#: What must be the same for all volumes.
_SAME = ("file_axes", "file_shape", "dtype", "slope", "inter")


def _open(file: Path) -> NibabelSource:
    return NibabelSource.open(str(file), Layout())


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesSource(Source):
    """Volumes in NIfTI files, placed by the numbers at {t} and {c} in their names.

    Voxel size, units, affine and header are those of the first volume.

    Attributes
    ----------
    first
        The first volume.
    grid_axes, counts
        Names of the axes of the grid of files, and number of files along each; ``files`` are in
        C order.
    opened
        Opens a file; the last one is kept, so that a compressed volume is read in one pass.
    """

    first: NibabelSource
    grid_axes: str
    counts: tuple[int, ...]
    opened: Callable[[Path], NibabelSource] = field(
        default_factory=lambda: lru_cache(maxsize=1)(_open)
    )

    suffixes = ()
    takes = ()

    @classmethod
    def matches(cls, path: str) -> bool:
        return has_places(path) and path.lower().endswith(_ENDINGS)

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        grid_axes, placed, files = grid(path)
        if not set(grid_axes) <= set("tc"):
            raise SourceError(f"{path}: a volume of NIfTI can only be one of {{t}} or {{c}}")
        first = _open(Path(files[0]))
        lengths = dict(zip(first.file_axes, first.file_shape, strict=True))
        for axis in set(grid_axes) & set(lengths):
            if lengths.pop(axis) > 1:
                raise SourceError(
                    f"{path}: it has a placeholder for {axis}, but {files[0]} has this axis "
                    f"itself, with shape {first.file_shape} along {first.file_axes}"
                )
        metadata = ("voxel_size", "space_unit", "time_unit", "affine", "slope", "inter")
        assert first.nifti_header is not None
        timed = describe(nifti.load(first.nifti_header), "t")
        return cls(
            files=tuple(map(Path, files)),
            file_axes=grid_axes + "".join(lengths),
            file_shape=(*placed.shape, *lengths.values()),
            dtype=first.dtype,
            in_order=first.in_order,
            nifti_header=first.nifti_header,
            time_step=timed["time_step"],
            first=first,
            grid_axes=grid_axes,
            counts=placed.shape,
            **{name: getattr(first, name) for name in metadata},
        )

    def read_file(self, region: Region) -> np.ndarray:
        sides = dict(zip(self.file_axes, region, strict=True))
        inside = tuple(
            slice(0, 1) if axis in self.grid_axes else sides[axis] for axis in self.first.file_axes
        )
        voxels = np.empty([side.stop - side.start for side in region], self.dtype)
        count = len(self.grid_axes)
        for index in np.ndindex(*voxels.shape[:count]):
            volume = self.opened(self._file(region, index))
            self._check(volume)
            voxels[index] = volume.read_file(inside).reshape(voxels.shape[count:])
        return voxels

    def check(self) -> None:
        super().check()
        for file in self.files:
            volume = _open(file)
            self._check(volume)
            if not np.array_equal(np.asarray(volume.affine), np.asarray(self.affine)):
                logger.warning("%s: its affine differs; the first volume's is kept", file)

    def files_of(self, region: Region) -> tuple[Path, ...]:
        sides = dict(zip(self.axes, region, strict=True))
        there = [sides[axis] for axis in self.grid_axes]
        lengths = [side.stop - side.start for side in there]
        return tuple(self._file(there, index) for index in np.ndindex(*lengths))

    def _file(self, sides: Any, index: tuple[int, ...]) -> Path:
        """The file at an index of a region; of its ``sides``, the first are of the grid."""
        place = [side.start + i for side, i in zip(sides, index, strict=False)]
        return self.files[int(np.ravel_multi_index(place, self.counts))]

    def _check(self, volume: NibabelSource) -> None:
        """Check that a volume fits the first one."""
        for name in _SAME:
            found, expected = getattr(volume, name), getattr(self.first, name)
            if found != expected:
                raise SourceError(
                    f"{volume.voxels}: its {name} is {found}, but that of {self.first.voxels} is "
                    f"{expected}; all volumes must have the same"
                )
