"""Sizes, units, position and affine of an array from the metadata of its axes."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from neurozarr import nifti, units
from neurozarr.axes import AXIS_TYPES, RAS, SPATIAL
from neurozarr.ome import reading
from neurozarr.ome.reading import Grid
from neurozarr.units import MAX_LENGTH, is_plausible

logger = logging.getLogger(__name__)

#: RAS+ coordinate and sign of each orientation of RFC-4.
RFC4_TO_RAS = {value: ("xyz".index(axis), 1) for axis, value in RAS.items()} | {
    "-to-".join(reversed(value.split("-to-"))): ("xyz".index(axis), -1)
    for axis, value in RAS.items()
}


def describe(address: str, axes: str, grid: Grid) -> dict[str, Any]:
    """Voxel size, time step, units, position and affine, as fields of a source.

    What the metadata say of an axis belongs to the dimension of the array, also if the user gives
    it another letter. It is ignored if the letter is of another type, such as time instead of
    space.

    Parameters
    ----------
    address
        Path or URL of the array.
    axes
        Letters of its axes, slowest first.
    grid
        The metadata, in the same order.
    """
    grid = _of_same_types(address, axes, grid)
    unit_of = {axis: _unit(unit, axis) for axis, unit in zip(axes, grid.units, strict=False)}
    space_unit = next((unit_of[axis] for axis in "xyz" if unit_of.get(axis)), "")
    for axis, said in zip(axes, grid.units, strict=False):
        if said and axis != "c" and not unit_of[axis]:
            taken = f"; it is taken for {space_unit}" if axis in SPATIAL and space_unit else ""
            logger.warning("%s: the unit of %s, %r, is unknown%s", address, axis, said, taken)
    fields: dict[str, Any] = {"space_unit": space_unit, "time_unit": unit_of.get("t", "")}
    if grid.scale is None:
        return fields
    scale = dict(zip(axes, grid.scale, strict=True))
    if is_plausible(scale.get("t", 0.0)):
        fields["time_step"] = scale["t"]
    ratio = {axis: units.factor(unit_of.get(axis, ""), space_unit) for axis in SPATIAL}
    sizes = {axis: scale.get(axis, 1.0) * ratio[axis] for axis in SPATIAL}
    if not all(is_plausible(size) for size in sizes.values()):
        logger.warning("%s: the voxel size is %s; it is ignored", address, list(sizes.values()))
        return fields
    fields["voxel_size"] = tuple(sizes[axis] for axis in SPATIAL)
    shift = dict(zip(axes, grid.shift, strict=False))
    position = tuple(shift.get(axis, 0.0) * ratio[axis] for axis in SPATIAL)
    if any(position):
        if all(abs(place) < MAX_LENGTH for place in position):
            fields["position"] = position
        else:
            logger.warning("%s: the position is %s; it is ignored", address, list(position))
    if set(SPATIAL) <= set(axes):
        fields["affine"] = _affine(axes, grid, ratio, space_unit)
    return fields


def of_axistags(attributes: Mapping[str, Any], ndim: int) -> Grid | None:
    """Read the attributes that ilastik gives an array of ``ndim`` axes; None if it has none.

    They are ``axistags``, with the key and the resolution (0 if unknown) of each axis (VIGRA,
    "AxisTags", in JSON), and ``axis_units``, a unit for each key.
    """
    tags, names = _object(attributes.get("axistags")), _object(attributes.get("axis_units"))
    try:
        axes = [axis["key"] for axis in tags["axes"]]
        sizes = [float(axis.get("resolution") or 0) for axis in tags["axes"]]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    letters = reading.letters(axes)
    if letters is None or len(set(letters)) != ndim or len(letters) != ndim:
        return None
    known = all(
        is_plausible(size) for axis, size in zip(letters, sizes, strict=True) if axis in SPATIAL
    )
    return Grid(
        axes=letters,
        scale=tuple(sizes) if known else None,
        units=tuple(str(names.get(axis) or "") for axis in axes),
    )


def known_affine(affine: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """An affine if it is plausible and invertible, else None."""
    is_valid = (np.abs(affine) < MAX_LENGTH).all() and nifti.has_inverse(affine)
    return affine if is_valid else None


def _object(text: Any) -> dict[str, Any]:
    """The JSON object in an attribute; an empty one if there is none, or if it is invalid."""
    try:
        found = json.loads(text) if isinstance(text, str | bytes) else text
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _of_same_types(address: str, axes: str, grid: Grid) -> Grid:
    """The metadata without those of axes that have another type in the metadata."""
    types = [AXIS_TYPES[axis] for axis in grid.axes] if grid.axes else list(grid.types)
    wrong = [
        said in AXIS_TYPES.values() and said != AXIS_TYPES[axis]
        for axis, said in zip(axes, types, strict=False)
    ]
    if not any(wrong):
        return grid
    names = "".join(axis for axis, bad in zip(axes, wrong, strict=False) if bad)
    logger.warning(
        "%s: in the metadata, the type of %s is another one; the size along it is ignored",
        address,
        ", ".join(names),
    )

    def kept(values: tuple[Any, ...], default: Any) -> tuple[Any, ...]:
        return tuple(default if bad else v for v, bad in zip(values, wrong, strict=False))

    return replace(
        grid,
        units=kept(grid.units, ""),
        directions=kept(grid.directions, ""),
        scale=None if grid.scale is None else kept(grid.scale, 1.0),
        shift=kept(grid.shift, 0.0),
        affines=(),
    )


def _affine(
    axes: str, grid: Grid, ratio: dict[str, float], space_unit: str
) -> np.ndarray[Any, Any] | None:
    """The affine from voxel indices to RAS+; None if the orientation of an axis is unknown.

    ``ratio`` has the factor from the unit of each axis to ``space_unit``.
    """
    scale, shift = grid.scale or (), grid.shift or (0.0,) * len(axes)
    columns = [axes.index(axis) for axis in "xyz"]
    affine = np.eye(4)
    if grid.affines:
        matrix, unit = grid.affines[0]
        rows = np.array(matrix, float)
        affine[:3, :3] = rows[:, columns] * [scale[i] for i in columns]
        affine[:3, 3] = rows[:, columns] @ [shift[i] for i in columns] + rows[:, -1]
        affine[:3] *= units.factor(_unit(unit, "x"), space_unit)
    else:
        directions = grid.directions or ("",) * len(axes)
        known = [RFC4_TO_RAS[directions[i]] for i in columns if directions[i] in RFC4_TO_RAS]
        if sorted(row for row, _ in known) != [0, 1, 2]:
            return None
        affine[:3, :3] = 0
        for column, (i, (row, sign)) in enumerate(zip(columns, known, strict=True)):
            factor = sign * ratio["xyz"[column]]
            affine[row, column], affine[row, 3] = factor * scale[i], factor * shift[i]
    return known_affine(affine + 0.0)  # without -0


def _unit(name: str, axis: str) -> str:
    """The UDUNITS name of the unit of an axis; "" if it is unknown, or if the axis has none."""
    try:
        return units.ome_unit(name, AXIS_TYPES[axis]) if axis != "c" else ""
    except ValueError:
        return ""
