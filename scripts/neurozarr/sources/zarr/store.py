"""The source of Zarr, OME-Zarr, NIfTI-Zarr and N5 stores."""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from neurozarr import nifti, units
from neurozarr.axes import RAS, SPATIAL, STORED_ORDER
from neurozarr.errors import SourceError
from neurozarr.nifti.fit import COLOURS, level_header
from neurozarr.ome import reading
from neurozarr.ome.reading import Grid
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Member, Source, as_source_errors, check_axes
from neurozarr.sources.paths import is_address
from neurozarr.sources.zarr.nodes import DOCUMENTS, Array, Node, Store, is_below, join
from neurozarr.units import MAX_LENGTH, is_plausible
from neurozarr.zarr.documents import HEADER, LABELS, Document

logger = logging.getLogger(__name__)

#: Default names of the axes, by their number.
_AXES = {2: "yx", 3: "zyx"}
#: Maximum number of images that an error lists.
_MAX_LISTED = 20
#: Maximum depth of nested groups.
_MAX_DEPTH = 64
#: Errors caused by invalid metadata.
_DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
#: RAS+ coordinate and sign of each orientation of RFC-4.
RFC4_TO_RAS = {value: ("xyz".index(axis), 1) for axis, value in RAS.items()} | {
    "-to-".join(reversed(value.split("-to-"))): ("xyz".index(axis), -1)
    for axis, value in RAS.items()
}


