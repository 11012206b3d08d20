"""Axes of images: names, types, order and anatomical orientation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

#: The axes that an image can have, in the order in which OME-Zarr stores them.
STORED_ORDER = "tczyx"
SPATIAL = "zyx"
#: OME-Zarr types of these axes, in the same order.
AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
#: Orientation of the axes of anatomical coordinates (RAS+): values of RFC-4 of OME-Zarr.
RAS = {"z": "inferior-to-superior", "y": "posterior-to-anterior", "x": "left-to-right"}


def spatial_index(option: str, axis: int | str | None, ndim: int) -> int | None:
    """Index, among the spatial axes of an image, of one of them.

    Parameters
    ----------
    option
        Name of the option, for the error.
    axis
        Index or name of the axis; None for no axis.
    ndim
        Number of spatial axes: the last of z, y and x.

    Raises
    ------
    ValueError
        There is no such axis.
    """
    names = SPATIAL[max(0, len(SPATIAL) - ndim) :]
    if isinstance(axis, str) and axis in tuple(names):
        return names.index(axis) + ndim - len(names)
    if axis is None or (isinstance(axis, int) and 0 <= axis < ndim):
        return axis
    raise ValueError(
        f"{option} is {axis!r}; allowed: None, an index below {ndim}, or one of {', '.join(names)}"
    )


class Space(NamedTuple):
    """A coordinate system of an image: an anatomical one (RAS+), or one without orientation.

    Attributes
    ----------
    name
        Name of the coordinate system, such as "scanner" or "world".
    affine
        Rows x, y and z of the matrix that maps voxel indices (x, y, z, 1) of level 0 to it.
    unit
        UDUNITS name of the unit of the coordinates; "" if unknown.
    orientation
        Anatomical orientation of its axes: values of RFC-4; empty if it has none.
    """

    name: str
    affine: tuple[tuple[float, ...], ...]
    unit: str
    orientation: Mapping[str, str] = RAS
