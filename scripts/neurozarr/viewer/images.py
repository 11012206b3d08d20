"""The images of stores, and what the viewer must know of them."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from neurozarr.axes import SPATIAL
from neurozarr.errors import SourceError
from neurozarr.nifti.header import affines
from neurozarr.ome import reading
from neurozarr.ome.labels import valid_details
from neurozarr.ome.placement import of_shapes
from neurozarr.ome.writing import channels
from neurozarr.regions import Region
from neurozarr.sources.base import Layout
from neurozarr.sources.damage import as_source_errors
from neurozarr.sources.paths import is_address
from neurozarr.sources.zarr.images import (
    damage_named,
    images,
    labels_of,
    level_of,
    multiscales_of,
    open_store,
)
from neurozarr.sources.zarr.nodes import Array, Node, Store
from neurozarr.sources.zarr.store import ZarrSource
from neurozarr.units import is_plausible
from neurozarr.viewer.documents import (
    array_document,
    decoded_document,
    image_document,
    names_document,
    viewer_dtype,
)
from neurozarr.voxels.windows import MAX_BYTES, PERCENTILES
from neurozarr.zarr.documents import Document

logger = logging.getLogger(__name__)

#: Maximum number of images that an error lists.
_MAX_LISTED = 20
#: With more channels, an image has one layer with a slider instead of a layer for each channel.
MAX_LAYERS = 16


@dataclass(frozen=True, kw_only=True)
class Channel:
    """How a channel is shown.

    Attributes
    ----------
    name
        Its name; "" if unknown.
    color
        Six hexadecimal digits.
    window
        Values that are drawn black and in full colour; None if unknown.
    active
        Whether it is shown at first.
    """

    name: str = ""
    color: str = "FFFFFF"
    window: tuple[float, float] | None = None
    active: bool = True


@dataclass(frozen=True, kw_only=True)
class Level:
    """A level of an image.

    Attributes
    ----------
    store, node
        The store, and the array in it.
    shape
        Shape, in voxels.
    document
        The document that the viewer reads.
    is_decoded
        Whether the document describes chunks that are made from those of the array.
    size, first
        Along each axis: distance of neighbouring voxels, and position of the first one, in voxels
        of level 0.
    """

    store: Store
    node: Node
    shape: tuple[int, ...]
    document: Document
    is_decoded: bool
    size: tuple[float, ...]
    first: tuple[float, ...]

    @cached_property
    def array(self) -> Array:
        """The open array."""
        return self.store.open(self.node)

    def read(self, region: Region) -> np.ndarray[Any, Any]:
        """Read a region of the array.

        Raises
        ------
        SourceError
            A chunk cannot be read or decoded.
        """
        with as_source_errors(self.store.address(self.node.path), "the voxels cannot be read"):
            return self.array.read(region)


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image, or labels, of a store.

    Attributes
    ----------
    name
        Name of the store, or of the labels.
    dtype
        Data type in the viewer.
    axes
        Letters of the axes, slowest first.
    shape
        Length of each axis at level 0.
    voxel_size
        Distance of neighbouring voxels along each axis; 1 if unknown.
    space_unit, time_unit
        UDUNITS names; "" if unknown.
    position
        Position of the centre of the first voxel along each axis.
    affine
        4 by 4 matrix from voxel indices (x, y, z) to RAS+ coordinates in ``space_unit``; None if
        the anatomical orientation of the axes is unknown.
    channels
        Of intensities: how each channel is shown.
    labels
        If the voxels are labels: their details, as in the "image-label" metadata; else None.
    levels
        The levels, finest first.
    """

    name: str
    dtype: np.dtype[Any]
    axes: str
    shape: tuple[int, ...]
    voxel_size: tuple[float, ...]
    space_unit: str = ""
    time_unit: str = ""
    position: tuple[float, ...] = ()
    affine: np.ndarray[Any, Any] | None = None
    channels: tuple[Channel, ...] = ()
    labels: Document | None = None
    levels: tuple[Level, ...] = ()

    @property
    def document(self) -> Document:
        """The document of the image that the viewer reads."""
        units = [{"t": self.time_unit, "c": ""}.get(axis, self.space_unit) for axis in self.axes]
        levels = [(level.size, level.first) for level in self.levels]
        return image_document(self.axes, units, self.voxel_size, levels)

    @property
    def has_slider(self) -> bool:
        """Whether its channels are too many to have a layer each."""
        return len(self.channels) > MAX_LAYERS

    @property
    def names(self) -> Document | None:
        """The document of the names of labels that the viewer reads; None if there are none."""
        return None if self.labels is None else names_document(self.labels)


