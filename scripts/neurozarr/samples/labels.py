"""Where labels lie in the coordinates of the image that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neurozarr import units
from neurozarr.axes import Space
from neurozarr.nifti import anatomy

if TYPE_CHECKING:
    from neurozarr.sources import Source

#: Largest distance, in voxels of the image, by which axes that count as parallel may diverge.
_TOLERANCE = 0.5
#: Digits to which positions are known, in voxels of the image: headers have 32-bit floats.
_DIGITS = 4


def position(
    label: Source, image: Source, *, label_header: bytes, image_header: bytes
) -> tuple[float, ...] | None:
    """Position of the first voxel of labels in the coordinates of their image.

    Parameters
    ----------
    label, image
        The labels and their image.
    label_header, image_header
        Their NIfTI headers, which say where they are if the sources do.

    Returns
    -------
    tuple of float or None
        Along z, y and x, in the unit of the labels, whose own position it is if the anatomy of
        either is unknown. None if their axes are not parallel, or point in opposite directions.
    """
    spaces = anatomy.spaces(label_header), anatomy.spaces(image_header)
    if label.affine is None or image.affine is None or not all(spaces):
        return label.position
    found = offset(*spaces, label.shape[:-4:-1])
    if found is None:
        return None
    ratio = units.factor(image.space_unit, label.space_unit)
    start, sizes = image.position or (0.0,) * 3, image.voxel_size
    return tuple(
        ratio * (first + steps * size)
        for first, steps, size in zip(start, found, sizes, strict=True)
    )


def offset(
    label: Sequence[Space], image: Sequence[Space], shape: Sequence[int]
) -> tuple[float, ...] | None:
    """Position of the first voxel of labels in an image, in voxels of the image along z, y and x.

    Parameters
    ----------
    label, image
        Anatomical coordinate systems of both. One that both have is used, or else the first of
        each.
    shape
        Number of voxels of the labels along x, y and z.

    Returns
    -------
    tuple of float or None
        None if their axes are not parallel, or point in opposite directions.
    """
    names = [space.name for space in image]
    own = next((space for space in label if space.name in names), label[0])
    other = next((space for space in image if space.name == own.name), image[0])
    scale = units.factor(own.unit, other.unit)
    affines = [np.vstack([space.affine, [0, 0, 0, 1]]) for space in (own, other)]
    between = np.linalg.inv(affines[1]) @ np.diag([scale] * 3 + [1]) @ affines[0]
    steps = between[:3, :3]
    apart = np.abs(steps - np.diag(np.diag(steps))) @ (np.asarray(shape) - 1)
    if (np.diag(steps) <= 0).any() or (apart > _TOLERANCE).any():
        return None
    found = np.round(between[:3, 3], _DIGITS) + 0.0  # without -0
    return tuple(found[::-1].tolist())
