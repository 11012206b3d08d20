"""NIfTI headers: their fields, JSON form and affines, and how they are fitted to an array."""

from neurozarr.nifti.fit import (
    COLOURS,
    colours_were,
    file_header,
    fit_header,
    level_header,
    stored_dtype,
)
from neurozarr.nifti.header import (
    EXTENDER_SIZE,
    LARGEST,
    affine,
    affines,
    byte_order,
    fields,
    has_inverse,
    header_bytes,
    header_type,
    read_header,
    stored_length,
)
from neurozarr.nifti.json_form import header_json

__all__ = [
    "COLOURS",
    "EXTENDER_SIZE",
    "LARGEST",
    "affine",
    "affines",
    "byte_order",
    "colours_were",
    "fields",
    "file_header",
    "fit_header",
    "has_inverse",
    "header_bytes",
    "header_json",
    "header_type",
    "level_header",
    "read_header",
    "stored_dtype",
    "stored_length",
]
