"""The source of Zarr, OME-Zarr, NIfTI-Zarr and N5 stores."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from neurozarr import nifti
from neurozarr.axes import SPATIAL, STORED_ORDER
from neurozarr.errors import SourceError
from neurozarr.nifti.fit import COLOURS, level_header
from neurozarr.ome import reading
from neurozarr.ome.reading import Grid
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Member, Source
from neurozarr.sources.columns import check_axes
from neurozarr.sources.coordinates import describe, known_affine, of_axistags
from neurozarr.sources.damage import as_source_errors
from neurozarr.sources.display import colour, window
from neurozarr.sources.paths import is_address
from neurozarr.sources.zarr.images import (
    ImageLevel,
    damage_named,
    find,
    is_below_labels,
    labels_of,
    members,
    parents,
    with_image,
)
from neurozarr.sources.zarr.n5 import grid_of_n5
from neurozarr.sources.zarr.nodes import DOCUMENTS, Array, Node, Store, join
from neurozarr.zarr.documents import HEADER, Document

logger = logging.getLogger(__name__)

#: Default names of the axes, by their number.
_AXES = {2: "yx", 3: "zyx"}


@dataclass(frozen=True, kw_only=True, eq=False)
class ZarrSource(Source):
    """An array of a Zarr or N5 store, with the metadata of its group.

    The affine is known if the metadata give the anatomical orientation of all three axes, by an
    affine to anatomical coordinates (OME-Zarr 0.6) or by RFC-4. The translation is then also a part
    of it.

    Attributes
    ----------
    address
        File system path or URL of the array.
    array
        The array.
    """

    suffixes = (".ome.zarr", ".nii.zarr", ".zarr", ".n5")
    takes = ("axes", "dataset")

    address: str
    array: Array

    @classmethod
    def matches(cls, path: str) -> bool:
        path = path.rstrip("/")
        if is_address(path) or path.lower().endswith(cls.suffixes):
            return True
        documents = [os.path.join(path, name) for name in DOCUMENTS] if os.path.isdir(path) else []
        return any(os.path.exists(file) and not os.path.isdir(file) for file in documents)

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        with damage_named(path):
            return cls._open(path, layout)

    @classmethod
    def images(cls, path: str, layout: Layout) -> Sequence[Member]:
        with damage_named(path):
            return members(path)

    @classmethod
    def labels_of(cls, path: str, layout: Layout) -> Sequence[Member]:
        with damage_named(path):
            return labels_of(path, layout.dataset)

    @classmethod
    def _open(cls, path: str, layout: Layout) -> Self:
        store, node = find(path, layout.dataset)
        store, node, image_level = with_image(store, node)
        address, array = store.address(node.path), store.open(node)
        shape, ndim = array.shape, len(array.shape)
        if image_level is not None and layout.axes and not _fits(image_level, ndim):
            logger.warning("%s: the image has another number of axes, which are ignored", address)
            grid = Grid()
        elif image_level is not None:
            grid = grid_of_image(address, image_level.image, image_level.level, ndim)
        elif node.version == "n5":
            grid = grid_of_n5(store, node, ndim)
        else:
            grid = _grid_of_array(node, ndim)
        axes = layout.axes or grid.axes or _AXES.get(ndim)
        if axes is None:
            raise SourceError(
                f"{address}: the metadata do not name the axes of the array, of shape {shape}; "
                "give axes, such as tzyx"
            )
        check_axes(address, axes, shape)
        dtype = np.dtype(array.dtype).newbyteorder("=")
        fields = describe(address, axes, grid)
        image = node if image_level is None else image_level.group
        documents = [(node, node.files)]
        if node.version == "n5":
            documents += [(group, group.files) for group in parents(store, node)]
        if image_level is not None:
            documents.append((image_level.group, image_level.group.files))
            count = dict(zip(axes, shape, strict=True)).get("c", 1)
            fields |= _channels(address, image.attributes, count, dtype)
            header = store.node(join(image_level.group.path, HEADER))
            if header is not None and header.is_array:
                documents.append((header, _chunk_files(store, header)))
                fields |= _from_header(store, header, image_level, axes, shape)
        if (labels := _labels(store, image, dtype)) is not None:
            fields["labels"] = labels
        files = {store.address(join(at.path, name)) for at, names in documents for name in names}
        return cls(
            files=() if store.is_address else tuple(sorted(map(Path, files))),
            file_axes=axes,
            file_shape=shape,
            dtype=dtype,
            file_native_chunk_shape=array.chunks,
            address=address,
            array=array,
            **fields,
        )

    def read_file(self, region: Region) -> np.ndarray:
        return self.array.read(region)

    @property
    def _name(self) -> str:
        return self.address


def grid_of_image(address: str, image: Document, level: int, ndim: int) -> Grid:
    """Read the axes and coordinate transformations of a level of an OME-Zarr image.

    Parameters
    ----------
    address
        Path or URL of its array.
    image
        Multiscale metadata.
    level
        The level, 0 for the finest.
    ndim
        Number of dimensions of the array.

    Returns
    -------
    Grid
        Axes, units, scale and coordinates.

    Raises
    ------
    SourceError
        The metadata have another number of axes.
    """
    count = len(reading.axes_of(image, level))
    if count != ndim:
        raise SourceError(
            f"{address}: the image has {count} axes, but the array has {ndim} dimensions"
        )
    grid = reading.grid_of(image, level)
    if grid.unknown:
        logger.warning(
            "%s: transformations of type %s are not supported; the voxel size is ignored",
            address,
            grid.unknown,
        )
    return grid


def _fits(image_level: ImageLevel, ndim: int) -> bool:
    """Whether the metadata of an image have as many axes as its array."""
    return len(reading.axes_of(image_level.image, image_level.level)) == ndim


def _grid_of_array(node: Node, ndim: int) -> Grid:
    """Axes of an array that is not a level of an image, and what ilastik says of them."""
    names = node.document.get("dimension_names") or node.attributes.get("_ARRAY_DIMENSIONS")
    axes = reading.letters(names)
    tags = of_axistags(node.attributes, ndim)
    return tags if tags and axes in (None, tags.axes) else Grid(axes=axes)


def _labels(store: Store, image: Node, dtype: np.dtype[Any]) -> Document | None:
    """Details of the labels in an image or array; None if its voxels are not labels.

    They are labels if the metadata say so ("image-label"), or if they are integers below a group
    named "labels".
    """
    said = None if image.version == "n5" else reading.labels_of(image.attributes)
    if said is not None:
        return said if isinstance(said, dict) else {}
    return {} if dtype.kind in "biu" and is_below_labels(store, image.path) else None


def _channels(
    address: str, attributes: Document, count: int, dtype: np.dtype[Any]
) -> dict[str, tuple[Any, ...]]:
    """Names, colours, windows and states of the channels, as fields of a source.

    The metadata may describe only the first channels. If they describe too many, it is not known
    which they mean.
    """
    channels = reading.channels_of(attributes)
    if len(channels) > count:
        logger.warning(
            "%s: it has %d channels, but the metadata describe %d; these are ignored",
            address,
            count,
            len(channels),
        )
        return {}
    channels = [*channels, *({} for _ in range(count - len(channels)))]
    windows = [channel.get("window") or {} for channel in channels]
    fields: dict[str, tuple[Any, ...]] = {
        "channel_names": tuple(str(channel.get("label") or "") for channel in channels),
        "channel_colors": tuple(colour(channel.get("color")) for channel in channels),
        "channel_windows": tuple(
            window(said.get("start"), said.get("end"), dtype) for said in windows
        ),
    }
    fields = {name: values for name, values in fields.items() if any(values)}
    active = [channel.get("active") for channel in channels]
    if any(isinstance(state, bool) for state in active):
        fields["channel_active"] = tuple(state is not False for state in active)
    return fields


def _from_header(
    store: Store, node: Node, image_level: ImageLevel, axes: str, shape: Sequence[int]
) -> dict[str, Any]:
    """Header, affine, scale factors and labels of a level, as fields of a source.

    They come from the NIfTI header of the image (NIfTI-Zarr 1.0.rc1, section 2.4), the array
    ``node``, adapted to the level.
    """
    address = store.address(node.path)
    array = store.open(node)
    with as_source_errors(address, "the NIfTI header cannot be read"):
        raw = array.read(tuple(slice(0, length) for length in array.shape)).tobytes()
        nifti.header_type(raw)
    placed = reading.placement(image_level.image, image_level.level, axes)
    if placed is None:
        return {}
    scale, shift = placed
    lengths = dict(zip(axes, shape, strict=True))
    stored = [axis for axis in STORED_ORDER if axis in axes or axis in SPATIAL]
    raw = level_header(
        raw,
        axes="".join(stored),
        shape=[lengths.get(axis, 1) for axis in stored],
        scale=scale,
        shift=shift,
        changed=node.attributes.get(COLOURS),
    )
    header = nifti.load(raw)
    fields: dict[str, Any] = {"nifti_header": raw}
    try:
        with np.errstate(all="ignore"):
            slope, inter = header.get_slope_inter()
            fields["affine"] = known_affine(np.asarray(header.get_best_affine(), float))
    except ValueError as error:
        raise SourceError(f"{address}: the NIfTI header is damaged ({error})") from None
    fields["slope"] = 1.0 if slope is None else float(slope)
    fields["inter"] = 0.0 if inter is None else float(inter)
    fields["labels"] = {} if nifti.has_labels(raw) else None
    return fields


def _chunk_files(store: Store, node: Node) -> tuple[str, ...]:
    """Names of all files of a small array, chunks included; empty at a URL."""
    root = Path(store.address(node.path))
    if store.is_address:
        return ()
    return tuple(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())
