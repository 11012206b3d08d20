"""Volumes to convert, whatever their format, behind one interface.

A family of formats is a module with a type of `Source`, and a line in ``FAMILIES``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from neurozarr import units
from neurozarr.errors import SourceError
from neurozarr.nifti import ABSURD
from neurozarr.sources.base import Source
from neurozarr.sources.nibabel_image import NibabelSource

__all__ = ["FAMILIES", "Source", "open_source", "stem"]

#: Types of source, in the order in which they are asked whether a file is theirs.
FAMILIES: tuple[type[Source], ...] = (NibabelSource,)

#: File name endings that are a format's, not a part of the name.
SUFFIXES = tuple(suffix for family in FAMILIES for suffix in family.suffixes)


def open_source(
    path: str | Path,
    *,
    axes: str | None = None,
    voxel_size: Sequence[float] | None = None,
    unit: str | None = None,
) -> Source:
    """Open a volume; its header is read, its voxels are not.

    Parameters
    ----------
    path
        The file.
    axes
        Names of the file's own axes in C order (slowest first), where they are not what the format
        says, such as "czyx".
    voxel_size
        Voxel size in Zarr order (z, y, x), where it is not what the header says.
    unit
        Unit of the voxel size, where it is not what the header says.

    Raises
    ------
    SourceError
        No family opens such a file, or it is damaged, or holds what cannot be converted; or axes,
        voxel size or unit do not fit it.
    """
    path = Path(path)
    for family in FAMILIES:
        if family.matches(path):
            source = family.open(path, axes=axes)
            break
    else:
        raise SourceError(
            f"{path}: not a format that can be read; known file names end in {', '.join(SUFFIXES)}"
        )
    if voxel_size is not None:
        known = [size for size in voxel_size if 1 / ABSURD < size < ABSURD]
        if len(known) != len(source.voxel_size) or len(known) != len(voxel_size):
            raise SourceError(
                f"{path}: voxel_size is {list(voxel_size)}; allowed: {len(source.voxel_size)} "
                "positive numbers, in the order z, y, x"
            )
        source = replace(source, voxel_size=tuple(float(size) for size in voxel_size))
    if unit is not None:
        try:
            source = replace(source, space_unit=units.ome_unit(unit, "space"))
        except ValueError as error:
            raise SourceError(f"{path}: {error}") from None
    return source


def stem(path: str | Path) -> str:
    """File name without the ending of its format."""
    name = Path(path).name
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return Path(path).stem
