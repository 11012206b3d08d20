"""NIfTI headers as bytes: what they say, and their JSON form.

Everything works on the bytes as they stand on disk: 348 (NIfTI-1) or 540 (NIfTI-2), either byte
order, followed by the 4 bytes of the extender and the extensions where there are any.
"""

from __future__ import annotations

import io
import math
import os
from typing import Any, Literal

import numpy as np

from neurozarr.nibabel_alone import nibabel

EXTENDER_SIZE = 4
#: Largest header that is read, in bytes, extensions included: one that is damaged may ask for more
#: than there is memory.
LARGEST = 2**25
#: Lengths from which, and below whose inverse, a header is damaged: no product of two overflows.
ABSURD = 1e30

#: Condition number from which a matrix of single floats has no inverse worth the name.
_SINGULAR = 1e7

# Names of table 4.2 of the NIfTI-Zarr specification 1.0.rc1.
_DATA_TYPES = {
    2: "uint8", 4: "int16", 8: "int32", 16: "single", 32: "complex64", 64: "double",
    128: "rgb24", 256: "int8", 512: "uint16", 768: "uint32", 1024: "int64", 1280: "uint64",
    1536: "double128", 1792: "complex128", 2048: "complex256", 2304: "rgba32",
}  # fmt: skip

# Names that the JSON schema of NIfTI-Zarr 1.0.rc1 allows, with the number of parameters that
# table 4.4 gives. Where the schema and the tables differ (no intent, FSL's), the schema wins.
_INTENTS: dict[int, tuple[str, int]] = {
    0: ("", 0), 2: ("corr", 1), 3: ("ttest", 1), 4: ("ftest", 2), 5: ("zscore", 0),
    6: ("chi2", 1), 7: ("beta", 2), 8: ("binomial", 2), 9: ("gamma", 2), 10: ("poisson", 1),
    11: ("normal", 2), 12: ("ncftest", 3), 13: ("ncchi2", 2), 14: ("logistic", 2),
    15: ("laplace", 2), 16: ("uniform", 2), 17: ("ncttest", 2), 18: ("weibull", 3),
    19: ("chi", 1), 20: ("invgauss", 2), 21: ("extval", 2), 22: ("pvalue", 0),
    23: ("logpvalue", 0), 24: ("log10pvalue", 0), 1001: ("estimate", 0), 1002: ("label", 0),
    1003: ("neuronames", 0), 1004: ("matrix", 2), 1005: ("symmatrix", 1), 1006: ("dispvec", 0),
    1007: ("vector", 0), 1008: ("point", 0), 1009: ("triangle", 0), 1010: ("quaternion", 0),
    1011: ("unitless", 0), 2001: ("tseries", 0), 2002: ("elem", 0), 2003: ("rgb", 0),
    2004: ("rgba", 0), 2005: ("shape", 0), 2006: ("fsl_fnirt_displacement_field", 0),
    2007: ("fsl_cubic_spline_coefficients", 0), 2008: ("fsl_dct_coefficients", 0),
    2009: ("fsl_quadratic_spline_coefficients", 0),
    2016: ("fsl_topup_cubic_spline_coefficients", 0),
    2017: ("fsl_topup_quadratic_spline_coefficients", 0), 2018: ("fsl_topup_field", 0),
}  # fmt: skip
_XFORMS = {
    0: "", 1: "scanner_anat", 2: "aligned_anat", 3: "talairach", 4: "mni_152", 5: "template_other",
}  # fmt: skip
_SLICE_ORDERS = {
    0: "", 1: "seq+", 2: "seq-", 3: "alt+", 4: "alt-", 5: "alt2+", 6: "alt2-",
}  # fmt: skip
_SPACE_UNITS = {1: "m", 2: "mm", 3: "um"}
_TIME_UNITS = {8: "s", 16: "ms", 24: "us"}


