"""Anatomical orientation of axes, and anatomical coordinate systems (RAS+)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurozarr.axes import RAS, Space
from neurozarr.nifti import header
from neurozarr.nifti.nibabel_without_pydicom import nibabel
from neurozarr.units import NIFTI_NAMES

#: Axis codes of x, y and z for each common acquisition plane.
PLANES = {"axial": "LPS", "coronal": "LIA", "sagittal": "PIR"}

#: Names of the coordinate systems of the codes of sform and qform (NIfTI-1, "xform codes").
_SPACES = {1: "scanner", 2: "aligned", 3: "talairach", 4: "mni", 5: "template"}

#: Cosine of the largest angle, 45°, between a voxel axis and the anatomical axis it is along.
_ALONG = math.sqrt(0.5) - 1e-6
#: Largest distance between the same voxel in two equal affines, in voxels.
_SAME = 1e-2


def parse_orientation(orientation: str) -> str:
    """Axis codes of x, y and z, as in `nibabel.aff2axcodes`, such as "RAS".

    Parameters
    ----------
    orientation
        Axis codes, in upper or lower case, or the name of a plane: axial, coronal or sagittal.

    Raises
    ------
    ValueError
        The orientation is neither of these.
    """
    found = PLANES.get(orientation.lower(), orientation.upper())
    pairs = sorted("RASLPI".index(letter) % 3 for letter in found if letter in "RASLPI")
    if len(found) != 3 or pairs != [0, 1, 2]:
        raise ValueError(
            f"orientation is {orientation!r}; allowed: three letters, the axis codes of x, y and z "
            f"(R or L, A or P, S or I), such as RAS, or one of {', '.join(PLANES)}"
        )
    return found


def oriented_affine(
    orientation: str, voxel_size: Sequence[float], shape: Sequence[int], *, center: bool
) -> np.ndarray[Any, Any]:
    """The affine of a volume of given orientation and voxel size.

    Parameters
    ----------
    orientation
        Axis codes or name of a plane (see `parse_orientation`).
    voxel_size, shape
        Size of a voxel, in any unit, and shape of the volume, in voxels, along x, y and z.
    center
        Whether the coordinates 0, 0, 0 are those of the centre of the volume, or of the first
        voxel.

    Returns
    -------
    numpy.ndarray
        4×4 float64 matrix from voxel indices (x, y, z) to RAS+ coordinates in the same unit.
    """
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, letter in enumerate(parse_orientation(orientation)):
        row = "RASLPI".index(letter)
        affine[row % 3, column] = voxel_size[column] if row < 3 else -voxel_size[column]
    if center:
        affine[:3, 3] = -affine[:3, :3] @ (np.asarray(shape) - 1) / 2
    return affine


def spaces(raw: bytes) -> list[Space]:
    """Anatomical coordinate systems of a NIfTI header: those of its sform and its qform.

    A form is left out if its code is 0 or unknown, or if its matrix is not finite or not
    invertible. If both forms have the same code, the qform is left out if it places every voxel
    where the sform does; otherwise, its name ends in "-qform".

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
    """Anatomical orientation of the voxel axes.

    It follows from the sform if its code is not 0, else from the qform. RFC-4 asks for the
    orientation of axes that are roughly aligned with the anatomy: of an oblique image, each voxel
    axis is along the anatomical axis that `nibabel.io_orientation` finds for it, if the angle
    between them is at most 45°.

    Parameters
    ----------
    raw
        The header's bytes.

    Returns
    -------
    dict
        For each of x, y and z: the value of RFC-4, such as "left-to-right". Empty if the codes of
        both forms are 0.
    """
    forms = header.affines(raw)
    if not forms:
        return {}
    affine = forms[0][1]
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    found = {}
    for column, (row, sign) in enumerate(nibabel.io_orientation(affine)):
        if np.isfinite(row) and sign * cosines[int(row), column] >= _ALONG:
            start, end = RAS["xyz"[int(row)]].split("-to-")
            found["xyz"[column]] = f"{start}-to-{end}" if sign > 0 else f"{end}-to-{start}"
    return found


def _is_same(
    first: np.ndarray[Any, Any], second: np.ndarray[Any, Any], record: np.ndarray[Any, Any]
) -> bool:
    """Whether two affines place the corners, and so all voxels, of a volume at the same points."""
    ends = [(0, max(int(length) - 1, 0)) for length in record["dim"][1:4]]
    corners = np.array([(*corner, 1) for corner in itertools.product(*ends)], float).T
    voxel = np.linalg.norm(first[:3, :3], axis=0).min()
    return bool(np.abs((first - second) @ corners).max() < _SAME * voxel)
