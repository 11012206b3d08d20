"""The state of the viewer, which the page of Neuroglancer reads: pure functions.

The format is that of Neuroglancer's JSON state (its documentation, "Viewer JSON schema").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurozarr.axes import SPATIAL
from neurozarr.units import factor
from neurozarr.viewer.images import Channel, Image
from neurozarr.zarr.documents import Document

#: Orientations of the panels of an image whose anatomy is known: quaternions (x, y, z, w) that turn
#: what is right, down and away on the screen to directions in RAS+. Right of the subject is right
#: on the screen, or anterior is in the sagittal panel; superior (or anterior) is up.
_HALF = math.sqrt(0.5)
ORIENTATIONS = {
    "axial": (1.0, 0.0, 0.0, 0.0),
    "coronal": (-_HALF, 0.0, 0.0, _HALF),
    "sagittal": (-0.5, -0.5, 0.5, 0.5),
}
#: The subject seen from behind, so that left is left, from the right and from above.
_FROM_BEHIND = (-0.834, -0.231, 0.134, 0.484)
#: Side of a panel for which the whole image is in view, in pixels.
_PANEL = 330
#: Width of the list of layers, in pixels.
_LIST = 200
_SHADER = "#uicontrol invlerp normalized\n"
_GREY = f"{_SHADER}void main() {{ emitGrayscale(normalized()); }}\n"
_COLOR = f"{_SHADER}#uicontrol vec3 color color\nvoid main() {{ emitRGB(color * normalized()); }}\n"


def viewer_state(images: Sequence[Image], addresses: Sequence[str], *, title: str) -> Document:
    """The state in which the viewer shows images.

    Images are where their affines place them, in RAS+ coordinates; those without one are where
    their voxel sizes and positions do. All have units, or none has (see `with_units`).

    Parameters
    ----------
    images
        The images, and labels, in the order of the layers.
    addresses
        For each, the URL of the group that has its document.
    title
        Title of the page.
    """
    spaces = _Spaces(images)
    layers = [
        layer
        for image, address in zip(images, addresses, strict=True)
        for layer in _layers(image, address, spaces, alone=len(images) == 1)
    ]
    _make_unique(layers)
    corners = np.concatenate([spaces.corners(image) for image in images])
    extent = np.ptp(corners, axis=0).max()
    names = [layer["name"] for layer in layers]
    depths = [dict(zip(image.axes, image.shape, strict=True)).get("z", 1) for image in images]
    state: Document = {
        "title": title,
        "dimensions": spaces.dimensions,
        "position": spaces.center(images[0]),
        "crossSectionScale": float(extent / _PANEL),
        "projectionScale": float(extent * 1.1),
        "layers": layers,
        "layerListPanel": {"visible": len(layers) > 1, "size": _LIST},
        "showAxisLines": True,
        "showScaleBar": True,
        "showDefaultAnnotations": False,
        "crossSectionBackgroundColor": "#000000",
        "hideCrossSectionBackground3D": True,
        "layout": "xy" if max(depths) == 1 else "4panel",
    }
    if spaces.is_anatomical:
        state |= {"projectionOrientation": _FROM_BEHIND, "layout": _anatomical_layout(names)}
    return state


class _Spaces:
    """Coordinates of the viewer, and where images are in them.

    Attributes
    ----------
    is_anatomical
        Whether the coordinates are RAS+.
    dimensions
        For each coordinate: the length of 1 in SI units, and the unit.
    """

    def __init__(self, images: Sequence[Image]) -> None:
        self.is_anatomical = any(image.affine is not None for image in images)
        smallest = min(
            size * _meters(image)
            for image in images
            for axis, size in zip(image.axes, image.voxel_size, strict=True)
            if axis in SPATIAL
        )
        #: Coordinates can be read off as lengths, and a step is not many voxels.
        self._step = 10.0 ** math.floor(math.log10(1.25 * smallest))
        used = {axis for image in images for axis in image.axes}
        unit = "m" if images[0].space_unit else ""
        self.dimensions: dict[str, list[Any]] = {
            axis: [self._step, unit] for axis in "xyz" if axis in used
        }
        times = [image for image in images if "t" in image.axes]
        if times:
            size = times[0].voxel_size[times[0].axes.index("t")]
            unit = times[0].time_unit
            self.dimensions["t"] = [size * factor(unit, "second"), "s" if unit else ""]
        if any(image.has_slider for image in images):
            self.dimensions["c"] = [1, ""]

    def transform(self, image: Image) -> Document:
        """The transformation from voxels of level 0 to the coordinates."""
        affine = self._affine(image)
        # The coordinate of a layer alone, and not of all, has a name that ends so.
        channel = "c" if image.has_slider else "c'"
        names = [channel if axis == "c" else axis for axis in image.axes]
        rows = []
        for axis in image.axes:
            row = [float(axis == other) for other in image.axes] + [0.0]
            if axis in SPATIAL:
                of = affine["xyz".index(axis)]
                row = [
                    # Neuroglancer multiplies by the voxel size.
                    of["xyz".index(other)] / length * self._step if other in SPATIAL else 0.0
                    for other, length in zip(image.axes, self._lengths(image), strict=True)
                ]
                row.append(of[3])
            rows.append(list(map(float, row)))
        outputs = {name: self.dimensions.get(name, [1, ""]) for name in names}
        return {"outputDimensions": outputs, "matrix": rows}

    def corners(self, image: Image) -> np.ndarray[Any, Any]:
        """Coordinates x, y and z of the corners of an image."""
        lengths = dict(zip(image.axes, image.shape, strict=True))
        ends = np.array([lengths.get(axis, 1) for axis in "xyz"])
        indices = np.array(list(np.ndindex(2, 2, 2))) * ends - 0.5
        affine = self._affine(image)
        return indices @ affine[:3, :3].T + affine[:3, 3]

    def center(self, image: Image) -> list[float]:
        """Coordinates of the voxel in the middle of an image, at its first time."""
        lengths = dict(zip(image.axes, image.shape, strict=True))
        index = [lengths.get(axis, 1) // 2 for axis in "xyz"]
        point = dict(zip("xyz", self._affine(image) @ [*index, 1], strict=False))
        return [float(point.get(name, 0.0)) for name in self.dimensions]

    def _affine(self, image: Image) -> np.ndarray[Any, Any]:
        """The 4 by 4 matrix from voxel indices (x, y, z) to the coordinates."""
        affine = np.eye(4)
        if image.affine is not None:
            affine = np.array(image.affine, np.float64)
        else:
            for row, axis in enumerate("xyz"):
                if axis in image.axes:
                    at = image.axes.index(axis)
                    affine[row, row] = image.voxel_size[at]
                    affine[row, 3] = image.position[at] if image.position else 0.0
        affine[:3] *= _meters(image) / self._step
        return affine

    def _lengths(self, image: Image) -> list[float]:
        """Distance of neighbouring voxels along each axis, in meters or seconds."""
        return [
            size * (_meters(image) if axis in SPATIAL else 1.0)
            for axis, size in zip(image.axes, image.voxel_size, strict=True)
        ]


def _meters(image: Image) -> float:
    """Length of the unit of an image, in meters; 1 if it has none."""
    return factor(image.space_unit, "meter")


def _layers(image: Image, address: str, spaces: _Spaces, *, alone: bool) -> list[Document]:
    """The layers of an image: one of labels, or one for each channel.

    Those of channels are named after these and, unless it is ``alone``, after the image.
    """
    source = {"url": f"{address}|zarr3:", "transform": spaces.transform(image)}
    common: Document = {"source": source, "name": image.name}
    if image.labels is not None:
        named = {"url": f"{address}names/|neuroglancer-precomputed:"}
        both = {"source": [source, named]} if image.names else {}
        return [common | both | _segmentation(image.labels)]
    channels = image.channels
    is_single = len(channels) == 1 or image.has_slider
    layers = []
    for number, channel in enumerate(channels[: 1 if is_single else None]):
        color = None if is_single else channel.color
        layer = common | _intensities(channel, color, image.dtype)
        if not is_single:
            label = channel.name or str(number)
            layer["name"] = label if alone and channel.name else f"{image.name} {label}"
        if "c" in image.axes and not image.has_slider:
            layer |= {"localDimensions": {"c'": [1, ""]}, "localPosition": [number]}
        layers.append(layer)
    return layers


def _intensities(channel: Channel, color: str | None, dtype: np.dtype[Any]) -> Document:
    """How an image layer shows a channel: in grey, or added to others in a colour."""
    controls: Document = {}
    if channel.window is not None:
        controls["normalized"] = {"range": _range(channel.window, dtype)}
    if color is not None:
        controls["color"] = f"#{color.lower()}"
    layer: Document = {
        "type": "image",
        "shader": _GREY if color is None else _COLOR,
        "shaderControls": controls,
        "opacity": 1,
        "blend": "default" if color is None else "additive",
    }
    return layer if channel.active else layer | {"visible": False}


def _range(window: tuple[float, float], dtype: np.dtype[Any]) -> list[float | str]:
    """A window as Neuroglancer takes it: of integers, two different ones of the data type."""
    if dtype.kind == "f":
        return list(window)
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    start = min(max(math.floor(window[0]), least), most - 1)
    end = min(max(math.ceil(window[1]), start + 1), most)
    # Numbers of JSON have 53 bits.
    return [str(start), str(end)] if dtype.itemsize == 8 else [start, end]


def _segmentation(labels: Document) -> Document:
    """How a segmentation layer shows labels: half transparent, in their own colours."""
    colors = {
        str(entry["label-value"]): "#{:02x}{:02x}{:02x}".format(*entry["rgba"][:3])
        for entry in labels.get("colors", [])
        if "rgba" in entry
    }
    return {
        "type": "segmentation",
        "selectedAlpha": 0.4,
        "notSelectedAlpha": 0.15,
    } | ({"segmentColors": colors} if colors else {})


def _make_unique(layers: Sequence[Document]) -> None:
    """Give layers of the same name different ones."""
    seen: set[str] = set()
    for layer in layers:
        name, number = layer["name"], 2
        while layer["name"] in seen:
            layer["name"] = f"{name} ({number})"
            number += 1
        seen.add(layer["name"])


def _anatomical_layout(layers: Sequence[str]) -> Document:
    """Axial, coronal and sagittal panels, and one of all three planes."""

    def panel(layout: Any, orientation: Sequence[float] | None = None) -> Document:
        found = {"type": "viewer", "layers": list(layers), "layout": layout}
        if orientation is None:
            return found
        link = {"link": "unlinked", "value": list(orientation)}
        return found | {"crossSectionOrientation": link}

    planes = {
        name: {"width": 2 * _PANEL, "height": 2 * _PANEL}
        | {"orientation": {"link": "unlinked", "value": list(orientation)}}
        for name, orientation in ORIENTATIONS.items()
    }
    axial, coronal, sagittal = (panel("xy", turn) for turn in ORIENTATIONS.values())
    rows = [[axial, coronal], [sagittal, panel({"type": "3d", "crossSections": planes})]]
    return {"type": "column", "children": [{"type": "row", "children": row} for row in rows]}
