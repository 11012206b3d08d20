"""Volumes to convert, whatever their format, behind one interface.

A family of formats is a module with a type of `Source`, and a line in ``FAMILIES``.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from neurozarr import units
from neurozarr.axes import STORED_ORDER
from neurozarr.errors import SourceError
from neurozarr.sources.base import Layout, Source
from neurozarr.sources.dicom import DicomSource
from neurozarr.sources.hdf5 import Hdf5Source
from neurozarr.sources.imaris import ImarisSource
from neurozarr.sources.matlab import MatlabHdf5Source, MatlabSource
from neurozarr.sources.nibabel_image import NibabelSource
from neurozarr.sources.numpy_file import NpySource, RawSource
from neurozarr.sources.scaled_image import ScaledSource
from neurozarr.sources.stacks import StackSource
from neurozarr.sources.tiff.source import TiffSource
from neurozarr.sources.zarr.store import ZarrSource
from neurozarr.units import is_plausible
from neurozarr.zarr.metadata import check_dtype

__all__ = ["FAMILIES", "Layout", "Source", "open_source", "stem"]

logger = logging.getLogger(__name__)

#: Types of source, in the order in which they are asked whether a path is theirs.
FAMILIES: tuple[type[Source], ...] = (
    ZarrSource,
    NibabelSource,
    ScaledSource,
    StackSource,
    TiffSource,
    NpySource,
    RawSource,
    DicomSource,
    Hdf5Source,
    ImarisSource,
    MatlabHdf5Source,
    MatlabSource,
)

#: File name endings that are a format's, not a part of the name.
SUFFIXES = tuple(dict.fromkeys(suffix for family in FAMILIES for suffix in family.suffixes))
#: Places of axes in a pattern, with what leads to them, such as _z{z}.
_PLACES = "[_.-]*({})".format("|".join(rf"{axis}?\{{{axis}\}}" for axis in STORED_ORDER))


def open_source(
    path: str | Path,
    *,
    voxel_size: Sequence[float] | None = None,
    unit: str | None = None,
    **layout: Any,
) -> Source:
    """Open a volume; its header is read, its voxels are not.

    Parameters
    ----------
    path
        A file, a directory, a pattern or an address: what the families of formats know.
    voxel_size
        Voxel size in Zarr order (z, y, x), where it is not what the header says.
    unit
        Unit of the voxel size, where it is not what the header says.
    layout
        What the files do not say of their array: see `Layout`.

    Raises
    ------
    SourceError
        No family opens such a file, or it is damaged, or holds what cannot be converted; or what is
        said of it does not fit it.
    """
    path = str(path)
    family = next((family for family in FAMILIES if family.matches(path)), None)
    if family is None and os.path.isdir(path):
        raise SourceError(
            f"{path}: a directory without slices, a DICOM series or a Zarr store in it"
        )
    if family is None:
        raise SourceError(
            f"{path}: not a format that can be read; known file names end in {', '.join(SUFFIXES)}"
        )
    said = Layout(**layout)
    for name, value in said.given.items():
        if name not in family.takes:
            raise SourceError(
                f"{path}: {name} is {value!r}, which is nothing that such a file needs; leave it "
                "empty"
            )
    source = family.open(path, said)
    try:
        check_dtype(source.dtype)
    except TypeError as error:
        raise SourceError(f"{path}: {error}") from None
    if 0 in source.shape:
        raise SourceError(f"{path}: the array is empty: its shape is {source.file_shape}")
    return _with_size(path, source, voxel_size, unit)


def _with_size(
    path: str, source: Source, voxel_size: Sequence[float] | None, unit: str | None
) -> Source:
    """A source with the voxel size and the unit that a user says, or else with those it has."""
    if voxel_size is not None:
        known = [size for size in voxel_size if is_plausible(size)]
        if not len(known) == len(voxel_size) == 3:
            raise SourceError(
                f"{path}: voxel_size is {list(voxel_size)}; allowed: 3 positive numbers, in the "
                "order z, y, x"
            )
        source = replace(source, voxel_size=tuple(float(size) for size in voxel_size))
    elif not source.voxel_size:
        logger.warning("%s: no voxel size is known: it is taken as 1; give voxel_size", path)
        source = replace(source, voxel_size=(1.0, 1.0, 1.0))
    if unit is not None:
        try:
            source = replace(source, space_unit=units.ome_unit(unit, "space"))
        except ValueError as error:
            raise SourceError(f"{path}: {error}") from None
    return source


def stem(path: str | Path) -> str:
    """Name of a file without the ending of its format, or of a pattern without its axes.

    A pattern of nothing but axes has the name of its directory.
    """
    name = re.sub(_PLACES, "", Path(path).name)
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower() == suffix:
            return Path(path).parent.name
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return Path(name).stem
