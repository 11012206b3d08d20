"""Axes of images: their names, types and order, and what grows along them in the body."""

from __future__ import annotations

from typing import NamedTuple

#: The axes that can be stored, in the order in which they are.
STORED_ORDER = "tczyx"
SPATIAL = "zyx"
#: Types of the axes that are known, in the order in which images have them.
AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
#: What grows along the axes of anatomical coordinates (RAS+), in the words of RFC-4.
RAS = {"z": "inferior-to-superior", "y": "posterior-to-anterior", "x": "left-to-right"}


class Space(NamedTuple):
    """Anatomical coordinates (RAS+) of the voxels of an image.

    Attributes
    ----------
    name
        Name of the coordinate system, such as "scanner".
    affine
        Rows x, y and z of the matrix from voxel indices (x, y, z, 1) of level 0.
    unit
        UDUNITS name of the unit of the coordinates; "" where unknown.
    """

    name: str
    affine: tuple[tuple[float, ...], ...]
    unit: str