def header_type(raw: bytes) -> type[nibabel.Nifti1Header]:
    """Type of header of nibabel that these bytes are: NIfTI-1 or NIfTI-2.

    Raises
    ------
    ValueError
        They start with neither 348 nor 540, in neither byte order, or are too short.
    """
    for kind in (nibabel.Nifti1Header, nibabel.Nifti2Header):
        size = kind.template_dtype.itemsize
        sizes = {int.from_bytes(raw[:4], order, signed=True) for order in ("little", "big")}
        if size in sizes and len(raw) >= size:
            return kind
    raise ValueError(
        f"not a NIfTI header: {len(raw)} bytes that start with {raw[:4]!r}; it must be 348 "
        "(NIfTI-1) or 540 (NIfTI-2)"
    )


def byte_order(raw: bytes) -> Literal["<", ">"]:
    """Byte order of a header, and of the voxels that come with it."""
    size = header_type(raw).template_dtype.itemsize
    return "<" if int.from_bytes(raw[:4], "little") == size else ">"


def header_bytes(header: nibabel.Nifti1Header) -> bytes:
    """The bytes of a header of nibabel, with its extensions where it has any."""
    stream = io.BytesIO()
    header = header.copy()
    header.write_to(stream)
    return stream.getvalue() if header.extensions else header.binaryblock


def fields(raw: bytes) -> np.ndarray[Any, Any]:
    """The fields of a header, by their NIfTI names: a structured scalar in its byte order."""
    dtype = header_type(raw).template_dtype.newbyteorder(byte_order(raw))
    return np.frombuffer(raw, dtype, count=1).copy().reshape(())


def stored_length(start: bytes, *, single: bool | None = None) -> int | None:
    """How many bytes of a NIfTI file its header takes, extensions included.

    Parameters
    ----------
    start
        At least the header and the extender.
    single
        Whether the voxels are in the same file; None for what the magic says.

    Returns
    -------
    int or None
        The header's size where there are no extensions; the offset of the voxels where there are,
        or None, for everything, where the voxels are in another file.

    Raises
    ------
    ValueError
        The offset is none that extensions could reach to.
    """
    record = fields(start)
    size = record.dtype.itemsize
    magic = record["magic"].item()[:2]
    if len(start) <= size or not start[size] or magic not in (b"n+", b"ni"):
        return size
    if not (magic == b"n+" if single is None else single):
        return None
    offset = record["vox_offset"].item()
    if not size + EXTENDER_SIZE <= offset <= LARGEST:  # nor NaN
        raise ValueError(
            f"its vox_offset is {offset:g}; a header with extensions ends there: allowed is "
            f"{size + EXTENDER_SIZE} to {LARGEST}"
        )
    return int(offset)


def affine(raw: bytes, form: str) -> np.ndarray[Any, Any] | None:
    """The matrix of a header's sform or qform, whatever its code says.

    Parameters
    ----------
    raw
        The header's bytes.
    form
        "sform" or "qform".

    Returns
    -------
    numpy.ndarray or None
        4 by 4, from voxel indices (x, y, z) to RAS+ coordinates; None where it is not finite, or
        absurd.
    """
    try:
        with np.errstate(all="ignore"):
            matrix = np.asarray(getattr(_load(raw), f"get_{form}")(), np.float64)
    except ValueError:  # the quaternion is no rotation
        return None
    return matrix if (np.abs(matrix) < ABSURD).all() else None


def affines(raw: bytes) -> list[tuple[int, np.ndarray[Any, Any]]]:
    """The header's affines, with their codes: of the sform, then of the qform.

    Those whose code is not 0, and whose matrix is finite and has an inverse.
    """
    record, found = fields(raw), []
    for form in ("sform", "qform"):
        code, matrix = int(record[f"{form}_code"]), affine(raw, form)
        if code > 0 and matrix is not None and has_inverse(matrix):
            found.append((code, matrix))
    return found


def has_inverse(affine: np.ndarray[Any, Any]) -> bool:
    """Whether an affine of finite numbers, 4 by 4, has an inverse worth the name."""
    with np.errstate(all="ignore"):
        return bool(np.linalg.cond(affine[:3, :3]) < _SINGULAR)


