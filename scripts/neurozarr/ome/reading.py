"""OME-Zarr metadata, from 0.1 to 0.6: pure functions from attributes to what they say.

Of metadata that are not what they should be they raise what Python does: KeyError, TypeError,
ValueError and the like.
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
    """What a store says of the axes of an array, one by one, as they are stored.

    Attributes
    ----------
    axes
        Their names, as letters; None where it does not name them so.
    names, types, units
        As they are written; "" where they are not. The types of t, c, z, y and x are known.
    directions
        What grows along them, in the words of RFC-4; "" where it does not say.
    scale
        Distance of voxels; None where it does not say.
    shift
        Where the first voxel is.
    unknown
        Type of a transformation that is not known, for which scale is None.
    affines
        Matrices, from all axes, scaled and shifted, to RAS+, with the unit of these.
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
    """The OME-Zarr metadata of a group: below a key of their own from 0.5 on."""
    return attributes.get("ome", attributes)


def images_of(attributes: Mapping[str, Any]) -> list[Document]:
    """The metadata of the images that a group is, most often one; none where it is no image."""
    return metadata_of(attributes).get("multiscales", [])


def image_of(attributes: Mapping[str, Any]) -> Document:
    """The metadata of the first image that a group is.

    Raises
    ------
    KeyError
        It is none.
    """
    return metadata_of(attributes)["multiscales"][0]


def version_of(attributes: Mapping[str, Any]) -> str | None:
    """The version that an image says it is of: for all of it, from 0.5 on."""
    return metadata_of(attributes).get("version", image_of(attributes).get("version"))


def channels_of(attributes: Mapping[str, Any]) -> list[Document]:
    """Names, colours and windows of the channels of an image: the "omero" metadata."""
    return (metadata_of(attributes).get("omero") or {}).get("channels", [])


def members_of(attributes: Mapping[str, Any]) -> list[str] | None:
    """Names, in a plate, a well or labels, of what is, or holds, images; None in another group."""
    said = metadata_of(attributes)
    if "plate" in said:
        return [well["path"] for well in said["plate"]["wells"]]
    if "well" in said:
        return [image["path"] for image in said["well"]["images"]]
    return said.get("labels")


def is_series(attributes: Mapping[str, Any]) -> bool:
    """Whether a group holds images named 0, 1 and so on: the "bioformats2raw.layout" metadata."""
    return "bioformats2raw.layout" in metadata_of(attributes)


def series_of(attributes: Mapping[str, Any]) -> list[str]:
    """Names of the images of such a group, by its group OME; none where that names none."""
    return metadata_of(attributes).get("series") or []


def levels_of(image: Document) -> range:
    """Numbers of the levels of an image, finest first."""
    return range(len(image["datasets"]))


def path_of(image: Document, level: int) -> str:
    """Where in the group of an image the array of a level is."""
    return image["datasets"][level]["path"]


def letters(names: Sequence[Any] | None) -> str | None:
    """Names of axes as letters; None where one of them has none."""
    found = [_LETTERS.get(str(name).lower(), "") for name in names or ()]
    return "".join(found) if found and all(found) else None


def axes_of(image: Document, level: int) -> list[Document]:
    """What describes each axis of a level, its name at least.

    From 0.6 on, axes are those of the coordinate system that the level is placed in; before 0.4,
    they are names alone; before 0.3, they are t, c, z, y and x.
    """
    axes = image.get("axes", list(AXIS_TYPES))
    if image.get("coordinateSystems"):
        axes = _system(image, level)["axes"]
    return [axis if isinstance(axis, dict) else {"name": axis} for axis in axes]


def grid_of(image: Document, level: int) -> Grid:
    """What an image says of the axes of a level; before 0.4, nothing of their scale."""
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
    """Where a level lies among the voxels of level 0.

    Parameters
    ----------
    axes
        Letters of the axes.

    Returns
    -------
    list, list or None
        Along z, y and x, size of the level's voxels, and place of the first one, in voxels of level
        0, which are 1 and 0 where there is no such axis; None where they are not said.
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
    """Scale and translation of a level, or the type of a transformation that is not known.

    Its own transformations come first, then those of the whole image, which from 0.6 on lead to
    other coordinate systems.
    """
    steps = list(image["datasets"][level].get("coordinateTransformations", ()))
    if "coordinateSystems" not in image:
        steps += image.get("coordinateTransformations", ())
    scale, shift, is_known = (1.0,) * ndim, (0.0,) * ndim, False
    for step in _flat(steps):
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
    """A number for each axis, of which one may stand for all, and null for what is no number."""
    values = values if isinstance(values, list) else [values]
    if len(values) not in (1, count):
        raise ValueError(f"{values} are not {count} numbers")
    numbers = [math.nan if value is None else float(value) for value in values]
    return numbers * count if len(numbers) == 1 else numbers


def _affines(image: Document, level: int) -> tuple[tuple[Sequence[Sequence[float]], str], ...]:
    """Affines of a level to coordinate systems whose spatial axes are those of RAS+."""
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
            found.append((step["affine"], unit))
    return tuple(found)


def _systems(image: Document) -> dict[Any, Document]:
    """The coordinate systems of an image, by name."""
    return {system["name"]: system for system in image["coordinateSystems"]}


def _system(image: Document, level: int) -> Document:
    """The coordinate system that a level is placed in."""
    steps = image["datasets"][level].get("coordinateTransformations")
    name = _end(steps[-1].get("output")) if steps else None
    return _systems(image).get(name) or image["coordinateSystems"][0]


def _end(end: Any) -> Any:
    """Name of the coordinate system that a transformation starts or ends with."""
    return end.get("name") if isinstance(end, dict) else end


def _flat(steps: Sequence[Document]) -> Iterator[Document]:
    """Transformations, one after the other, also those of sequences."""
    for step in steps:
        if step["type"] == "sequence":
            yield from _flat(step["transformations"])
        else:
            yield step