@dataclass(frozen=True, kw_only=True)
class ImageLevel:
    """The group and the metadata of an OME-Zarr image, and the level that an array is of it."""

    group: Node
    image: Document
    level: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ZarrSource(Source):
    """An array of a Zarr or N5 store, with the metadata of its group.

    The affine is known if the metadata give the anatomical orientation of all three axes, by an
    affine to anatomical coordinates (OME-Zarr 0.6) or by RFC-4. The translation is then a part of
    it; otherwise the translation is lost.

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
    def _open(cls, path: str, layout: Layout) -> Self:
        store, node = _find(path, layout.dataset)
        store, node, image_level = _with_image(store, node)
        address, array = store.address(node.path), store.open(node)
        shape, ndim = array.shape, len(array.shape)
        if image_level is not None:
            grid = grid_of_image(address, image_level.image, image_level.level, ndim)
        elif node.version == "n5":
            grid = _grid_of_n5(store, node, ndim)
        else:
            names = node.document.get("dimension_names") or node.attributes.get("_ARRAY_DIMENSIONS")
            grid = Grid(axes=reading.letters(names))
        axes = layout.axes or grid.axes or _AXES.get(ndim)
        if axes is None:
            raise SourceError(
                f"{address}: the metadata do not name the axes of the array, of shape {shape}; "
                "give axes, such as tzyx"
            )
        check_axes(address, axes, shape)
        fields = _describe(address, axes, grid)
        documents = [(node, node.files)]
        if node.version == "n5":
            documents += [(group, group.files) for group in _parents(store, node)]
        if image_level is not None:
            documents.append((image_level.group, image_level.group.files))
            fields |= _channels(image_level.group, dict(zip(axes, shape, strict=True)).get("c", 1))
            header = store.node(join(image_level.group.path, HEADER))
            if header is not None and header.is_array:
                documents.append((header, _chunk_files(store, header)))
                fields |= _from_header(store, header, image_level, axes, shape)
        files = {store.address(join(at.path, name)) for at, names in documents for name in names}
        return cls(
            files=() if store.is_address else tuple(sorted(map(Path, files))),
            file_axes=axes,
            file_shape=shape,
            dtype=np.dtype(array.dtype).newbyteorder("="),
            file_native_chunk_shape=array.chunks,
            address=address,
            array=array,
            **fields,
        )

    @classmethod
    def labels_of(cls, path: str, layout: Layout) -> Sequence[Member]:
        with damage_named(path):
            store, array = _find(path, layout.dataset)
            asked, found = (layout.dataset or "").strip("/"), _image_level(store, array)
            if found is None or asked == array.path:
                return ()
            group = store.node(join(found.group.path, LABELS))
            names = [] if group is None else reading.members_of(group.attributes) or []
            labels = []
            for name in names:
                label = store.node(join(found.group.path, f"{LABELS}/{name}"))
                if not is_below(name) or label is None or not _multiscales(label):
                    logger.warning("%s: its list of labels names %r, which is none", path, name)
                    continue
                labels.append(Member(dataset=label.path, name=name))
            return labels

    def read_file(self, region: Region) -> np.ndarray:
        return self.array.read(region)

    @property
    def _name(self) -> str:
        return self.address


@contextmanager
def damage_named(path: str) -> Iterator[None]:
    """Turn errors caused by invalid metadata into SourceErrors."""
    with (
        as_source_errors(path, "its metadata are invalid", _DAMAGE),
        np.errstate(all="ignore"),  # Values that are not plausible are ignored.
    ):
        yield


def open_store(path: str) -> Store:
    """Open the store at a path or URL.

    Raises
    ------
    SourceError
        There is none.
    """
    if is_address(path) and {"?", "#"} & set(path):
        raise SourceError(f"{path}: the URL of a store must not contain ? or #")
    store = Store(path)
    if store.node("") is None:
        if not store.is_address and not os.path.exists(path):
            raise SourceError(f"{path}: there is no such directory")
        raise SourceError(
            f"{path}: neither Zarr nor N5: it has none of {', '.join(DOCUMENTS)}{store.denied}"
        )
    return store


def _find(path: str, dataset: str | None) -> tuple[Store, Node]:
    """The array that a path and a dataset name, or the only one there."""
    store = open_store(path)
    name = (dataset or "").strip("/")
    if name and not is_below(name):
        raise SourceError(f"{path}: dataset is {dataset!r}; give names of groups, such as a/b")
    if store.node(name) is None:
        found = list(itertools.islice(images(store, ""), _MAX_LISTED))
        raise SourceError(
            f"{path}: dataset is {dataset!r}, but there is no such array or group{store.denied}"
            + (f"; there are: {', '.join(found)}" if any(found) else "")
        )
    found = list(itertools.islice(images(store, name), _MAX_LISTED + 1))
    if not found:
        raise SourceError(f"{store.address(name)}: no array or image found in it; give dataset")
    if len(found) > 1:
        more = ", ..." if len(found) > _MAX_LISTED else ""
        raise SourceError(
            f"{path}: several images; name one by dataset: {', '.join(found[:_MAX_LISTED])}{more}"
        )
    return store, _base(store, found[0])


def images(store: Store, path: str, outer: tuple[str, ...] = ()) -> Iterator[str]:
    """Find the images at and below a path of a store.

    Parameters
    ----------
    store
        The store.
    path
        Path to start from; "" for the root.
    outer
        Real paths of the groups that were passed on the way, to detect loops.

    Yields
    ------
    str
        Path of an array, or of the group of an OME-Zarr image.

    Raises
    ------
    SourceError
        Links form a loop, groups are nested too deep, or metadata are damaged.
    """
    address = store.address(path)
    real = address if store.is_address else os.path.realpath(address)
    if real in outer:
        raise SourceError(f"{address}: a link to {real}, which contains it; remove the link")
    if len(outer) > _MAX_DEPTH:
        raise SourceError(f"{address}: more than {_MAX_DEPTH} nested groups")
    node = store.node(path)
    if node is None:
        return
    if node.is_array or _multiscales(node):
        yield path
        return
    for name in _children(store, node):
        if not is_below(name):
            raise SourceError(
                f"{store.address(path)}: damaged: its metadata list an image {name!r}"
            )
        yield from images(store, join(path, name), (*outer, real))


def _children(store: Store, group: Node) -> Iterator[str]:
    """Names of the members of a group that may be or contain images.

    They are listed in the metadata of collections (OME-Zarr 0.5: "bioformats2raw.layout", "plate",
    "well", "labels"). In an N5 multiscale group, only the finest level (s0) counts; in other
    groups, all members do.
    """
    if (members := reading.members_of(group.attributes)) is not None:
        yield from members
    elif reading.is_series(group.attributes):
        ome = store.node(join(group.path, "OME"))
        series = reading.series_of(ome.attributes) if ome else []
        numbers = map(str, itertools.count())
        yield from series or itertools.takewhile(
            lambda name: store.node(join(group.path, name)), numbers
        )
    elif group.version == "n5" and (first := store.node(join(group.path, "s0"))) and first.is_array:
        yield "s0"
    else:
        yield from store.names(group)


def _base(store: Store, path: str) -> Node:
    """The array at a path, or level 0 of the image there."""
    node = store.node(path)
    assert node is not None
    return node if node.is_array else level_of(store, node, reading.image_of(node.attributes), 0)


def level_of(store: Store, group: Node, image: Document, level: int) -> Node:
    """Find the array of a level of an image.

    Parameters
    ----------
    store
        The store.
    group
        Group of the image.
    image
        Its multiscale metadata.
    level
        The level, 0 for the finest.

    Returns
    -------
    Node
        The array.

    Raises
    ------
    SourceError
        There is no such array.
    """
    path = join(group.path, reading.path_of(image, level))
    node = store.node(path)
    if node is None or not node.is_array:
        raise SourceError(
            f"{store.address(path)}: level {level} of the image is missing{store.denied}"
        )
    return node


def _multiscales(node: Node) -> list[Document]:
    """The multiscale metadata of a group; not in N5, where the same key has other uses."""
    return [] if node.version == "n5" else reading.images_of(node.attributes)


def _with_image(store: Store, node: Node) -> tuple[Store, Node, ImageLevel | None]:
    """Find the image of an array, also in groups that contain the store.

    Returns the store that contains the image, the array in that store, and the image; None if the
    array is not a level of any image.
    """
    inner, image_level = (store, node), _image_level(store, node)
    while image_level is None and (found := store.outer()):
        outer, name = found
        try:
            group, moved = outer.node(""), outer.node(join(name, node.path))
        except (SourceError, KeyError):  # Damaged metadata there do not concern this array.
            break
        if group is None or group.is_array or moved is None:
            break
        store, node = outer, moved
        image_level = _image_level(store, node)
    # In N5, the attributes of all outer groups may apply.
    return (store, node, image_level) if image_level or node.version == "n5" else (*inner, None)


def _image_level(store: Store, array: Node) -> ImageLevel | None:
    """The image of its store that an array is a level of; None if there is none."""
    for group in _parents(store, array):
        for image in _multiscales(group):
            for level in reading.levels_of(image):
                if join(group.path, reading.path_of(image, level)) == array.path:
                    return ImageLevel(group=group, image=image, level=level)
    return None


def _parents(store: Store, node: Node) -> Iterator[Node]:
    """The groups in a store that contain a node, innermost first."""
    path = node.path
    while path:
        path = path.rpartition("/")[0]
        if group := store.node(path):
            yield group


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


def _grid_of_n5(store: Store, array: Node, ndim: int) -> Grid:
    """Axes, scale and units of an N5 array, slowest axis first.

    They are read from its ``transform`` (slowest axis first). Otherwise they come from ``axes``,
    ``pixelResolution`` or ``resolution``, and ``units`` or ``unit`` (fastest axis first) of the
    array or the nearest group that has them; ``downsamplingFactors`` multiply the scale.
    """
    if isinstance(transform := array.attributes.get("transform"), dict) and "scale" in transform:
        return Grid(
            axes=reading.letters(transform.get("axes")),
            scale=_numbers(transform["scale"], ndim),
            units=tuple(transform.get("units", ())),
            shift=_numbers(transform.get("translate"), ndim) or (),
        )
    nearest = [array.attributes, *(group.attributes for group in _parents(store, array))]
    scale: tuple[float, ...] | None = None
    all_units: Any = None
    for attributes in nearest:
        resolution = attributes.get("pixelResolution", attributes.get("resolution"))
        own_units = attributes.get("units", attributes.get("unit"))
        if isinstance(resolution, dict):
            own_units = resolution.get("unit", own_units)
            resolution = resolution.get("dimensions")
        scale = scale or _numbers(resolution, ndim)
        all_units = all_units or own_units
    factors = _numbers(array.attributes.get("downsamplingFactors"), ndim) or _numbers(
        _factors(nearest[1:], array.path.rpartition("/")[2]), ndim
    )
    if scale and factors:
        scale = tuple(size * factor for size, factor in zip(scale, factors, strict=True))
    if isinstance(all_units, str):
        all_units = [all_units] * ndim
    names = next((attributes["axes"] for attributes in nearest if "axes" in attributes), ())
    return Grid(
        axes=reading.letters(names[::-1]),
        scale=None if scale is None else scale[::-1],
        units=tuple((all_units or ())[::-1]),
    )


def _factors(groups: Sequence[Document], name: str) -> Any:
    """Downsampling factors of a level named s0, s1 and so on, in the attributes of its groups."""
    level = re.fullmatch(r"s(\d+)", name)
    for attributes in groups:
        steps = attributes.get("scales", attributes.get("downsamplingFactors"))
        if level and isinstance(steps, list) and int(level[1]) < len(steps):
            return steps[int(level[1])]
    return None


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    """Convert a list of ``count`` numbers; None if it is anything else."""
    if not isinstance(values, list) or len(values) != count:
        return None
    return tuple(map(float, values))


def _describe(address: str, axes: str, grid: Grid) -> dict[str, Any]:
    """Voxel size, time step, their units and the affine, as fields of a source."""
    unit_of = dict(zip(axes, grid.units, strict=False))
    space_unit = _unit(next((unit_of[axis] for axis in "xyz" if unit_of.get(axis)), ""), "space")
    fields: dict[str, Any] = {
        "space_unit": space_unit,
        "time_unit": _unit(unit_of.get("t", ""), "time"),
    }
    if grid.scale is None:
        return fields
    scale = dict(zip(axes, grid.scale, strict=True))
    if is_plausible(scale.get("t", 0.0)):
        fields["time_step"] = scale["t"]
    ratio = {
        axis: units.factor(_unit(unit_of.get(axis, ""), "space"), space_unit) for axis in SPATIAL
    }
    sizes = {axis: scale.get(axis, 1.0) * ratio[axis] for axis in SPATIAL}
    if not all(is_plausible(size) for size in sizes.values()):
        logger.warning("%s: the voxel size is %s; it is ignored", address, list(sizes.values()))
        return fields
    fields["voxel_size"] = tuple(sizes[axis] for axis in SPATIAL)
    if set(SPATIAL) <= set(axes):
        fields["affine"] = _affine(axes, grid, ratio, space_unit)
    return fields


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
        rows = np.array(matrix, float)[columns]
        affine[:3, :3] = rows[:, columns] * [scale[i] for i in columns]
        affine[:3, 3] = rows[:, columns] @ [shift[i] for i in columns] + rows[:, -1]
        affine[:3] *= units.factor(_unit(unit, "space"), space_unit)
    else:
        directions = grid.directions or ("",) * len(axes)
        known = [RFC4_TO_RAS[directions[i]] for i in columns if directions[i] in RFC4_TO_RAS]
        if sorted(row for row, _ in known) != [0, 1, 2]:
            return None
        affine[:3, :3] = 0
        for column, (i, (row, sign)) in enumerate(zip(columns, known, strict=True)):
            factor = sign * ratio["xyz"[column]]
            affine[row, column], affine[row, 3] = factor * scale[i], factor * shift[i]
    return _valid(affine + 0.0)  # without -0


def _valid(affine: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """An affine if it is plausible and invertible, else None."""
    is_valid = (np.abs(affine) < MAX_LENGTH).all() and nifti.has_inverse(affine)
    return affine if is_valid else None


def _unit(name: str, kind: str) -> str:
    """The UDUNITS name of a unit; "" if it is unknown."""
    try:
        return units.ome_unit(name, kind)
    except ValueError:
        return ""


def _channels(group: Node, count: int) -> dict[str, tuple[str, ...]]:
    """Names and colours of the channels, as fields of a source, if all channels have them."""
    channels = reading.channels_of(group.attributes)
    names = tuple(str(channel.get("label") or "") for channel in channels)
    colors = tuple(str(channel.get("color", "")).removeprefix("#") for channel in channels)
    fields = {}
    if len(channels) == count and all(names):
        fields["channel_names"] = names
    if len(channels) == count and all(re.fullmatch("[0-9A-Fa-f]{6}", color) for color in colors):
        fields["channel_colors"] = colors
    return fields


def _from_header(
    store: Store, node: Node, image_level: ImageLevel, axes: str, shape: Sequence[int]
) -> dict[str, Any]:
    """Header, affine and scale factors of a level, as fields of a source.

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
            fields["affine"] = _valid(np.asarray(header.get_best_affine(), float))
    except ValueError as error:
        raise SourceError(f"{address}: the NIfTI header is damaged ({error})") from None
    fields["slope"] = 1.0 if slope is None else float(slope)
    fields["inter"] = 0.0 if inter is None else float(inter)
    return fields


def _chunk_files(store: Store, node: Node) -> tuple[str, ...]:
    """Names of all files of a small array, chunks included; empty at a URL."""
    root = Path(store.address(node.path))
    if store.is_address:
        return ()
    return tuple(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())