def read_header(path: str | os.PathLike[str], *, single: bool | None = None) -> bytes:
    """The header of a file, with its extensions, as its bytes stand there.

    Parameters
    ----------
    path
        A NIfTI file, compressed or not; the header of a pair; or a file that is a header alone.
    single
        Whether the voxels are in the same file; None for what the magic says.

    Raises
    ------
    ValueError
        It starts with no NIfTI header, or with one whose extensions are damaged.
    OSError
        It cannot be read.
    """
    with nibabel.openers.ImageOpener(os.fspath(path), "rb") as file:
        start: bytes = file.read(540 + EXTENDER_SIZE)
        length = stored_length(start, single=single)
        end = LARGEST + 1 if length is None else length
        raw = (start + file.read(max(end - len(start), 0)))[:end]
    if len(raw) > LARGEST:
        raise ValueError(f"a header of more than {LARGEST} bytes")
    _check_extensions(raw)
    return raw


def _check_extensions(raw: bytes) -> None:
    """Raise a ValueError where the size of an extension is less than its own, or beyond the end."""
    start = header_type(raw).template_dtype.itemsize + EXTENDER_SIZE
    while len(raw) - start >= 16:
        size = int(np.frombuffer(raw, f"{byte_order(raw)}i4", 1, start)[0])
        if not 8 <= size <= len(raw) - start:
            raise ValueError(
                f"an extension at byte {start} of its header has size {size}, where there is room "
                f"for 8 to {len(raw) - start}"
            )
        start += size


def header_json(raw: bytes) -> dict[str, Any]:
    """The JSON form of a header (NIfTI-Zarr 1.0.rc1, section 2.4 and tables 4.1 to 4.6).

    Text is decoded as Latin-1. Numbers that are not finite, and codes that have no name, are left
    out; parameters of the intent become null, as those are that the intent does not have. Fields
    that NIfTI-2 does not have are empty.

    Parameters
    ----------
    raw
        The header's bytes.

    Returns
    -------
    dict
        Legal JSON that validates against the specification's schema.
    """
    record = fields(raw)
    size = record.dtype.itemsize
    ndim = min(max(int(record["dim"][0]), 0), 7)
    dim = [max(int(n), 0) for n in record["dim"][1 : 1 + ndim]]
    while len(dim) > 5 and dim[-1] == 1:
        dim.pop()
    dim_info = int(record["dim_info"])
    intent, intent_parameters = _INTENTS.get(int(record["intent_code"]), (None, 0))
    xyzt_units = int(record["xyzt_units"])
    values: dict[str, Any] = {
        "NIIHeaderSize": int(record["sizeof_hdr"]),
        "A75DataTypeName": _text(record, "data_type"),
        "A75DBName": _text(record, "db_name"),
        "A75Extends": _integer(record, "extents"),
        "A75SessionError": _integer(record, "session_error"),
        "A75Regular": _integer(record, "regular"),
        "DimInfo": {
            "Freq": dim_info & 3,
            "Phase": dim_info >> 2 & 3,
            "Slice": dim_info >> 4 & 3,
        },
        "Dim": (dim + [1] * 3)[: max(len(dim), 3)] if len(dim) <= 5 else None,
        "Intent": intent,
        "DataType": _DATA_TYPES.get(int(record["datatype"])),
        "BitDepth": int(record["bitpix"]),
        "FirstSliceID": int(record["slice_start"]),
        "VoxelSize": _voxel_size(record, len(dim)),
        "Orientation": _orientation(raw),
        "NIIByteOffset": _whole(record["vox_offset"]),
        "ScaleSlope": _finite(record["scl_slope"]),
        "ScaleOffset": _finite(record["scl_inter"]),
        "LastSliceID": int(record["slice_end"]),
        "SliceType": _SLICE_ORDERS.get(int(record["slice_code"])),
        "Unit": {
            "L": _SPACE_UNITS.get(xyzt_units & 0x07, ""),
            "T": _TIME_UNITS.get(xyzt_units & 0x38, ""),
        },
        "MaxIntensity": _finite(record["cal_max"]),
        "MinIntensity": _finite(record["cal_min"]),
        "SliceTime": _finite(record["slice_duration"]),
        "TimeOffset": _finite(record["toffset"]),
        "A75GlobalMax": _integer(record, "glmax"),
        "A75GlobalMin": _integer(record, "glmin"),
        "Description": _text(record, "descrip"),
        "AuxFile": _text(record, "aux_file"),
        "QForm": _XFORMS.get(int(record["qform_code"])),
        "SForm": _XFORMS.get(int(record["sform_code"])),
        "Quatern": _all_finite({x: record[f"quatern_{x}"] for x in "bcd"}),
        "QuaternOffset": _all_finite({x: record[f"qoffset_{x}"] for x in "xyz"}),
        "Affine": _affine(record),
        "Name": _text(record, "intent_name"),
        "NIIFormat": _text(record, "magic"),
        "NIFTIExtension": list((raw[size : size + EXTENDER_SIZE] or bytes(4)).ljust(4, b"\0")),
    }
    values = {name: value for name, value in values.items() if value is not None}
    if values["NIIFormat"] not in ("ni1", "n+1", "ni2", "n+2"):
        del values["NIIFormat"]
    for number in (1, 2, 3):
        parameter = record[f"intent_p{number}"] if number <= intent_parameters else None
        values[f"Param{number}"] = None if parameter is None else _finite(parameter)
    return values


