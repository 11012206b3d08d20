"""The JSON form of a NIfTI header (NIfTI-Zarr 1.0.rc1, section 2.4)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurozarr.nifti.header import EXTENDER_SIZE, fields, load
from neurozarr.nifti.nibabel_without_pydicom import nibabel

# Names in table 4.2 of the NIfTI-Zarr specification 1.0.rc1.
_DATA_TYPES = {
    2: "uint8", 4: "int16", 8: "int32", 16: "single", 32: "complex64", 64: "double",
    128: "rgb24", 256: "int8", 512: "uint16", 768: "uint32", 1024: "int64", 1280: "uint64",
    1536: "double128", 1792: "complex128", 2048: "complex256", 2304: "rgba32",
}  # fmt: skip

# Names in the JSON schema of NIfTI-Zarr 1.0.rc1, with the numbers of parameters in table 4.4. If
# names in the schema and the tables differ (no intent, intents of FSL), those of the schema.
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


def header_json(raw: bytes) -> dict[str, Any]:
    """The JSON form of a header (NIfTI-Zarr 1.0.rc1, section 2.4 and tables 4.1 to 4.6).

    Text is decoded as Latin-1. Numbers that are not finite, and codes without a name, are left
    out. Parameters of the intent that are not finite, or that the intent does not have, are null.
    Fields that NIfTI-2 does not have are empty.

    Parameters
    ----------
    raw
        The header's bytes.

    Returns
    -------
    dict
        Values that JSON can represent and that validate against the specification's schema.
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
    """Axis code of each voxel axis, in lower case, from nibabel's best affine of the header."""
    header = load(raw)
    try:
        with np.errstate(all="ignore"):
            affine = header.get_best_affine()
    except ValueError:  # The quaternion is not a rotation.
        return None
    largest = np.abs(affine).max()
    if not 0 < largest < np.inf:  # Also true for NaN.
        return None
    codes = nibabel.aff2axcodes(affine / largest)
    if None in codes:
        return None
    return {axis: code.lower() for axis, code in zip("xyz", codes, strict=True)}
