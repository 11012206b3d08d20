"""Where voxels lie in the body: directions of axes, and anatomical coordinates (RAS+)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurozarr.axes import RAS, Space
from neurozarr.nifti import header
from neurozarr.units import NIFTI_NAMES

#: Letters of the planes that images are acquired in, as people call them: where x, y and z grow to.
PLANES = {"axial": "LPS", "coronal": "LIA", "sagittal": "PIR"}

#: Names of the coordinate systems that NIfTI's codes of sform and qform stand for.
_SPACES = {1: "scanner", 2: "aligned", 3: "talairach", 4: "mni", 5: "template"}

#: Sine of the angle to an axis of the body below which an axis of voxels is aligned with it.
_ALIGNED = 1e-3
#: Two affines are the same that place no voxel further apart than this, in voxels.
_SAME = 1e-2


def letters(orientation: str) -> str:
    """Where the axes x, y, z grow to: one of R or L, one of A or P, and one of S or I.

    Parameters
    ----------
    orientation
        Such letters, in either case, or the name of a plane: axial, coronal or sagittal.

    Raises
    ------
    ValueError
        It is neither.
    """
    found = PLANES.get(orientation.lower(), orientation.upper())
    pairs = sorted("RASLPI".index(letter) % 3 for letter in found if letter in "RASLPI")
    if len(found) != 3 or pairs != [0, 1, 2]:
        raise ValueError(
            f"orientation is {orientation!r}; allowed: three letters for where x, y and z grow to "
            f"(R or L, A or P, S or I), such as RAS, or one of {', '.join(PLANES)}"
        )
    return found


def oriented_affine(
    orientation: str, voxel_size: Sequence[float], shape: Sequence[int], *, center: bool
) -> np.ndarray[Any, Any]:
    """The affine of a volume of which only the orientation is known.

    Parameters
    ----------
    orientation
        As `letters` takes it.
    voxel_size, shape
        Along x, y and z.
    center
        Whether the centre of the volume has coordinates 0, 0, 0; or else the first voxel.

    Returns
    -------
    numpy.ndarray
        4 by 4, from voxel indices (x, y, z) to RAS+ coordinates in the unit of the voxel size.
    """
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, letter in enumerate(letters(orientation)):
        row = "RASLPI".index(letter)
        affine[row % 3, column] = voxel_size[column] if row < 3 else -voxel_size[column]
    if center:
        affine[:3, 3] = -affine[:3, :3] @ (np.asarray(shape) - 1) / 2
    return affine


def spaces(raw: bytes) -> list[Space]:
    """Anatomical coordinates that a NIfTI header gives: by its sform, and by its qform.

    A form whose code is 0, or none that NIfTI knows, or whose matrix is not finite or not
    invertible, gives none. Where both have the same code they are one if they place every voxel
    alike; else the name of the qform's ends in "-qform".

    Parameters
    ----------
    raw
        The header's bytes.
    """
    record = header.fields(raw)
    unit = NIFTI_NAMES.get(int(record["xyzt_units"]) & 0x07, "")
    found: list[Space] = []
    matrices: list[np.ndarray[Any, Any]] = []
    for code, affine in header.affines(raw):
        if code not in _SPACES:
            continue
        name = _SPACES[code]
        if found and found[0].name == name:
            if _is_same(matrices[0], affine, record):
                continue
            name += "-qform"
        found.append(Space(name, tuple(tuple(map(float, row)) for row in affine[:3]), unit))
        matrices.append(affine)
    return found


def directions(raw: bytes) -> dict[str, str]:
    """What grows along those axes of voxels that are aligned with the body, in the words of RFC-4.

    By the sform where its code is not 0, else by the qform; where both are 0, nothing is known.

    Parameters
    ----------
    raw
        The header's bytes.

    Returns
    -------
    dict
        By the axis: x, y or z.
    """
    forms = header.affines(raw)
    if not forms:
        return {}
    columns = forms[0][1][:3, :3]
    cosines = columns / np.linalg.norm(columns, axis=0)
    found = {}
    for axis, column in zip("xyz", cosines.T, strict=True):
        row = int(np.argmax(np.abs(column)))
        if np.linalg.norm(np.delete(column, row)) < _ALIGNED:
            start, end = RAS["xyz"[row]].split("-to-")
            found[axis] = f"{start}-to-{end}" if column[row] > 0 else f"{end}-to-{start}"
    return found


def _is_same(
    first: np.ndarray[Any, Any], second: np.ndarray[Any, Any], record: np.ndarray[Any, Any]
) -> bool:
    """Whether two affines place the corners of a volume, and so all of it, alike."""
    ends = [(0, max(int(length) - 1, 0)) for length in record["dim"][1:4]]
    corners = np.array([(*corner, 1) for corner in itertools.product(*ends)], float).T
    voxel = np.linalg.norm(first[:3, :3], axis=0).min()
    return bool(np.abs((first - second) @ corners).max() < _SAME * voxel)