def open_images(path: str) -> list[Image]:
    """Open the image of a store, and the labels beneath it, which follow it.

    Parameters
    ----------
    path
        Directory of an OME-Zarr image, or of a store that contains only one.

    Raises
    ------
    SourceError
        There is no such store, it has no image or several, or it cannot be shown.
    """
    if is_address(path):
        raise SourceError(f"{path}: a URL; only stores on this computer can be shown")
    if os.path.isfile(path):
        raise SourceError(f"{path}: a file, not a store; convert it first: neurozarr run {path}")
    with damage_named(path):
        image = _open(path, _name(path))
        found = [image]
        for member in labels_of(path, None):
            labels = _open(os.path.join(path, member.dataset), member.name)
            found.append(replace(labels, labels=labels.labels or {}))
        return found


def with_units(images: Sequence[Image]) -> list[Image]:
    """Images whose unknown units are those of the first one that has a unit.

    The viewer shows images together only if all have units, or none has.
    """
    space = next((image.space_unit for image in images if image.space_unit), "")
    time = next((image.time_unit for image in images if image.time_unit), "")
    return [
        replace(
            image,
            space_unit=image.space_unit or space,
            time_unit=image.time_unit or time,
        )
        for image in images
    ]


def _open(path: str, name: str) -> Image:
    store, group = _image_group(path)
    image = reading.image_of(group.attributes)
    address = store.address(group.path)
    source = ZarrSource.open(address, Layout())
    is_labels = source.labels is not None
    axes = source.file_axes
    nodes = [level_of(store, group, image, level) for level in reading.levels_of(image)]
    for node in nodes:
        _check_inside(path, store.address(node.path))
    try:
        levels = _levels(store, image, nodes, axes, labels=is_labels)
    except TypeError as error:
        raise SourceError(f"{address}: {error}") from None
    spatial = dict(zip(SPATIAL, source.voxel_size or (1.0,) * 3, strict=True))
    voxel_size = tuple(spatial.get(axis, 1.0) for axis in axes)
    if "t" in axes and source.time_step:
        voxel_size = tuple(
            source.time_step if axis == "t" else size
            for axis, size in zip(axes, voxel_size, strict=True)
        )
    start = dict(zip(SPATIAL, source.position or (0.0,) * 3, strict=True))
    return Image(
        name=name,
        dtype=np.dtype(levels[0].document["data_type"]),
        axes=axes,
        shape=levels[0].shape,
        voxel_size=voxel_size,
        space_unit=source.space_unit,
        time_unit=source.time_unit,
        position=tuple(start.get(axis, 0.0) for axis in axes),
        affine=_known_affine(source),
        channels=() if is_labels else tuple(_channels(source, levels[-1])),
        labels=None if source.labels is None else valid_details(source.labels),
        levels=levels,
    )


def _image_group(path: str) -> tuple[Store, Node]:
    """The store at a path, and the group of its only image."""
    store = open_store(path)
    found = list(islice(images(store, ""), _MAX_LISTED + 1))
    groups = [node for name in found if (node := store.node(name)) and multiscales_of(node)]
    if not groups:
        raise SourceError(f"{path}: it contains no OME-Zarr image; convert it first")
    if len(groups) > 1:
        paths = [store.address(group.path) for group in groups[:_MAX_LISTED]]
        more = ", ..." if len(groups) > _MAX_LISTED else ""
        raise SourceError(f"{path}: several images; give those to show: {', '.join(paths)}{more}")
    return store, groups[0]


