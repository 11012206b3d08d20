"""Voxel size, time step and channels of TIFF files in the words of microscopes and scanners."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import numpy as np

from neurozarr import units
from neurozarr.sources.extras import library
from neurozarr.sources.tiff.metadata import Sizes, number, resolution, sizes, unit_of

#: Kinds of series of whole-slide images, in which the first image is the slide, and the others are
#: its thumbnail, its label and an overview of the glass; and LSM, whose other image is a thumbnail.
SLIDES = ("svs", "ndpi", "bif", "qpi", "philips", "indica", "avs", "lsm")

#: Tag with the XML of PerkinElmer Opera.
_FLEX = 65200
#: Tag with the metadata of an image of Olympus SIS.
_SIS = 33560
#: Tag with the metadata of a plane of Micro-Manager.
_MICROMANAGER = 51123
#: Name of the file that lists the planes of an NDTiff data set.
_NDTIFF_INDEX = "NDTiff.index"


def describe_vendor(path: str, file: Any, image: Any, axes: str, channels: int) -> dict[str, Any]:
    """Read the metadata of a file that a microscope or a scanner has written.

    They are those of its first page, and do not hold for images that start at another one, such as
    thumbnails; of a Leica SCN or an Olympus SIS file, those of the image.

    Parameters
    ----------
    path
        The file, for warnings.
    file
        The TiffFile.
    image
        The TiffPageSeries.
    axes
        Names of the axes of the source.
    channels
        Number of its channels.

    Returns
    -------
    dict[str, Any]
        Fields of a source; none if the file is of no vendor, or does not give the voxel size.
    """
    if image.kind == "scn":
        return sizes(path, _scn(file.scn_metadata, image), axes)
    if isinstance(own := image.keyframe.tags.valueof(_SIS), dict):
        return sizes(path, _sis(own), axes)
    if image.keyframe.index != file.pages.first.index:
        return {}
    flag = "flex" if _FLEX in file.pages.first.tags else ""
    flag = next((name for name in _READERS if getattr(file, f"is_{name}", False)), flag)
    if not flag:
        return {}
    fields = sizes(path, _READERS[flag](file), axes)
    if flag == "lsm":
        fields |= _lsm_times_and_channels(file.lsm_metadata, axes, channels)
    if flag == "stk" and "t" in axes and (step := _stk_step(file.stk_metadata)):
        fields |= {"time_step": step, "time_unit": "millisecond"}
    if image.kind == "ndtiff":
        fields |= _ndtiff_channels(file, channels)
    if flag == "qpi" and channels == len(image.pages):
        names = tuple(_qpi_name(page.description) for page in image.pages)
        fields |= {"channel_names": names} if any(names) else {}
    return fields


def _meters(along: dict[str, Any]) -> Sizes:
    """Sizes in meters, in micrometers."""
    known = {axis: number(size) for axis, size in along.items()}
    return {axis: (size * 1e6, "micrometer") for axis, size in known.items() if size}


def _square(size: Any, unit: str) -> Sizes:
    """A size along y and x."""
    known = number(size)
    return dict.fromkeys("yx", (known, unit)) if known else {}


def _svs(file: Any) -> Sizes:
    """Aperio: micrometers per pixel (MPP), in ImageDescription."""
    found = re.search(r"\|\s*MPP\s*=\s*([0-9.eE+-]+)", file.pages.first.description)
    return _square(found and found[1], "micrometer")


def _bif(file: Any) -> Sizes:
    """Ventana: ScanRes of iScan in the XMP packet, in micrometers."""
    found = re.search(rb'<iScan[^>]* ScanRes="([^"]+)"', _bytes(file.pages.first, 700))
    return _square(found and found[1].decode("latin-1"), "micrometer")


def _flex(file: Any) -> Sizes:
    """PerkinElmer Opera: ImageResolutionX and Y in the XML of a tag, in meters."""
    found = re.findall(
        rb"<ImageResolution([XY])[^>]*>\s*([^<\s]+)", _bytes(file.pages.first, _FLEX)
    )
    return _meters({axis.decode().lower(): size.decode("latin-1") for axis, size in found[::-1]})


def _philips(file: Any) -> Sizes:
    """Philips: DICOM_PIXEL_SPACING of the first level, along y and x, in millimeters."""
    root = ElementTree.fromstring(file.philips_metadata)
    for element in root.iter("Attribute"):
        if element.get("Name") == "DICOM_PIXEL_SPACING" and element.text:
            spacing = map(number, element.text.replace('"', "").split())
            return {axis: (s, "millimeter") for axis, s in zip("yx", spacing, strict=False) if s}
    return {}


def _scn(xml: str, image: Any) -> Sizes:
    """Leica: size of the view of an image, in nanometers, and of its pixels at full resolution."""
    lengths = dict(zip(image.get_axes(squeeze=False), image.get_shape(squeeze=False), strict=True))
    for element in ElementTree.fromstring(xml).iter():
        if not element.tag.endswith("}image") or element.get("name") != image.name:
            continue
        parts = {child.tag.rpartition("}")[2]: child.attrib for child in element}
        pixels, view = parts.get("pixels", {}), parts.get("view", {})
        if [int(pixels.get(f"size{axis}", 0)) for axis in "XY"] == [lengths["X"], lengths["Y"]]:
            along = {axis: number(view.get(f"size{axis.upper()}")) or 0.0 for axis in "yx"}
            return _meters({axis: s * 1e-9 / lengths[axis.upper()] for axis, s in along.items()})
    return {}


def _lsm(file: Any) -> Sizes:
    """Zeiss LSM: VoxelSizeX, Y and Z, in meters; that of a single plane along z is no thickness."""
    known = file.lsm_metadata
    axes = "zyx" if known["DimensionZ"] > 1 else "yx"
    return _meters({axis: known[f"VoxelSize{axis.upper()}"] for axis in axes})


def _lsm_times_and_channels(lsm: dict[str, Any], axes: str, channels: int) -> dict[str, Any]:
    """The time step, and names and colours of channels, of a Zeiss LSM file."""
    fields: dict[str, Any] = {}
    if "t" in axes and (step := number(lsm.get("TimeIntervall"))):
        fields |= {"time_step": step, "time_unit": "second"}
    known = lsm.get("ChannelColors", {})
    names, colors = known.get("ColorNames", ()), known.get("Colors", ())
    if len(names) == channels:
        fields["channel_names"] = tuple(map(str, names))
    if len(colors) == channels:
        fields["channel_colors"] = tuple(
            "".join(f"{int(value) & 255:02X}" for value in color[:3]) for color in colors
        )
    return fields


def _stk(file: Any) -> Sizes:
    """MetaMorph: the calibration, and the distance of planes, which is in the same unit."""
    stk = file.stk_metadata
    if not stk.get("SpatialCalibration"):
        return {}
    unit = unit_of(str(stk.get("CalibrationUnits", "")), "space")
    given = {axis: stk.get(f"{axis.upper()}Calibration") for axis in "yx"}
    distances = np.unique(np.abs(np.atleast_1d(stk.get("ZDistance", 0.0))))
    if len(distances) == 1:
        given["z"] = distances[0]
    return {axis: (size, unit) for axis, value in given.items() if (size := number(value))}


def _stk_step(stk: dict[str, Any]) -> float | None:
    """Mean time between planes of a MetaMorph file, in milliseconds."""
    times = np.atleast_1d(stk.get("TimeCreated", 0)).astype(float)
    return number((times[-1] - times[0]) / (len(times) - 1)) if len(times) > 1 else None


def _fluoview(file: Any) -> Sizes:
    """Olympus FluoView: resolution and unit of each dimension."""
    given = {}
    for name, _, _, step, unit in file.fluoview_metadata.get("Dimensions", ()):
        if name.lower() in ("x", "y", "z") and (size := number(step)):
            given[name.lower()] = (size, unit_of(str(unit), "space"))
    return given


def _metaseries(file: Any) -> Sizes:
    """Molecular Devices: spatial calibration of a plane."""
    plane = file.metaseries_metadata.get("PlaneInfo", {})
    if not plane.get("spatial-calibration-state"):
        return {}
    unit = unit_of(str(plane.get("spatial-calibration-units", "")), "space")
    found = {axis: number(plane.get(f"spatial-calibration-{axis}")) for axis in "yx"}
    return {axis: (size, unit) for axis, size in found.items() if size}


def _fei(file: Any) -> Sizes:
    """FEI and Thermo Fisher: pixel width and height of the scan, in meters."""
    known = file.fei_metadata
    for name in ("Scan", "EScan", "IScan"):
        if section := known.get(name):
            return _meters({"y": section.get("PixelHeight"), "x": section.get("PixelWidth")})
    return {}


def _sem(file: Any) -> Sizes:
    """Zeiss SEM: size of a pixel of the image."""
    for name in ("ap_image_pixel_size", "ap_pixel_size"):
        _, size, unit = (*file.sem_metadata.get(name, ()), "", "", "")[:3]
        if known := unit_of(str(unit), "space"):
            return _square(size, known)
    return {}


def _tvips(file: Any) -> Sizes:
    """TVIPS: distance of pixels, in nanometers."""
    found = {axis: number(file.tvips_metadata.get(f"PixelSize{axis.upper()}")) for axis in "yx"}
    return {axis: (size, "nanometer") for axis, size in found.items() if size}


def _sis(known: dict[str, Any]) -> Sizes:
    """Olympus SIS: size of a pixel, in meters."""
    return _meters({axis: known.get(f"pixelsize{axis}") for axis in "yx"})


def _micromanager(file: Any) -> Sizes:
    """Micro-Manager without OME-XML, NDTiff among it: sizes of a pixel and of a step in z."""
    summary = file.micromanager_metadata.get("Summary", {})
    plane = file.pages.first.tags.valueof(_MICROMANAGER)
    plane = plane if isinstance(plane, dict) else {}
    size = summary.get("PixelSize_um") or plane.get("PixelSizeUm")
    given = _square(size, "micrometer")
    # The sign of the step is the direction in which the focus moved.
    step = summary.get("z-step_um")
    if isinstance(step, int | float) and (known := number(abs(step))):
        given["z"] = (known, "micrometer")
    return given


def _ndtiff_channels(file: Any, channels: int) -> dict[str, Any]:
    """Names of the channels of an NDTiff data set, in the order in which its index has them."""
    index = os.path.join(file.filehandle.dirname, _NDTIFF_INDEX)
    tifffile = library("tifffile", "tiff", index)
    found = (entry[0].get("channel") for entry in tifffile.read_ndtiff_index(index))
    names = tuple(dict.fromkeys(name for name in found if isinstance(name, str)))
    return {"channel_names": names} if len(names) == channels else {}


def _tags(file: Any) -> Sizes:
    """Hamamatsu and PerkinElmer: the resolution in the tags, which people know in micrometers."""
    given = resolution(file.pages.first.tags).items()
    return {axis: (s * units.factor(unit, "micrometer"), "micrometer") for axis, (s, unit) in given}


#: Readers of the voxel size, by tifffile's flag of the kind of file.
_READERS: dict[str, Callable[[Any], Sizes]] = {
    "svs": _svs,
    "bif": _bif,
    "philips": _philips,
    "qpi": _tags,
    "ndpi": _tags,
    "lsm": _lsm,
    "stk": _stk,
    "fluoview": _fluoview,
    "metaseries": _metaseries,
    "fei": _fei,
    "sem": _sem,
    "tvips": _tvips,
    "micromanager": _micromanager,
    "flex": _flex,
}


def _qpi_name(xml: str) -> str:
    """The name of a channel of a PerkinElmer QPTIFF file; "" if it has none."""
    found = re.search(r"<Name>([^<]*)</Name>", xml)
    return html.unescape(found[1]).strip() if found else ""


def overlaps(file: Any) -> Iterator[float]:
    """The overlaps of neighbouring tiles of a Ventana slide, in pixels."""
    for page in file.pages:
        for found in re.findall(rb'Overlap[XY]="([^"]+)"', _bytes(page, 700)):
            yield number(found.decode("latin-1")) or 0.0


def _bytes(page: Any, code: int) -> bytes:
    value = page.tags.valueof(code, default=b"")
    return value.encode() if isinstance(value, str) else bytes(value)
