"""Adapting a NIfTI header to a stored image, to one of its levels, or to a NIfTI file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurozarr import units
from neurozarr.nifti import header
from neurozarr.nifti.nibabel_without_pydicom import nibabel
from neurozarr.zarr.documents import Document

#: Datatype codes of RGB and RGBA voxels, with the intent codes of RGB and RGBA vectors.
_COLOURS = {128: 2003, 2304: 2004}

#: Attribute of the header's array that holds the original fields that NIfTI-Zarr does not allow.
COLOURS = "neurozarr:colours"

#: Fields that change when the colours of RGB or RGBA voxels become channels.
_COLOUR_FIELDS = ("dim", "datatype", "bitpix", "intent_code")

_LENGTHS = ("srow_x", "srow_y", "srow_z", "qoffset_x", "qoffset_y", "qoffset_z")

#: dtypes that NIfTI does not have, with the smallest NIfTI dtype that holds their values.
_WIDER: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(bool): np.dtype(np.uint8),
    np.dtype(np.float16): np.dtype(np.float32),
}

#: Largest number of dimensions of NIfTI-Zarr (1.0.rc1, table 4.1, "Dim").
_MAX_DIMENSIONS = 5

#: Longest dimension of a NIfTI-1 image, in voxels.
MAX_NIFTI_1_LENGTH = np.iinfo(np.int16).max


def stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Data type of the voxels in a store with a NIfTI header: a NIfTI dtype that holds them."""
    return _WIDER.get(dtype, dtype)


def fit_header(
    raw: bytes,
    *,
    axes: str,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    voxel_size: Sequence[float] | None = None,
    space_unit: str | None = None,
    time_step: float | None = None,
    time_unit: str | None = None,
) -> bytes:
    """Adapt a header to the stored array; a header that fits already is returned unchanged.

    Parameters
    ----------
    raw
        The header's bytes.
    axes, shape
        Names and lengths of the stored axes, in Zarr order.
    dtype
        Data type of the stored voxels. If the header's voxels are RGB or RGBA, whose colours have
        become channels, the intent becomes RGB or RGBA vector.
    voxel_size
        Voxel size in Zarr order (z, y, x), if it is not that of the header. The columns of the
        sform are scaled with it; the position of the first voxel stays the same.
    space_unit
        UDUNITS name of the unit of the header's lengths, if it is not that of the header. If NIfTI
        does not have this unit, the lengths are converted to one that it has.
    time_step, time_unit
        Time between two volumes and its unit, likewise.

    Returns
    -------
    bytes
        The header, with unchanged extensions; as NIfTI-2 if a dimension is too long for NIfTI-1
        (FreeSurfer stores such lengths in other fields of NIfTI-1).
    """
    if max(shape) > MAX_NIFTI_1_LENGTH:
        raw = _as_nifti_2(raw)
    record = header.fields(raw)
    _set_array(record, axes, shape, dtype)
    for column, size in enumerate(reversed(voxel_size or ())):
        was = abs(float(record["pixdim"][column + 1]))
        record["pixdim"][column + 1] = size
        for row in "xyz":
            record[f"srow_{row}"][column] *= size / was if 0 < was < np.inf else size
    if space_unit is not None:
        named = units.nifti_unit(space_unit)
        _scale_lengths(record, units.factor(space_unit, named))
        _set_units(record, named, None)
    if time_step is not None:
        record["pixdim"][4] = time_step
    if time_unit is not None:
        named = units.nifti_unit(time_unit)
        record["pixdim"][4] *= units.factor(time_unit, named)
        _set_units(record, None, named)
    return record.tobytes() + raw[record.dtype.itemsize :]


def changed_fields(raw: bytes, fitted: bytes) -> Document | None:
    """The original fields, by name, of what NIfTI-Zarr does not have and `fit_header` changed.

    These are RGB and RGBA voxels, and dimensions after the fifth, which have length 1.
    `level_header` restores them.

    Parameters
    ----------
    raw, fitted
        Bytes of the header before and after `fit_header`.

    Returns
    -------
    dict or None
        None if there is none of these.
    """
    record, names = header.fields(raw), list[str]()
    if record["dim"][0] > _MAX_DIMENSIONS:
        names = ["dim"]
    if int(record["datatype"]) in _COLOURS and header.fields(fitted)["datatype"] == 2:
        names = [*_COLOUR_FIELDS]
    return {name: record[name].tolist() for name in names} or None


