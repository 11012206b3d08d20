"""Reading NIfTI headers and their fields and affines.

A header is given as its bytes in the file: 348 (NIfTI-1) or 540 (NIfTI-2), in either byte order,
followed by the 4 bytes of the extender and the extensions, if any.
"""

from __future__ import annotations

import io
import os
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from neurozarr.nifti.nibabel_without_pydicom import nibabel
from neurozarr.units import MAX_LENGTH

Affines = tuple[tuple[int, np.ndarray[Any, Any]], ...]

EXTENDER_SIZE = 4
#: Largest header that is read, in bytes, including extensions: the offset in a damaged header may
#: exceed the memory.
MAX_HEADER_BYTES = 2**25

#: Codes of the intents of labels, NIFTI_INTENT_LABEL and NIFTI_INTENT_NEURONAME (nifti1.h).
_LABELS = (1002, 1003)
#: Longest quaternion that rounding explains: its numbers had at least two decimals.
_MAX_QUATERNION = 1.01
#: Condition number above which the inverse of a matrix of single-precision floats is meaningless.
_SINGULAR = 1e7


def header_type(raw: bytes) -> type[nibabel.Nifti1Header]:
    """The nibabel class of a header: NIfTI-1 or NIfTI-2.

    Raises
    ------
    ValueError
        The first field is neither 348 nor 540, in either byte order, or the bytes are too few.
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
    """Byte order of a header and of its voxels."""
    size = header_type(raw).template_dtype.itemsize
    return "<" if int.from_bytes(raw[:4], "little") == size else ">"


def header_bytes(header: nibabel.Nifti1Header) -> bytes:
    """The bytes of a nibabel header, with its extensions, if any."""
    stream = io.BytesIO()
    header = header.copy()
    header.write_to(stream)
    return stream.getvalue() if header.extensions else header.binaryblock


def fields(raw: bytes) -> np.ndarray[Any, Any]:
    """The fields of a header by their NIfTI names: a structured NumPy scalar in its byte order."""
    dtype = header_type(raw).template_dtype.newbyteorder(byte_order(raw))
    return np.frombuffer(raw, dtype, count=1).copy().reshape(())


def stored_length(start: bytes, *, single: bool | None = None) -> int | None:
    """Length of the header in a NIfTI file, in bytes, including extensions.

    Parameters
    ----------
    start
        First bytes of the file: at least the header and the extender.
    single
        Whether the voxels are in the same file; None if the magic of the header decides.

    Returns
    -------
    int or None
        Without extensions, the size of the header. With extensions, the offset of the voxels; or
        None, for the whole file, if the voxels are in another file.

    Raises
    ------
    ValueError
        The offset of the voxels is too small for the extensions, or too large.
    """
    record = fields(start)
    size = record.dtype.itemsize
    magic = record["magic"].item()[:2]
    if len(start) <= size or not start[size] or magic not in (b"n+", b"ni"):
        return size
    if not (magic == b"n+" if single is None else single):
        return None
    offset = record["vox_offset"].item()
    if not size + EXTENDER_SIZE <= offset <= MAX_HEADER_BYTES:  # Also true for NaN.
        raise ValueError(
            f"its vox_offset is {offset:g}, the end of its extensions; allowed: "
            f"{size + EXTENDER_SIZE} to {MAX_HEADER_BYTES}"
        )
    return int(offset)


def affine(raw: bytes, form: str) -> np.ndarray[Any, Any] | None:
    """The matrix of a header's sform or qform, whatever its code.

    Parameters
    ----------
    raw
        The header's bytes.
    form
        "sform" or "qform".

    Returns
    -------
    numpy.ndarray or None
        4×4 float64 matrix from voxel indices (x, y, z) to RAS+ coordinates in the header's unit;
        None if an entry is not finite or exceeds `MAX_LENGTH`.
    """
    try:
        with np.errstate(all="ignore"):
            matrix = np.asarray(getattr(load(raw), f"get_{form}")(), np.float64)
    except ValueError:  # The quaternion is not a rotation.
        return None
    return matrix if (np.abs(matrix) < MAX_LENGTH).all() else None


def affines(raw: bytes) -> Affines:
    """Codes and affines of the sform and the qform, in this order; the affines are read-only.

    Left out are forms whose code is 0 or whose matrix is not finite or has no inverse.
    """
    return _affines(raw[: header_type(raw).template_dtype.itemsize])


@lru_cache(maxsize=64)
def _affines(raw: bytes) -> Affines:
    """The affines of a header without its extensions, which may be large."""
    record, found = fields(raw), []
    for form in ("sform", "qform"):
        code = int(record[f"{form}_code"])
        matrix = affine(raw, form) if code > 0 else None
        if matrix is not None and has_inverse(matrix):
            matrix.flags.writeable = False
            found.append((code, matrix))
    return tuple(found)


def has_inverse(affine: np.ndarray[Any, Any]) -> bool:
    """Whether a finite 4×4 affine has a meaningful inverse."""
    with np.errstate(all="ignore"):
        return bool(np.linalg.cond(affine[:3, :3]) < _SINGULAR)


def read_header(path: str | os.PathLike[str], *, single: bool | None = None) -> bytes:
    """The bytes of the header of a NIfTI file, including extensions.

    Parameters
    ----------
    path
        A NIfTI file, compressed or not; the .hdr file of a pair; or a file of a header only.
    single
        Whether the voxels are in the same file; None if the magic of the header decides.

    Raises
    ------
    ValueError
        The file does not start with a NIfTI header, or the extensions are damaged.
    OSError
        The file cannot be read.
    """
    with nibabel.openers.ImageOpener(os.fspath(path), "rb") as file:
        start: bytes = file.read(540 + EXTENDER_SIZE)
        length = stored_length(start, single=single)
        end = MAX_HEADER_BYTES + 1 if length is None else length
        raw = (start + file.read(max(end - len(start), 0)))[:end]
    if len(raw) > MAX_HEADER_BYTES:
        raise ValueError(f"its header has more than {MAX_HEADER_BYTES} bytes")
    _check_extensions(raw)
    return raw


def _check_extensions(raw: bytes) -> None:
    """Raise a ValueError if an extension is smaller than its size field, or exceeds the header."""
    start = header_type(raw).template_dtype.itemsize + EXTENDER_SIZE
    while len(raw) - start >= 16:
        size = int(np.frombuffer(raw, f"{byte_order(raw)}i4", 1, start)[0])
        if not 8 <= size <= len(raw) - start:
            raise ValueError(
                f"the extension at byte {start} of its header has size {size}; allowed: 8 to "
                f"{len(raw) - start}"
            )
        start += size


def has_labels(raw: bytes) -> bool:
    """Whether the voxels of an image are labels, by the intent in its header."""
    return int(fields(raw)["intent_code"]) in _LABELS


def load(raw: bytes, *, single: bool | None = None) -> nibabel.Nifti1Header:
    """The nibabel header without extensions.

    As NIfTI-1 defines, a qfac of 0 becomes 1, and voxel sizes become positive. A quaternion longer
    than 1 by rounding is normalized, as nifti_clib does (nifti_quatern_to_mat44).

    Parameters
    ----------
    raw
        The header's bytes.
    single
        Whether the voxels are in the same file; then nibabel checks the header for this kind of
        file, and corrects what it can. None for no checks.

    Raises
    ------
    nibabel.spatialimages.HeaderDataError
        nibabel cannot read an image with this header.
    """
    kind = header_type(raw)
    if single is False:
        pairs = {nibabel.Nifti1Header: nibabel.nifti1.Nifti1PairHeader}
        kind = pairs.get(kind, nibabel.nifti2.Nifti2PairHeader)
    content = raw[: kind.template_dtype.itemsize]
    header = kind(content, endianness=byte_order(raw), check=single is not None)
    header["pixdim"][1:] = np.abs(header["pixdim"][1:])
    if header["pixdim"][0] != -1:
        header["pixdim"][0] = 1
    quaternion = [f"quatern_{letter}" for letter in "bcd"]
    with np.errstate(over="ignore"):
        length = np.linalg.norm([float(header[name]) for name in quaternion])
    if 1 < length < _MAX_QUATERNION:
        for name in quaternion:
            header[name] = header[name] / length
    return header
