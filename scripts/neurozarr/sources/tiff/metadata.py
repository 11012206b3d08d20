"""Voxel size, time step and channels of TIFF files."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from neurozarr import units
from neurozarr.units import is_plausible

logger = logging.getLogger(__name__)

#: Unit symbols of OME-XML (2016-06, UnitsLength and UnitsTime) and ImageJ that UDUNITS lacks.
_UNITS = {"Å": "angstrom", "in": "inch", "ft": "foot", "yd": "yard", "mi": "mile", "pc": "parsec"}
#: Units of XResolution (TIFF 6.0, section 8, ResolutionUnit).
_RESOLUTION_UNITS = {2: "inch", 3: "centimeter"}
#: Pixels per inch of screens, printers and scanners, which programs write by default: these are not
#: voxel sizes.
_DEFAULT_DPI = (72, 96, 100, 120, 144, 150, 180, 200, 240, 300, 350, 400, 600, 1200, 2400)


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
    pixels = next(child for child in image if _tag(child) == "Pixels")
    given: dict[str, tuple[float, str]] = {}
    for axis in "zyx":
        name = f"PhysicalSize{axis.upper()}"
        unit = _unit(pixels.get(f"{name}Unit", "µm"), "space")
        size = _number(pixels.get(name))
        if size and unit:
            given[axis] = (size, unit)
    elements = [child for child in pixels if _tag(child) == "Channel"]
    names = [str(element.get("Name", "")) for element in elements]
    colors = [str(element.get("Color", "")) for element in elements]
    fields = _sizes(path, given, axes)
    step = _number(pixels.get("TimeIncrement"))
    time_unit = _unit(pixels.get("TimeIncrementUnit", "s"), "time")
    if step and time_unit and "t" in axes:
        fields |= {"time_step": step, "time_unit": time_unit}
    if len(elements) == channels and all(names):
        fields["channel_names"] = tuple(names)
    if len(elements) == channels and all(re.fullmatch(r"-?\d+", color) for color in colors):
        # A signed 32-bit integer: red, green, blue, alpha.
        fields["channel_colors"] = tuple(f"{int(color) % 2**32 >> 8:06X}" for color in colors)
    return fields


def describe_imagej(
    path: str, metadata: Mapping[str, Any], tags: Any, axes: str, channels: int
) -> dict[str, Any]:
    """Read the metadata of an ImageJ hyperstack.

    ImageJ omits values of 1: the spacing of slices and the width of a pixel.

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
    given: dict[str, tuple[float, str]] = {}
    for axis in "zyx":
        name = _unit(str(metadata.get(f"{axis}unit", unit)), "space")
        size = _pixel(tags, axis) or 1.0
        if axis == "z":
            size = metadata.get("spacing", 1.0 if "z" in axes else None)
        if name and (number := _number(size)):
            given[axis] = (number, name)
    fields = _sizes(path, given, axes)
    step = _number(metadata.get("finterval"))
    if step is None and (rate := _number(metadata.get("fps"))):
        step = 1 / rate
    if step and "t" in axes:
        time_unit = _unit(str(metadata.get("tunit", "s")), "time")
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
    unit = _RESOLUTION_UNITS.get(int(tags.valueof(296, default=2)), "")
    given: dict[str, tuple[float, str]] = {}
    for axis in "yx":
        size = _pixel(tags, axis)
        if unit and size and not _is_default(size, unit):
            given[axis] = (size, unit)
    return _sizes(path, given, axes)


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
    images = [child for child in root if _tag(child) == "Image"]
    if len(images) == count:
        return images[number]
    named = [image for image in images if image.get("Name") == name]
    return named[0] if len(named) == 1 else None


def first_image(root: ElementTree.Element) -> ElementTree.Element | None:
    """The first Image element, if any."""
    return next((child for child in root if _tag(child) == "Image"), None)


def files_of_set(root: ElementTree.Element) -> list[str]:
    """Names of the files that an OME-XML document lists for its planes."""
    names = [element.get("FileName") for element in root.iter() if _tag(element) == "UUID"]
    return list(dict.fromkeys(name for name in names if name))


def metadata_file(root: ElementTree.Element) -> str | None:
    """Name of the file with the metadata of the set, if this file is BinaryOnly; else None."""
    only = next((child for child in root if _tag(child) == "BinaryOnly"), None)
    return None if only is None else str(only.get("MetadataFile"))


def _sizes(path: str, given: dict[str, tuple[float, str]], axes: str) -> dict[str, Any]:
    """Voxel size and its unit, as fields of a source.

    ``given`` has the size and the unit along some of z, y and x; the others get that of another.
    """
    if not given:
        return {}
    unit = given.get("x", next(iter(given.values())))[1]
    known = {axis: size * units.factor(old, unit) for axis, (size, old) in given.items()}
    for axis in "xyz":
        if axis in known:
            continue
        known[axis] = known.get("x", next(iter(known.values())))
        if axis in axes:
            logger.warning(
                "%s: the voxel size along %s is unknown; it is set to %g, as along another axis; "
                "give voxel_size",
                path,
                axis,
                known[axis],
            )
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
    return _number(value[1] / value[0])


def _is_default(size: float, unit: str) -> bool:
    """Whether a pixel size is of a resolution that programs write by default."""
    dpi = 1 / (size * units.factor(unit, "inch"))
    return size == 1 or any(math.isclose(dpi, known, rel_tol=5e-3) for known in _DEFAULT_DPI)


def _unit(name: str, kind: str) -> str:
    """The UDUNITS name of a unit; "" if it is unknown."""
    if "\\u" in name:  # Java's escape of characters that are not ASCII.
        name = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), name)
    name = _UNITS.get(name, name)
    for candidate in (name, name.removesuffix("s")):
        try:
            return units.ome_unit(candidate, kind)
        except ValueError:
            continue
    return ""


def _number(value: Any) -> float | None:
    """A plausible length or duration, as a float; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if is_plausible(number) else None


def _tag(element: ElementTree.Element) -> str:
    """The name of an element without its namespace, which depends on the version of OME-XML."""
    return element.tag.rpartition("}")[2]