def _text(record: np.ndarray[Any, Any], name: str) -> str:
    if name not in (record.dtype.names or ()):
        return ""
    content: bytes = record[name].item()
    return content.split(b"\0")[0].decode("latin-1")


def _integer(record: np.ndarray[Any, Any], name: str) -> int:
    if name not in (record.dtype.names or ()):
        return 0
    value = record[name].item()
    return int.from_bytes(value, "little") if isinstance(value, bytes) else int(value)


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _whole(value: Any) -> int | None:
    return int(value) if math.isfinite(value) else None


def _all_finite(values: dict[str, Any]) -> dict[str, float] | None:
    numbers = {name: float(value) for name, value in values.items()}
    return numbers if all(map(math.isfinite, numbers.values())) else None


def _voxel_size(record: np.ndarray[Any, Any], ndim: int) -> list[float] | None:
    sizes = [abs(float(size)) for size in record["pixdim"][1 : 1 + max(ndim, 3)]]
    return sizes if len(sizes) <= 5 and all(map(math.isfinite, sizes)) else None


def _affine(record: np.ndarray[Any, Any]) -> list[list[float]] | None:
    rows = [[float(value) for value in record[f"srow_{row}"]] for row in "xyz"]
    return rows if all(math.isfinite(value) for row in rows for value in row) else None


def _orientation(raw: bytes) -> dict[str, str] | None:
    """Anatomical direction in which each voxel index grows, by the header's best affine."""
    header = _load(raw)
    try:
        with np.errstate(all="ignore"):
            affine = header.get_best_affine()
    except ValueError:  # the quaternion is no rotation
        return None
    largest = np.abs(affine).max()
    if not 0 < largest < np.inf:  # nor NaN
        return None
    codes = nibabel.aff2axcodes(affine / largest)
    if None in codes:
        return None
    return {axis: code.lower() for axis, code in zip("xyz", codes, strict=True)}


def _load(raw: bytes) -> nibabel.Nifti1Header:
    """The header, of nibabel, without its extensions, and with nothing corrected but pixdim.

    There the standard has 1 for a qfac of 0, and sizes that are not negative.
    """
    kind = header_type(raw)
    header = kind(raw[: kind.template_dtype.itemsize], endianness=byte_order(raw), check=False)
    header["pixdim"][1:] = np.abs(header["pixdim"][1:])
    if header["pixdim"][0] != -1:
        header["pixdim"][0] = 1
    return header
