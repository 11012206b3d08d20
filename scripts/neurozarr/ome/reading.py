"""Reading OME-Zarr metadata, versions 0.1 to 0.6: pure functions of a group's attributes.

If the metadata are malformed, the functions raise a KeyError, TypeError, ValueError or the like.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import add, mul
from typing import Any

from neurozarr.axes import AXIS_TYPES, RAS
from neurozarr.zarr.documents import Document

_LETTERS = {letter: letter for letter in AXIS_TYPES} | {"time": "t", "channel": "c"}


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Metadata of the axes of an array: one value for each axis, in Zarr order.

    Attributes
    ----------
    axes
        Letters of the axes, of t, c, z, y, x; None if an axis is none of these.
    names, types, units
        Names, types and units in the metadata; "" if missing. The types of t, c, z, y and x are
        filled in.
    directions
        Anatomical orientations of the axes: values of RFC-4; "" if missing.
    scale
        Voxel size and time step; None if missing.
    shift
        Position of the first voxel.
    unknown
        Type of an unknown transformation, because of which ``scale`` is None; "" if there is none.
    affines
        Affines from all axes, after scale and shift, to RAS+: the rows of x, y and z, and the unit
        of their results.
    """

    axes: str | None = None
    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()
    scale: tuple[float, ...] | None = None
    shift: tuple[float, ...] = ()
    unknown: str = ""
    affines: tuple[tuple[Sequence[Sequence[float]], str], ...] = ()


def metadata_of(attributes: Mapping[str, Any]) -> Document:
    """The OME-Zarr metadata of a group, which are under the key "ome" from 0.5 on."""
    return attributes.get("ome", attributes)


def images_of(attributes: Mapping[str, Any]) -> list[Document]:
    """The "multiscales" metadata of a group; an empty list if it is not an image."""
    return metadata_of(attributes).get("multiscales", [])


def image_of(attributes: Mapping[str, Any]) -> Document:
    """The first "multiscales" metadata of a group; KeyError if it is not an image."""
    return metadata_of(attributes)["multiscales"][0]


def version_of(attributes: Mapping[str, Any]) -> str | None:
    """The OME-Zarr version of an image, in its metadata or, before 0.5, its "multiscales"."""
    return metadata_of(attributes).get("version", image_of(attributes).get("version"))


def channels_of(attributes: Mapping[str, Any]) -> list[Document]:
    """Labels, colours and display windows of the channels of an image ("omero" metadata)."""
    return (metadata_of(attributes).get("omero") or {}).get("channels", [])


def labels_of(attributes: Mapping[str, Any]) -> Document | None:
    """The "image-label" metadata of an image; None if it does not say that it has labels."""
    return metadata_of(attributes).get("image-label")


def members_of(attributes: Mapping[str, Any]) -> list[str] | None:
    """Paths of the wells of a plate, the images of a well or the labels; None in other groups."""
    metadata = metadata_of(attributes)
    if "plate" in metadata:
        return [well["path"] for well in metadata["plate"]["wells"]]
    if "well" in metadata:
        return [image["path"] for image in metadata["well"]["images"]]
    return metadata.get("labels")


def is_series(attributes: Mapping[str, Any]) -> bool:
    """Whether a group holds images named 0, 1 and so on ("bioformats2raw.layout" metadata)."""
    return "bioformats2raw.layout" in metadata_of(attributes)


def series_of(attributes: Mapping[str, Any]) -> list[str]:
    """Paths of the images, from the attributes of the group "OME"; empty if it lists none."""
    return metadata_of(attributes).get("series") or []


def levels_of(image: Document) -> range:
    """Numbers of the levels of an image, finest first."""
    return range(len(image["datasets"]))


def path_of(image: Document, level: int) -> str:
    """Path of the array of a level in the group of its image."""
    return image["datasets"][level]["path"]


def letters(names: Sequence[Any] | None) -> str | None:
    """Letters (t, c, z, y, x) of axes, from their names; None if one of them has no letter."""
    found = [_LETTERS.get(str(name).lower(), "") for name in names or ()]
    return "".join(found) if found and all(found) else None


def axes_of(image: Document, level: int) -> list[Document]:
    """The metadata of each axis of a level, which have a name at least.

    From 0.6 on, the axes are those of the coordinate system to which the level is transformed;
    before 0.4, they only have names; before 0.3, they are always t, c, z, y, x.
    """
    axes = image.get("axes", list(AXIS_TYPES))
    if image.get("coordinateSystems"):
        axes = _system(image, level)["axes"]
    return [axis if isinstance(axis, dict) else {"name": axis} for axis in axes]


