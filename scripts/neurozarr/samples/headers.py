"""NIfTI headers of stores: from the source, from a template, or made from the source's metadata."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurozarr import nifti, units
from neurozarr.drivers import open_array
from neurozarr.errors import ConfigError
from neurozarr.files import check_kind
from neurozarr.nifti import anatomy
from neurozarr.nifti.fit import (
    MAX_NIFTI_1_LENGTH,
    _as_nifti_2,
    _scale_lengths,
    _set_array,
    _set_units,
    fit_header,
    nifti_dim,
)
from neurozarr.nifti.nibabel_without_pydicom import nibabel
from neurozarr.zarr.documents import HEADER

if TYPE_CHECKING:
    from neurozarr.sources import Source


def header_of(
    source: Source,
    *,
    dtype: np.dtype[Any],
    given: Mapping[str, Any] | None = None,
    template: str | Path | None = None,
    orientation: str | None = None,
    center: bool = True,
) -> bytes:
    """Return the NIfTI header of an image as it is stored.

    It is based on the template, if one is given; else on the source's NIfTI header, if it has one;
    else it is made from the source's metadata.

    Parameters
    ----------
    source
        The image, opened by `neurozarr.sources.open_source`.
    dtype
        Data type of the stored voxels, one that NIfTI has (see `stored_dtype`).
    given
        The voxel size, time step and units that the user gave to `open_source`, by their names.
    template
        Path of a header for `read_template`, or None.
    orientation, center
        Options of `make_header`.

    Raises
    ------
    ConfigError
        The template cannot be read, or the orientation is not valid.
    """
    if template is not None:
        return adopt_header(read_template(template), source, dtype)
    if source.nifti_header is None:
        try:
            return make_header(source, dtype, orientation=orientation, center=center)
        except ValueError as error:
            raise ConfigError(f"ome.{error}") from None
    given = given or {}
    return fit_header(
        source.nifti_header,
        axes=source.axes,
        shape=source.shape,
        dtype=dtype,
        voxel_size=source.voxel_size if given.get("voxel_size") else None,
        space_unit=source.space_unit if given.get("unit") else None,
        time_step=source.time_step if given.get("time_step") else None,
        time_unit=source.time_unit if given.get("time_unit") else None,
    )


def read_template(path: str | Path) -> bytes:
    """Read the header of a NIfTI file, of a file that contains only a header, or of a .nii.zarr.

    Raises
    ------
    ConfigError
        The path does not exist, or has no valid header.
    """
    path = Path(path)
    try:
        if path.is_dir():
            for file in (path / HEADER).rglob("*"):
                if not file.is_dir():
                    check_kind(file)
            return open_array(path / HEADER, "r")[...].tobytes()
        check_kind(path)
        return nifti.read_header(path)
    except FileNotFoundError:
        raise ConfigError(f"nifti.header {path}: there is no such file or .nii.zarr") from None
    except (OSError, EOFError, RecursionError, ValueError, zlib.error) as error:
        raise ConfigError(f"nifti.header {path}: the header cannot be read ({error})") from None


def adopt_header(template: bytes, source: Source, dtype: np.dtype[Any]) -> bytes:
    """Fit a template to an image.

    Shape, data type, voxel size, time step, units, slope and intercept are those of the image, to
    which `open_source` has added what only the template gives; all other fields are the template's.
    Lengths of the template are converted to the image's spatial unit if both units are known. The
    columns of the sform are scaled to the image's voxel size; its origin is kept.

    Parameters
    ----------
    template
        Bytes of a header, with its extensions, which are kept. If a dimension is too long for
        NIfTI-1, its fields are copied into a NIfTI-2 header.
    source
        The image.
    dtype
        Data type of the stored voxels.

    Returns
    -------
    bytes
        The header with its extensions.
    """
    if max(source.shape) > MAX_NIFTI_1_LENGTH:
        template = _as_nifti_2(template)
    record = nifti.fields(template)
    _set_array(record, source.axes, source.shape, dtype)
    space_unit, time_unit = units.nifti_unit(source.space_unit), units.nifti_unit(source.time_unit)
    was_unit = units.NIFTI_NAMES.get(int(record["xyzt_units"]) & 0x07, "")
    _scale_lengths(record, units.factor(was_unit, space_unit))
    ratio = units.factor(source.space_unit, space_unit)
    sform = np.array([record[f"srow_{row}"] for row in "xyz"], np.float64)
    for column, size in enumerate(reversed(source.voxel_size)):
        record["pixdim"][column + 1] = size * ratio
        if was := np.linalg.norm(sform[:, column]):
            sform[:, column] *= size * ratio / was
    for row, values in zip("xyz", sform, strict=True):
        record[f"srow_{row}"] = values
    if "t" in source.axes:
        record["pixdim"][4] = source.time_step * units.factor(source.time_unit, time_unit)
    _set_units(record, space_unit, time_unit)
    record["scl_slope"], record["scl_inter"] = source.slope, source.inter
    return record.tobytes() + template[record.dtype.itemsize :]


def make_header(
    source: Source, dtype: np.dtype[Any], *, orientation: str | None = None, center: bool = True
) -> bytes:
    """Make a NIfTI header from the metadata of an image.

    Parameters
    ----------
    source
        The image.
    dtype
        Data type of the stored voxels, one that NIfTI has.
    orientation
        Axis codes of x, y and z (see `neurozarr.nifti.anatomy.parse_orientation`), used instead of
        the image's affine. None to use the image's affine. If it has none either, the header has an
        sform of RAS whose code is 0, which claims nothing (NIfTI-1, "xform codes").
    center
        If the image's affine is not used: whether the centre of the volume is at the coordinates
        0, 0, 0, or the first voxel.

    Returns
    -------
    bytes
        Little-endian header of 348 bytes (NIfTI-1), or 540 bytes (NIfTI-2) if a dimension is too
        long for NIfTI-1. Lengths and times are in the image's units, or the closest NIfTI units.

    Raises
    ------
    ValueError
        The orientation is not valid.
    """
    dim = nifti_dim(source.axes, source.shape)
    kind: Any = nibabel.Nifti1Header if max(dim) <= MAX_NIFTI_1_LENGTH else nibabel.Nifti2Header
    space_unit, time_unit = units.nifti_unit(source.space_unit), units.nifti_unit(source.time_unit)
    ratio = units.factor(source.space_unit, space_unit)
    sizes = [size * ratio for size in reversed(source.voxel_size)]
    affine = source.affine
    if orientation is None and affine is not None:
        affine = np.diag([ratio, ratio, ratio, 1.0]) @ affine
    else:
        wanted = "RAS" if orientation is None else orientation
        affine = anatomy.oriented_affine(wanted, sizes, dim[:3], center=center)
    step = source.time_step * units.factor(source.time_unit, time_unit)
    zooms = [*sizes, step if "t" in source.axes else 1, 1]
    header = kind(endianness="<")
    header.set_data_dtype(dtype)
    header.set_data_shape(dim)
    header.set_zooms(zooms[: len(dim)])
    is_known = orientation is not None or source.affine is not None
    header.set_sform(affine, "aligned" if is_known else "unknown")
    header.set_qform(affine, "unknown")
    header["pixdim"][1:4] = sizes
    header.set_slope_inter(source.slope, source.inter)
    header["magic"] = header.single_magic
    header["vox_offset"] = header.single_vox_offset
    record = nifti.fields(header.binaryblock)
    _set_units(record, space_unit, time_unit)
    return record.tobytes()
