"""NIfTI headers as bytes: what they say, and their JSON form.

Everything works on the bytes as they stand on disk: 348 (NIfTI-1) or 540 (NIfTI-2), either byte
order, followed by the 4 bytes of the extender and the extensions where there are any.
"""

from __future__ import annotations

import io
import os
from typing import Any, Literal

import numpy as np

from neurozarr.nifti.nibabel_without_pydicom import nibabel
from neurozarr.units import MAX_LENGTH

EXTENDER_SIZE = 4
#: Largest header that is read, in bytes, extensions included: one that is damaged may ask for more
#: than there is memory.
LARGEST = 2**25

#: Condition number from which a matrix of single floats has no inverse worth the name.
_SINGULAR = 1e7


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
    return matrix if (np.abs(matrix) < MAX_LENGTH).all() else None


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
