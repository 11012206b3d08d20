"""Sizes and place of an image whose header gives a vector for each of its axes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from neurozarr import units
from neurozarr.axes import SPATIAL
from neurozarr.sources.nibabel_image import known_affine
from neurozarr.sources.scaled_image import sizes_of
from neurozarr.units import MAX_LENGTH

logger = logging.getLogger(__name__)

#: What stands for no unit.
_NO_UNITS = ("", "none", "???", "pixel", "pixels", "voxel", "voxels")
#: Signs that turn coordinates of an anatomical space to RAS+.
TO_RAS = {"RAS": (1, 1, 1), "LAS": (-1, 1, 1), "LPS": (-1, -1, 1)}


def place(
    path: object,
    vectors: Mapping[str, ArrayLike],
    origin: ArrayLike | None,
    anatomy: str,
) -> dict[str, Any]:
    """Voxel size, and affine or position, as fields of a source.

    In an anatomical space, the affine is known. In another one, the image has a position if each
    axis has the direction of an axis of the space, and is named like it.

    Parameters
    ----------
    path
        The file, for warnings.
    vectors
        Step from a voxel to the next along each spatial axis that the file has, by its name, as x,
        y and z of the space.
    origin
        Centre of the first voxel, as x, y and z of the space; None if it is unknown.
    anatomy
        Name of the space in `TO_RAS`; "" for any other one.

    Returns
    -------
    dict[str, Any]
        The fields; those that are unknown are missing.
    """
    if not vectors:
        return {}
    known = {axis: np.asarray(vector, float) for axis, vector in vectors.items()}
    steps = np.array([known.get(axis, np.full(3, np.nan)) for axis in "xyz"])
    lengths = np.linalg.norm(steps, axis=1)
    fields: dict[str, Any] = {
        "voxel_size": sizes_of(np.where(np.isnan(lengths), 1.0, lengths).tolist())
    }
    start = np.zeros(3) if origin is None else np.asarray(origin, float)
    if not fields["voxel_size"] or not (np.abs(start) < MAX_LENGTH).all():
        return {"voxel_size": ()}
    if anatomy:
        affine = np.eye(4)
        affine[:3, :3] = _completed(steps).T
        affine[:3, 3] = start
        affine[:3] *= np.array([TO_RAS[anatomy]]).T
        found = known_affine(affine + 0.0)  # Without -0.
        if found is None:
            logger.warning("%s: its directions do not span a space; they are ignored", path)
        return fields | {"affine": found}
    if origin is None:
        return fields
    straight = {axis: vector[SPATIAL[::-1].index(axis)] for axis, vector in known.items()}
    if all(np.isclose(step, lengths["xyz".index(axis)]) for axis, step in straight.items()):
        return fields | {"position": tuple(start[::-1].tolist())}
    logger.warning(
        "%s: its axes are not those of its space, of which the anatomy is unknown; its position "
        "is left out",
        path,
    )
    return fields


def _completed(steps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Steps along x, y and z, of which those that are unknown become normals of length 1."""
    lacking = np.isnan(steps).any(axis=1)
    if lacking.sum() == 1:
        number = int(np.flatnonzero(lacking)[0])
        normal = np.cross(steps[(number + 1) % 3], steps[(number + 2) % 3])
        steps[number] = normal / np.linalg.norm(normal)
    return steps


def common_unit(path: object, names: Sequence[str], kind: str) -> tuple[str, np.ndarray[Any, Any]]:
    """The unit of the first axis that has one, and the factors that convert all axes to it.

    Parameters
    ----------
    path
        The file, for warnings.
    names
        Unit of each axis as the file spells it; "" for an axis that has none.
    kind
        "space" or "time".

    Returns
    -------
    str, np.ndarray
        Name of the unit as in OME-Zarr, "" if no axis has a known one; and a factor for each axis,
        1 if its unit is unknown.
    """
    known = []
    for name in names:
        try:
            known.append("" if name.lower() in _NO_UNITS else units.ome_unit(name, kind))
        except ValueError:
            logger.warning("%s: the unit %r is unknown; it is ignored", path, name)
            known.append("")
    unit = next(filter(None, known), "")
    return unit, np.array([units.factor(name, unit) for name in known])