def _levels(
    store: Store, image: Document, nodes: Sequence[Node], axes: str, *, labels: bool
) -> tuple[Level, ...]:
    """The levels of an image, finest first, from their arrays."""
    shapes = [node.document["shape"] for node in nodes]
    found = []
    for number, (node, guess) in enumerate(
        zip(nodes, of_shapes(shapes, ["edge"] * len(axes)), strict=True)
    ):
        size, first = guess
        placed = reading.placement(image, number, axes)
        if (
            placed is not None
            and all(map(is_plausible, placed[0]))
            and np.isfinite(placed[1]).all()
        ):
            known = dict(zip(SPATIAL, zip(*placed, strict=True), strict=True))
            size, first = zip(*(known.get(axis, (1.0, 0.0)) for axis in axes), strict=True)
        document = array_document(node.document, labels=labels)
        is_decoded = document is None
        if document is None:
            array = store.open(node)
            dtype = viewer_dtype(np.dtype(array.dtype), labels=labels)
            document = decoded_document(array.shape, array.chunks, dtype)
        level = Level(
            store=store,
            node=node,
            shape=tuple(document["shape"]),
            document=document,
            is_decoded=is_decoded,
            size=size,
            first=first,
        )
        found.append(level)
    return tuple(found)


def _known_affine(source: ZarrSource) -> np.ndarray[Any, Any] | None:
    """The affine of an image of three dimensions, if its anatomical orientation is known."""
    if source.affine is None or not set(SPATIAL) <= set(source.file_axes):
        return None
    header = source.nifti_header
    return source.affine if header is None or affines(header) else None


def _channels(source: ZarrSource, coarsest: Level) -> list[Channel]:
    """How each channel is shown.

    A colour that the metadata lack is the one that a conversion would give; a window is taken from
    the voxels, unless the channel has no layer of its own.
    """
    axes = source.file_axes
    count = coarsest.shape[axes.index("c")] if "c" in axes else 1
    described = channels(
        count,
        names=source.channel_names,
        colors=source.channel_colors,
        active=source.channel_active,
    )
    windows = source.channel_windows or (None,) * count
    found = []
    for number, (about, window) in enumerate(zip(described, windows, strict=True)):
        if window is None and (number == 0 or count <= MAX_LAYERS):
            window = _window(coarsest, axes, number)
        found.append(
            Channel(
                name=about.get("label", ""),
                color=about["color"],
                window=window,
                active=about["active"],
            )
        )
    return found


def _window(coarsest: Level, axes: str, channel: int) -> tuple[float, float] | None:
    """The window of a channel, from its finite values in the coarsest level.

    Of a time series, only the middle volume is read; of a volume of more than `MAX_BYTES`, only
    the chunk in its middle. The window is None if this has only one value, or is too large, too.
    """
    array = coarsest.array
    middle = {"c": channel} | {
        axis: length // 2 for axis, length in zip(axes, coarsest.shape, strict=True) if axis != "c"
    }
    sides = [slice(middle[axis], middle[axis] + 1) for axis in axes]
    whole, chunk = list(sides), list(sides)
    for number, (axis, length, size) in enumerate(
        zip(axes, coarsest.shape, array.chunks, strict=True)
    ):
        if axis in SPATIAL:
            before = middle[axis] // size * size
            whole[number] = slice(0, length)
            chunk[number] = slice(before, min(before + size, length))
    itemsize = np.dtype(array.dtype).itemsize
    is_small = _count(whole) * itemsize <= MAX_BYTES
    if not is_small and _count(chunk) * itemsize > MAX_BYTES:
        return None
    try:
        voxels = np.asarray(coarsest.read(tuple(whole if is_small else chunk)), np.float64)
    except SourceError as error:  # Other chunks may be intact.
        logger.warning("%s; its contrast is not set", error)
        return None
    finite = voxels[np.isfinite(voxels)]
    if not finite.size:
        return None
    # Between two values, there may be none that is finite.
    start, end = map(float, np.percentile(finite, PERCENTILES, method="nearest"))
    if start >= end:
        start, end = float(finite.min()), float(finite.max())
    if start < end:
        return start, end
    # A volume of one value is white if this is positive, and otherwise black.
    return (min(start, 0.0), max(end, 0.0) or 1.0) if is_small else None


def _count(region: Sequence[slice]) -> int:
    """Number of voxels of a region."""
    return math.prod(side.stop - side.start for side in region)


def _check_inside(path: str, array: str) -> None:
    """Check that the directory of an array is in the store: the server sends nothing else."""
    real, root = os.path.realpath(array), os.path.realpath(path)
    if os.path.commonpath([real, root]) != root:
        raise SourceError(f"{array}: a link to {real}, outside the store; copy it into the store")


def _name(path: str) -> str:
    """Name of a store, without its ending."""
    name = os.path.basename(os.path.abspath(path))
    return re.sub(r"(\.ome|\.nii)?\.zarr$", "", name, flags=re.IGNORECASE) or path
