"""Axes of images: names, types, order and anatomical orientation."""

from __future__ import annotations

from typing import NamedTuple

#: The axes that an image can have, in the order in which OME-Zarr stores them.
STORED_ORDER = "tczyx"
SPATIAL = "zyx"
#: OME-Zarr types of these axes, in the same order.
AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
#: Orientation of the axes of anatomical coordinates (RAS+): values of RFC-4 of OME-Zarr.
RAS = {"z": "inferior-to-superior", "y": "posterior-to-anterior", "x": "left-to-right"}


class Space(NamedTuple):
    """An anatomical coordinate system (RAS+) of an image.

    Attributes
    ----------
    name
        Name of the coordinate system, such as "scanner".
    affine
        Rows x, y and z of the matrix that maps voxel indices (x, y, z, 1) of level 0 to it.
    unit
        UDUNITS name of the unit of the coordinates; "" if unknown.
    """

    name: str
    affine: tuple[tuple[float, ...], ...]
    unit: str
