"""Readers of the volumes to convert, one per family of formats, with a common interface.

To add a family, write a subclass of `Source` and add it to ``FAMILIES``.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neurozarr import nifti, units
from neurozarr.axes import STORED_ORDER
from neurozarr.errors import SourceError
from neurozarr.files import check_kind
from neurozarr.sources.base import Layout, Source
from neurozarr.sources.bdv.source import BdvHdf5Source, BdvSource
from neurozarr.sources.columns import check_columns
from neurozarr.sources.deltavision import DeltaVisionSource
from neurozarr.sources.dicom import DicomSource
from neurozarr.sources.hdf5 import Hdf5Source
from neurozarr.sources.imaris import ImarisSource
from neurozarr.sources.matlab import MatlabHdf5Source, MatlabSource
from neurozarr.sources.metaimage import MetaImageSource
from neurozarr.sources.microscope import MicroscopeSource
from neurozarr.sources.mif import MifSource
from neurozarr.sources.mrc import MrcSource
from neurozarr.sources.nibabel_image import NibabelSource, describe
from neurozarr.sources.nrrd_file import NrrdSource
from neurozarr.sources.numpy_file import NpySource, RawSource
from neurozarr.sources.paths import contents, find, has_places, is_address, is_pattern, parts
from neurozarr.sources.precomputed import PrecomputedSource
from neurozarr.sources.scaled_image import ScaledSource
from neurozarr.sources.series import SeriesSource
from neurozarr.sources.stacks import StackSource
from neurozarr.sources.tiff.metadata import sizes
from neurozarr.sources.tiff.source import TiffSource
from neurozarr.sources.zarr.store import ZarrSource
from neurozarr.units import is_plausible
from neurozarr.zarr.metadata import check_dtype

__all__ = ["FAMILIES", "Layout", "Source", "open_source", "stem"]

logger = logging.getLogger(__name__)

#: Types of source, in the order in which they are tried.
FAMILIES: tuple[type[Source], ...] = (
    PrecomputedSource,
    SeriesSource,
    ZarrSource,
    NibabelSource,
    MrcSource,
    ScaledSource,
    MifSource,
    NrrdSource,
    MetaImageSource,
    StackSource,
    TiffSource,
    NpySource,
    RawSource,
    DicomSource,
    BdvSource,
    BdvHdf5Source,
    Hdf5Source,
    ImarisSource,
    MicroscopeSource,
    DeltaVisionSource,
    MatlabHdf5Source,
    MatlabSource,
)

SeriesSource.families = FAMILIES

#: File name endings of all formats.
SUFFIXES = tuple(dict.fromkeys(suffix for family in FAMILIES for suffix in family.suffixes))
_LONGEST_FIRST = sorted(SUFFIXES, key=len, reverse=True)
#: Placeholders of axes in a pattern, with their prefix, such as _z{z}.
_PLACES = "[_.-]*({})".format("|".join(rf"{axis}?\{{{axis}\}}" for axis in STORED_ORDER))


def open_source(
    path: str | Path,
    *,
    voxel_size: Sequence[float] | None = None,
    unit: str | None = None,
    time_step: float | None = None,
    time_unit: str | None = None,
    beside: Mapping[str, tuple[float, str]] | None = None,
    template: bytes | None = None,
    **layout: Any,
) -> Source:
    """Open a volume; this reads its header, but no voxels.

    Parameters
    ----------
    path
        A file, a directory, a glob, a pattern, a list of these, or a URL.
    voxel_size
        Voxel size in Zarr order (z, y, x), if it differs from that in the header.
    unit
        Unit of the voxel size, if it differs from that in the header.
    time_step, time_unit
        Time between two volumes and its unit, likewise.
    beside
        Voxel sizes along x, y and z, and their units, from a file beside the volume; they are used
        if the volume itself has no voxel size.
    template
        Bytes of a NIfTI header, which gives the voxel size, the time step and the units that the
        file does not give.
    layout
        Fields of `Layout`.

    Returns
    -------
    Source
        The volume.

    Raises
    ------
    SourceError
        The format is not supported, the file is damaged, or the arguments do not fit it.
    """
    path = str(path)
    if not (is_address(path) or is_pattern(path) or os.path.isdir(path)):
        check_kind(path)
    if os.path.isfile(path) and not os.path.getsize(path):
        raise SourceError(f"{path}: the file is empty: it was not downloaded or copied to its end")
    family = family_of(path)
    if family is None and os.path.isdir(path):
        raise SourceError(
            f"{path}: no TIFF, PNG or JPEG 2000 slices, DICOM series or Zarr/N5 store found in it"
            f"; {contents(path, SUFFIXES)}"
        )
    if family is None and not find(path):
        raise SourceError(f"{path}: there is no such file or directory")
    if family is None:
        raise SourceError(
            f"{path}: not a supported format; supported file names end in {', '.join(SUFFIXES)}"
        )
    columns = Layout(**layout)
    check_columns(path, columns, family.takes)
    source = family.open(path, columns)
    try:
        check_dtype(source.dtype)
    except TypeError as error:
        raise SourceError(f"{path}: {error}") from None
    if source.filled:
        logger.warning("%s: missing, and filled with zeros: %s", path, source.filled)
    if 0 in source.shape:
        raise SourceError(f"{path}: the array is empty: its shape is {source.file_shape}")
    for name, value in (("time_step", time_step), ("time_unit", time_unit)):
        if value is not None and "t" not in source.axes:
            raise SourceError(
                f"{path}: {name} is {value}, but the axes are {source.axes}, without t; leave it "
                "out, or give axes"
            )
    if beside and not source.voxel_size:
        extended = "".join(a for a, n in zip(source.axes, source.shape, strict=True) if n > 1)
        found = sizes(path, dict(beside), extended)
        source = replace(source, voxel_size=found["voxel_size"], space_unit=found["space_unit"])
    was = source.space_unit
    source = _with_units(path, source, {"space": unit, "time": time_unit}, template)
    if voxel_size is not None and was:
        # A voxel size that is given has the unit that is given, but the position that of the file.
        ratio = units.factor(was, source.space_unit)
        source = replace(source, position=tuple(ratio * at for at in source.position))
    return _with_sizes(path, source, voxel_size, time_step).positioned()


def family_of(path: str) -> type[Source] | None:
    """Return the type of a source, by its path and first bytes; None if it is not supported."""
    return next((family for family in FAMILIES if family.matches(path)), None)


def _with_units(
    path: str, source: Source, given: dict[str, str | None], template: bytes | None
) -> Source:
    """Replace the units by those that the user gives, and add what only the template gives."""
    known = {} if template is None else describe(nifti.load(template), "t")
    fields: dict[str, Any] = {}
    for kind, size in (("space", "voxel_size"), ("time", "time_step")):
        unit, named = given[kind], known.get(f"{kind}_unit", "")
        try:
            unit = units.ome_unit(unit, kind) if unit else getattr(source, f"{kind}_unit") or named
        except ValueError as error:
            raise SourceError(f"{path}: {error}") from None
        fields[f"{kind}_unit"] = unit
        if known and not getattr(source, size):
            lengths = np.multiply(known[size], units.factor(named, unit)).tolist()
            fields[size] = tuple(lengths) if size == "voxel_size" else lengths
    return replace(source, **fields)


def _with_sizes(
    path: str, source: Source, voxel_size: Sequence[float] | None, time_step: float | None
) -> Source:
    """Replace the sizes of a source by those that the user gives, if any; 1 if it has none."""
    if time_step is not None and not is_plausible(time_step):
        raise SourceError(f"{path}: time_step is {time_step}; allowed: a positive number")
    known = time_step or source.time_step
    source = replace(source, time_step=known if is_plausible(known) else 1.0)
    if voxel_size is not None:
        valid = [size for size in voxel_size if is_plausible(size)]
        if not len(valid) == len(voxel_size) == 3:
            raise SourceError(
                f"{path}: voxel_size is {list(voxel_size)}; allowed: 3 positive numbers, in the "
                "order z, y, x"
            )
        source = replace(source, voxel_size=tuple(float(size) for size in voxel_size))
    elif not source.voxel_size or not all(map(is_plausible, source.voxel_size)):
        logger.warning("%s: the voxel size is unknown; it is set to 1; give voxel_size", path)
        source = replace(source, voxel_size=(1.0, 1.0, 1.0))
    for kind, column in (("space", "unit"), ("time", "time_unit")):
        if (kind == "space" or "t" in source.axes) and not getattr(source, f"{kind}_unit"):
            logger.warning(
                "%s: the unit of %s is unknown, so that the store has none; give %s",
                path,
                kind,
                column,
            )
    return source


def stem(path: str | Path) -> str:
    """File name without the ending of its format, and without the placeholders of a pattern.

    If nothing is left of a pattern, the name of its directory. A list has that of its first path.
    """
    path = parts(str(path))[0]
    name = re.sub(_PLACES, "", Path(path).name) if has_places(path) else Path(path).name
    for suffix in _LONGEST_FIRST:
        if name.lower() == suffix:
            return Path(path).parent.name
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return Path(name).stem
