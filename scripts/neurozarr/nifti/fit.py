"""NIfTI headers that say what an array is: of the stored image, of one level, of a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurozarr import units
from neurozarr.nifti import header
from neurozarr.nifti.nibabel_without_pydicom import nibabel
from neurozarr.zarr.documents import Document

#: Codes of dtypes whose voxels are colours, with the intent of an axis of such channels.
_COLOURS = {128: 2003, 2304: 2004}


#: Attribute of the header's array that says what its fields were when channels were colours.
COLOURS = "neurozarr:colours"


#: Fields that describe an image of colours and change when these become channels.
_COLOUR_FIELDS = ("dim", "datatype", "bitpix", "intent_code", "intent_p1", "intent_p2", "intent_p3")


_LENGTHS = ("srow_x", "srow_y", "srow_z", "qoffset_x", "qoffset_y", "qoffset_z")


#: dtypes that NIfTI lacks, with the narrowest that it has which holds their values.
_WIDER: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(bool): np.dtype(np.uint8),
    np.dtype(np.float16): np.dtype(np.float32),
}


_MOST_IN_NIFTI_1 = np.iinfo(np.int16).max


def stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Data type of the voxels of a store with a NIfTI header: wider, where NIfTI lacks theirs."""
    return _WIDER.get(dtype, dtype)


def fit_header(
    raw: bytes,
    *,
    axes: str,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    voxel_size: Sequence[float] | None = None,
    space_unit: str | None = None,
) -> bytes:
    """Make a header say what the stored array is; one that says it already comes back as it is.

    Parameters
    ----------
    raw
        The header's bytes.
    axes, shape
        Names and lengths of the stored axes, in Zarr order.
    dtype
        Data type of the stored voxels. Where the header's is one of colours, which have become
        channels, the intent is RGB or RGBA vector.
    voxel_size
        Along the spatial axes, in Zarr order (z, y, x), where it is not what the header says. The
        columns of the sform are scaled with it; the first voxel stays where it was.
    space_unit
        UDUNITS name of the unit that the header's lengths are in, where it is not what the header
        says. Where NIfTI has no name for it, they are converted to one that it has.

    Returns
    -------
    bytes
        The header, extensions unchanged; NIfTI-2 where a dimension is too long for NIfTI-1, as of
        FreeSurfer's files that say so in other fields.
    """
    if max(shape) > _MOST_IN_NIFTI_1:
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
    return record.tobytes() + raw[record.dtype.itemsize :]


def colours_were(raw: bytes, fitted: bytes) -> Document | None:
    """What `fit_header` changed in a header whose voxels were colours: fields, by their names.

    None where they were not. With it, `level_header` restores the header, but for parameters of the
    intent that are not finite.
    """
    record = header.fields(raw)
    if int(record["datatype"]) not in _COLOURS or header.fields(fitted)["datatype"] != 2:
        return None
    return {
        name: record[name].tolist() for name in _COLOUR_FIELDS if np.isfinite(record[name]).all()
    }


def level_header(
    raw: bytes,
    *,
    axes: str,
    shape: Sequence[int],
    scale: Sequence[float],
    shift: Sequence[float],
    colours: Document | None = None,
) -> bytes:
    """The header of one level of an image; of level 0, all fields as they are.

    Parameters
    ----------
    raw
        Header of level 0, as it is stored.
    axes, shape
        Names and lengths of the level's axes, in Zarr order.
    scale, shift
        Size of the level's voxels, and place of the first one, in voxels of level 0, along the
        spatial axes in Zarr order. Where slices are not those of level 0, nothing is said of when
        each was acquired.
    colours
        What `colours_were` returned when the image was stored; None where it was nothing.
    """
    record = header.fields(raw)
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
    if colours:
        spatial = record["dim"][1:4].copy()
        for name, value in colours.items():
            record[name] = value
        record["dim"][1:4] = spatial
    return record.tobytes() + raw[record.dtype.itemsize :]


def file_header(raw: bytes) -> bytes:
    """All bytes that come before the voxels in a single file, by its header.

    The extender and extensions, and padding up to the offset of the voxels; a header of a pair of
    files becomes that of a single one.
    """
    record = header.fields(raw)
    size = record.dtype.itemsize
    rest = raw[size:].ljust(header.EXTENDER_SIZE, b"\0")
    record["magic"] = record["magic"].item().replace(b"ni", b"n+")
    least = size + len(rest)
    if not least <= record["vox_offset"] <= header.LARGEST:
        record["vox_offset"] = -(-least // 16) * 16
    return (record.tobytes() + rest).ljust(int(record["vox_offset"]), b"\0")


def nifti_dim(axes: str, shape: Sequence[int]) -> list[int]:
    """Lengths of NIfTI's dimensions x, y, z, t, c, up to the last one that there is."""
    lengths = dict(zip(axes, shape, strict=True))
    count = 5 if "c" in axes else 4 if "t" in axes else 3
    return [int(lengths.get(axis, 1)) for axis in "xyztc"[:count]]


def _set_array(
    record: np.ndarray[Any, Any], axes: str, shape: Sequence[int], dtype: np.dtype[Any]
) -> None:
    """Set dimensions and data type to those of the stored array."""
    dim = nifti_dim(axes, shape)
    if dim != [int(n) for n in record["dim"][1 : 1 + int(record["dim"][0])]]:
        record["dim"] = [len(dim), *dim, *[1] * (7 - len(dim))]
        if "t" not in axes:
            record["pixdim"][4] = 1
        if "c" in axes:
            record["pixdim"][5] = 1
    code = nibabel.nifti1.data_type_codes.code[dtype.newbyteorder("=")]
    if int(record["datatype"]) in _COLOURS:
        record["intent_code"] = _COLOURS[int(record["datatype"])]
        for parameter in (1, 2, 3):
            record[f"intent_p{parameter}"] = 0
    record["datatype"], record["bitpix"] = code, 8 * dtype.itemsize


def _set_units(record: np.ndarray[Any, Any], space: str, time: str | None) -> None:
    """Set the unit of space and, unless it is None, that of time; "" is unknown."""
    code = int(record["xyzt_units"]) & ~0x07 | units.NIFTI_CODES.get(space, 0)
    if time is not None:
        code = code & ~0x38 | units.NIFTI_CODES.get(time, 0)
    record["xyzt_units"] = code


def _scale_lengths(record: np.ndarray[Any, Any], ratio: float) -> None:
    """Multiply all lengths: voxel size, sform and the offset of the qform."""
    if ratio != 1:
        record["pixdim"][1:4] *= ratio
        for name in _LENGTHS:
            record[name] *= ratio


def _as_nifti_2(raw: bytes) -> bytes:
    """The same header, with its extensions, as NIfTI-2."""
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
