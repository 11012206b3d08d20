"""Voxel size, time step and channels of TIFF files."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from neurozarr import units
from neurozarr.sources.tiff.sets import tag
from neurozarr.units import is_plausible

logger = logging.getLogger(__name__)

#: Sizes along some of z, y and x, each with its unit; "" if that is unknown.
Sizes = dict[str, tuple[float, str]]

#: Units of XResolution (TIFF 6.0, section 8, ResolutionUnit).
_RESOLUTION_UNITS = {2: "inch", 3: "centimeter"}
#: Pixels per inch of screens, printers and scanners, which programs write by default: these are not
#: voxel sizes.
_DEFAULT_DPI = (72, 96, 100, 120, 144, 150, 180, 200, 240, 300, 350, 400, 600, 1200, 2400)
#: Largest number of pixels per inch of screens: programs write any whole number up to it.
_MAX_SCREEN_DPI = 400


def describe_ome(path: str, image: ElementTree.Element, axes: str, channels: int) -> dict[str, Any]:
    """Read the metadata of an Image element of OME-XML (2016-06).

    Parameters
    ----------
    path
        The file, for warnings.
    image
        The element.
    axes
        Names of the axes of the source.
    channels
        Number of its channels.

    Returns
    -------
    dict[str, Any]
        Fields of a source.
    """
    pixels = next(child for child in image if tag(child) == "Pixels")
    given: Sizes = {}
    for axis in "zyx":
        name = f"PhysicalSize{axis.upper()}"
        if size := number(pixels.get(name)):
            given[axis] = (size, unit_of(pixels.get(f"{name}Unit", "µm"), "space"))
    fields = sizes(path, given, axes)
    step = number(pixels.get("TimeIncrement"))
    if step and "t" in axes:
        time_unit = unit_of(pixels.get("TimeIncrementUnit", "s"), "time")
        fields |= {"time_step": step, "time_unit": time_unit}
    elements = [child for child in pixels if tag(child) == "Channel"]
    if len(elements) == channels:
        names = tuple(element.get("Name", "") for element in elements)
        colors = tuple(_color(element.get("Color", "")) for element in elements)
        known = {"channel_names": names, "channel_colors": colors}
        fields |= {name: values for name, values in known.items() if any(values)}
    if fields.get("voxel_size"):
        fields |= _position(image, pixels, fields["space_unit"])
    return fields


def _color(text: str) -> str:
    """Hexadecimal RGB of a colour: a signed 32-bit integer of red, green, blue and alpha.

    "" for the default of OME-XML 2010-06 and 2011-06, which was meant to be white, but is a
    transparent red, as 2016-06 notes.
    """
    if text == "-2147483648" or not re.fullmatch(r"-?\d+", text):
        return ""
    return f"{int(text) % 2**32 >> 8:06X}"


def _position(image: ElementTree.Element, pixels: ElementTree.Element, unit: str) -> dict[str, Any]:
    """Position of the first plane, or else of the stage, as a field of a source.

    OME-XML (2016-06, Plane and StageLabel) does not say whether the stage was at the centre or at
    the corner of the image. As in programs that stitch by it, it is that of the first voxel, so
    that the distances between images are right. An axis without one, or in another unit than
    lengths (the default is "reference frame"), is at 0.
    """
    planes = [child for child in pixels if tag(child) == "Plane"]
    planes.sort(key=lambda plane: [plane.get(f"The{axis}", "0") != "0" for axis in "TCZ"])
    labels = [child for child in image if tag(child) == "StageLabel"]
    for element, name in [
        *((plane, "Position") for plane in planes[:1]),
        *((x, "") for x in labels),
    ]:
        found = {}
        for axis in "zyx":
            attribute = f"{name}{axis.upper()}"
            place = _finite(element.get(attribute))
            said = unit_of(element.get(f"{attribute}Unit", "reference frame"), "space")
            if place is not None and bool(said) == bool(unit):
                found[axis] = place * units.factor(said, unit)
        if found:
            return {"position": tuple(found.get(axis, 0.0) for axis in "zyx")}
    return {}


def describe_imagej(
    path: str, metadata: Mapping[str, Any], tags: Any, axes: str, channels: int
) -> dict[str, Any]:
    """Read the metadata of an ImageJ hyperstack.

    ImageJ omits values of 1: the spacing of slices and the width of a pixel. Without a unit, a
    resolution that programs write by default is no width of a pixel.

    Parameters
    ----------
    path
        The file, for warnings.
    metadata
        ImageJ's description of the hyperstack, as tifffile parses it.
    tags
        Tags of its first page.
    axes
        Names of the axes of the source.
    channels
        Number of its channels.

    Returns
    -------
    dict[str, Any]
        Fields of a source.
    """
    unit = str(metadata.get("unit", ""))
    given: Sizes = {}
    printed = _RESOLUTION_UNITS.get(int(tags.valueof(296, default=2)), "")
    for axis in "zyx":
        size = _pixel(tags, axis) or 1.0
        if printed and not unit and _is_default(size, printed):
            size = 1.0
        if axis == "z":
            # The sign of the spacing is the direction in which the focus moved.
            size = abs(_finite(metadata.get("spacing", "z" in axes)) or 0.0)
        if number(size):
            given[axis] = (size, unit_of(str(metadata.get(f"{axis}unit", unit)), "space"))
    if not any(name for _, name in given.values()):
        given |= resolution(tags)
    fields = sizes(path, given, axes)
    # Of fps, the speed of the animation on the screen, it does not follow.
    step = number(metadata.get("finterval"))
    if step and "t" in axes:
        time_unit = unit_of(str(metadata.get("tunit", "s")), "time")
        fields |= {"time_step": step, "time_unit": time_unit}
    tables = metadata.get("LUTs", ())
    if channels > 1 and len(tables) == channels:
        fields["channel_colors"] = tuple(
            "".join(f"{int(value):02X}" for value in table[:, -1]) for table in tables
        )
    return fields


def describe_tags(path: str, tags: Any, axes: str) -> dict[str, Any]:
    """Read the voxel size from the tags of a page.

    These are XResolution, YResolution and ResolutionUnit (TIFF 6.0, section 8).

    Parameters
    ----------
    path
        The file, for warnings.
    tags
        The tags.
    axes
        Names of the axes of the source.

    Returns
    -------
    dict[str, Any]
        Fields of a source.
    """
    given = resolution(tags)
    if not given:
        # Without a unit, the resolution is of use only as the aspect of a pixel.
        across = {axis: size for axis in "yx" if (size := _pixel(tags, axis))}
        if int(tags.valueof(296, default=2)) == 1 and len(set(across.values())) == 2:
            given = {axis: (size, "") for axis, size in across.items()}
    return sizes(path, given, axes)


def resolution(tags: Any) -> Sizes:
    """The pixel size along y and x, from the tags, if it has a unit and is no default.

    Parameters
    ----------
    tags
        Tags of a page.

    Returns
    -------
    Sizes
        The sizes, in centimeters or inches.
    """
    unit = _RESOLUTION_UNITS.get(int(tags.valueof(296, default=2)), "")
    found = {axis: size for axis in "yx" if (size := _pixel(tags, axis))}
    return {
        axis: (size, unit) for axis, size in found.items() if unit and not _is_default(size, unit)
    }


def image_of(root: ElementTree.Element, number: int, name: str, count: int) -> Any:
    """Find the Image element of an image that tifffile lists.

    Parameters
    ----------
    root
        The OME-XML document.
    number, name
        Index and name of the image in the list.
    count
        Length of the list.

    Returns
    -------
    Element or None
        The element; None if it is ambiguous.
    """
    images = [child for child in root if tag(child) == "Image"]
    if len(images) == count:
        return images[number]
    named = [image for image in images if image.get("Name") == name]
    return named[0] if len(named) == 1 else None


def stored_images(root: ElementTree.Element) -> list[str]:
    """Names of the images whose planes are in TIFF files; "" for one without a name."""
    return [
        child.get("Name", "")
        for child in root
        if tag(child) == "Image" and any(tag(inner) == "TiffData" for inner in child.iter())
    ]


def first_image(root: ElementTree.Element) -> ElementTree.Element | None:
    """The first Image element, if any."""
    return next((child for child in root if tag(child) == "Image"), None)


def sizes(path: str, given: Sizes, axes: str) -> dict[str, Any]:
    """Voxel size and its unit, as fields of a source.

    An axis without a size gets that of another, and one without a unit is in that of another. If no
    unit is known, sizes still tell their ratio, unless all are 1, which programs write for unknown
    ones.

    Parameters
    ----------
    path
        The file, for warnings.
    given
        The known sizes.
    axes
        Names of the axes of the source.

    Returns
    -------
    dict[str, Any]
        The fields ``voxel_size``, ``space_unit`` and ``sized_axes``; none if nothing is known.
    """
    named = {axis: unit for axis, (_, unit) in given.items() if unit}
    unit = named.get("x", next(iter(named.values()), ""))
    if not given or not (unit or any(size != 1 for size, _ in given.values())):
        return {}
    known = {axis: size * units.factor(old, unit) for axis, (size, old) in given.items()}
    for axis in "xyz":
        if axis not in known:
            known[axis] = known.get("x", next(iter(known.values())))
            said = f"the voxel size along {axis} is unknown; it is set to {known[axis]:g}"
        elif unit and axis not in named:
            said = f"the unit of the voxel size along {axis} is unknown; it is set to {unit}"
        else:
            continue
        if axis in axes:
            logger.warning("%s: %s, as along another axis; give voxel_size", path, said)
    return {
        "voxel_size": tuple(known[axis] for axis in "zyx"),
        "space_unit": unit,
        "sized_axes": "".join(given),
    }


def _pixel(tags: Any, axis: str) -> float | None:
    """The size of a pixel, from the resolution (pixels per unit), in its unit; None if unknown."""
    value = tags.valueof(282 if axis == "x" else 283)
    if not isinstance(value, tuple) or len(value) != 2 or not value[0]:
        return None
    return number(value[1] / value[0])


def _is_default(size: float, unit: str) -> bool:
    """Whether a pixel size is of a resolution that programs write by default."""
    dpi = 1 / (size * units.factor(unit, "inch"))
    is_whole = 1 <= dpi <= _MAX_SCREEN_DPI and math.isclose(dpi, round(dpi), rel_tol=1e-6)
    is_usual = any(math.isclose(dpi, known, rel_tol=5e-3) for known in _DEFAULT_DPI)
    return size == 1 or is_usual or (unit == "inch" and is_whole)


def unit_of(name: str, kind: str) -> str:
    """The UDUNITS name of a unit of "space" or "time"; "" if it is unknown."""
    if "\\u" in name:  # Java's escape of characters that are not ASCII.
        name = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), name)
    return units.find_unit(name, kind)


def number(value: Any) -> float | None:
    """A plausible length or duration, as a float; None for anything else."""
    found = _finite(value)
    return found if found is not None and is_plausible(found) else None


def _finite(value: Any) -> float | None:
    """A finite number of plausible magnitude, as a float; None for anything else."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if abs(found) < units.MAX_LENGTH else None