def level_header(
    raw: bytes,
    *,
    axes: str,
    shape: Sequence[int],
    scale: Sequence[float],
    shift: Sequence[float],
    changed: Document | None = None,
) -> bytes:
    """The header of one level of an image; for level 0, all fields are unchanged.

    The slice timing is removed if the level has fewer slices than level 0.

    Parameters
    ----------
    raw
        Stored header, which is that of level 0.
    axes, shape
        Names and lengths of the level's axes, in Zarr order.
    scale, shift
        Size of the level's voxels and position of the first one, in voxels of level 0, along the
        spatial axes in Zarr order.
    changed
        The result of `changed_fields` when the image was stored.
    """
    record = header.fields(raw)
    for name, value in (changed or {}).items():
        record[name] = value
    if list(scale) != [1] * len(scale):
        forms = {form: header.affine(raw, form) for form in ("sform", "qform")}
        steps, start = np.array(scale[::-1]), np.array([*shift[::-1], 1.0])
        record["dim"][1:4] = shape[::-1][:3]
        record["pixdim"][1:4] *= steps
        if (sform := forms["sform"]) is not None:
            for row, values in zip("xyz", sform, strict=False):
                record[f"srow_{row}"] = [*values[:3] * steps, values @ start]
        if (qform := forms["qform"]) is not None:
            for row, values in zip("xyz", qform, strict=False):
                record[f"qoffset_{row}"] = values @ start
        sliced = (int(record["dim_info"]) >> 4 & 3) or 3
        if steps[sliced - 1] != 1:
            for name in ("slice_start", "slice_end", "slice_code", "slice_duration"):
                record[name] = 0
    return record.tobytes() + raw[record.dtype.itemsize :]


def file_header(raw: bytes) -> bytes:
    """All bytes before the voxels of a single NIfTI file: header, extender, extensions, padding.

    The header of a pair of files (.hdr and .img) becomes that of a single file.
    """
    record = header.fields(raw)
    size = record.dtype.itemsize
    rest = raw[size:].ljust(header.EXTENDER_SIZE, b"\0")
    record["magic"] = record["magic"].item().replace(b"ni", b"n+")
    least = size + len(rest)
    if not least <= record["vox_offset"] <= header.MAX_HEADER_BYTES:
        record["vox_offset"] = -(-least // 16) * 16
    return (record.tobytes() + rest).ljust(int(record["vox_offset"]), b"\0")


def nifti_dim(axes: str, shape: Sequence[int]) -> list[int]:
    """Lengths of the NIfTI dimensions x, y, z, t, c, up to the last one of ``axes``, or z.

    Parameters
    ----------
    axes, shape
        Names and lengths of the stored axes, in Zarr order; a missing axis has length 1.
    """
    lengths = dict(zip(axes, shape, strict=True))
    count = 5 if "c" in axes else 4 if "t" in axes else 3
    return [int(lengths.get(axis, 1)) for axis in "xyztc"[:count]]


def _set_array(
    record: np.ndarray[Any, Any], axes: str, shape: Sequence[int], dtype: np.dtype[Any]
) -> None:
    """Set dimensions and data type to those of the stored array, if they differ.

    Dimensions of length 1 at the end may be missing, or more than the array has.
    """
    dim = nifti_dim(axes, shape)
    lengths = [*dim, *[1] * (7 - len(dim))]
    known = [int(length) for length in record["dim"][1 : 1 + int(record["dim"][0])]]
    is_colour = int(record["datatype"]) in _COLOURS and "c" in axes
    if known[_MAX_DIMENSIONS:]:
        record["dim"][0] = _MAX_DIMENSIONS
    if lengths != [*known, *[1] * (7 - len(known))]:
        record["dim"] = [len(dim), *lengths]
        if "t" not in axes and not is_colour:
            record["pixdim"][4] = 1
        if "c" in axes and not is_colour:
            record["pixdim"][5] = 1
    if is_colour:
        record["intent_code"] = _COLOURS[int(record["datatype"])]
    code = nibabel.nifti1.data_type_codes.code[dtype.newbyteorder("=")]
    if record["datatype"] != code:
        record["datatype"], record["bitpix"] = code, 8 * dtype.itemsize


def _set_units(record: np.ndarray[Any, Any], space: str | None, time: str | None) -> None:
    """Set the unit of space and the unit of time, unless they are None; "" means unknown."""
    code = int(record["xyzt_units"])
    if space is not None:
        code = code & ~0x07 | units.NIFTI_CODES.get(space, 0)
    if time is not None:
        code = code & ~0x38 | units.NIFTI_CODES.get(time, 0)
    record["xyzt_units"] = code


def _scale_lengths(record: np.ndarray[Any, Any], ratio: float) -> None:
    """Multiply all lengths by a factor: voxel size, sform and offset of the qform."""
    if ratio != 1:
        record["pixdim"][1:4] *= ratio
        for name in _LENGTHS:
            record[name] *= ratio


def _as_nifti_2(raw: bytes) -> bytes:
    """The header, with its extensions, as NIfTI-2."""
    if header.header_type(raw) is nibabel.Nifti2Header:
        return raw
    old = header.fields(raw)
    new = np.zeros((), nibabel.Nifti2Header.template_dtype.newbyteorder(old["dim"].dtype.byteorder))
    for name in set(old.dtype.names or ()) & set(new.dtype.names or ()):
        new[name] = old[name]
    new["sizeof_hdr"] = new.dtype.itemsize
    new["magic"], new["eol_check"] = b"n+2", (13, 10, 26, 10)
    rest = raw[old.dtype.itemsize :]
    new["vox_offset"] = new.dtype.itemsize + max(len(rest), header.EXTENDER_SIZE)
    return new.tobytes() + rest