def grid_of(image: Document, level: int) -> Grid:
    """Metadata of the axes of a level; before 0.4, without scale and shift."""
    axes = axes_of(image, level)
    known = [letters([axis["name"]]) or letters([axis.get("type")]) or "" for axis in axes]
    scale, shift, unknown = _scaling(image, level, len(axes))
    return Grid(
        axes=letters(known),
        names=tuple(axis["name"] for axis in axes),
        types=tuple(
            axis.get("type") or AXIS_TYPES.get(letter, "")
            for axis, letter in zip(axes, known, strict=True)
        ),
        units=tuple(axis.get("unit") or "" for axis in axes),
        directions=tuple((axis.get("orientation") or {}).get("value", "") for axis in axes),
        scale=scale,
        shift=shift,
        unknown=unknown,
        affines=_affines(image, level),
    )


def placement(image: Document, level: int, axes: str) -> tuple[list[float], list[float]] | None:
    """Voxel size of a level, and position of its first voxel, in voxels of level 0.

    Parameters
    ----------
    image
        The "multiscales" metadata.
    level
        Number of the level.
    axes
        Letters of the axes.

    Returns
    -------
    list, list or None
        Size and position along z, y and x, 1 and 0 for a missing axis; None if the metadata have
        no scale.
    """
    steps, first = [1.0] * 3, [0.0] * 3
    if level == 0:
        return steps, first
    (scale, shift, _), (size, start, _) = (
        _scaling(image, number, len(axes)) for number in (level, 0)
    )
    if scale is None or size is None:
        return None
    for number, axis in enumerate("zyx"):
        if axis in axes:
            at = axes.index(axis)
            steps[number] = scale[at] / size[at]
            first[number] = (shift[at] - start[at]) / size[at]
    return steps, first


def _scaling(
    image: Document, level: int, ndim: int
) -> tuple[tuple[float, ...] | None, tuple[float, ...], str]:
    """Scale and translation of a level; or None and the type of an unknown transformation.

    The transformations of the level come first, then those of the image; from 0.6 on, only those
    of the level, since those of the image lead to other coordinate systems. Until 0.5, a level has
    a scale; from 0.6 on, it is 1 if only another transformation is given.
    """
    steps = list(image["datasets"][level].get("coordinateTransformations", ()))
    is_known = "coordinateSystems" in image and bool(steps)
    if "coordinateSystems" not in image:
        steps += image.get("coordinateTransformations", ())
    scale, shift = (1.0,) * ndim, (0.0,) * ndim
    for step in flat(steps):
        kind = step["type"]
        if kind == "scale" and "scale" in step:
            factors = _numbers(step["scale"], ndim)
            scale, shift = tuple(map(mul, scale, factors)), tuple(map(mul, shift, factors))
            is_known = True
        elif kind == "translation" and "translation" in step:
            shift = tuple(map(add, shift, _numbers(step["translation"], ndim)))
        elif kind != "identity":
            return None, (), kind
    return (scale, shift, "") if is_known else (None, (), "")


def _numbers(values: Any, count: int) -> list[float]:
    """A number for each of ``count`` axes, from a list or one number for all; null becomes NaN."""
    values = values if isinstance(values, list) else [values]
    if len(values) not in (1, count):
        raise ValueError(f"{values} are not {count} numbers")
    numbers = [math.nan if value is None else float(value) for value in values]
    return numbers * count if len(numbers) == 1 else numbers


def _affines(image: Document, level: int) -> tuple[tuple[Sequence[Sequence[float]], str], ...]:
    """Affines of a level to coordinate systems whose orientation is RAS+, with their units."""
    if not image.get("coordinateSystems"):
        return ()
    start, systems = _system(image, level)["name"], _systems(image)
    found = []
    for step in image.get("coordinateTransformations", ()):
        to = systems.get(_end(step.get("output")), {}).get("axes", ())
        ways = {axis["name"]: (axis.get("orientation") or {}).get("value") for axis in to}
        is_ras = all(ways.get(axis) == value for axis, value in RAS.items())
        if step["type"] == "affine" and _end(step.get("input")) == start and is_ras:
            unit = next(axis.get("unit", "") for axis in to if axis["name"] == "x")
            names = [axis["name"] for axis in to]
            found.append(([step["affine"][names.index(axis)] for axis in "xyz"], unit))
    return tuple(found)


def _systems(image: Document) -> dict[Any, Document]:
    """The coordinate systems of an image, by name."""
    return {system["name"]: system for system in image["coordinateSystems"]}


def _system(image: Document, level: int) -> Document:
    """The coordinate system to which the transformations of a level lead."""
    steps = image["datasets"][level].get("coordinateTransformations")
    name = _end(steps[-1].get("output")) if steps else None
    return _systems(image).get(name) or image["coordinateSystems"][0]


def _end(end: Any) -> Any:
    """Name of the coordinate system of the "input" or "output" of a transformation."""
    return end.get("name") if isinstance(end, dict) else end


def flat(steps: Sequence[Document]) -> Iterator[Document]:
    """Transformations in order, with sequences replaced by their members."""
    for step in steps:
        if step["type"] == "sequence":
            yield from flat(step["transformations"])
        else:
            yield step
