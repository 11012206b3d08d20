"""NIfTI headers: fields, JSON form, affines, and adaptation to a stored array."""

from neurozarr.nifti.fit import (
    COLOURS,
    file_header,
    fit_header,
    level_header,
    rgb_header_fields,
    stored_dtype,
)
from neurozarr.nifti.header import (
    EXTENDER_SIZE,
    MAX_HEADER_BYTES,
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
    "MAX_HEADER_BYTES",
    "affine",
    "affines",
    "byte_order",
    "fields",
    "file_header",
    "fit_header",
    "has_inverse",
    "header_bytes",
    "header_json",
    "header_type",
    "level_header",
    "read_header",
    "rgb_header_fields",
    "stored_dtype",
    "stored_length",
]
