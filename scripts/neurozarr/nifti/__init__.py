"""NIfTI headers: fields, JSON form, and adaptation to a stored array."""

from neurozarr.nifti.fit import (
    file_header,
)
from neurozarr.nifti.header import (
    affine,
    byte_order,
    fields,
    has_inverse,
    has_labels,
    header_bytes,
    header_type,
    load,
    read_header,
    stored_length,
)
from neurozarr.nifti.json_form import header_json

__all__ = [
    "affine",
    "byte_order",
    "fields",
    "file_header",
    "has_inverse",
    "has_labels",
    "header_bytes",
    "header_json",
    "header_type",
    "load",
    "read_header",
    "stored_length",
]
