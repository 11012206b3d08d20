"""Zarr arrays and groups, OME-Zarr, NIfTI-Zarr and N5, in directories or at addresses."""

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
from neurozarr.sources.base import Layout, Source, check_axes
from neurozarr.sources.paths import is_address
from neurozarr.sources.zarr.nodes import DOCUMENTS, Array, Node, Store, is_below, join
from neurozarr.units import MAX_LENGTH, is_plausible
from neurozarr.zarr.documents import HEADER, Document

logger = logging.getLogger(__name__)

#: Axes of an array that names none, by its number of dimensions.
_AXES = {2: "yx", 3: "zyx"}
#: How many images are listed of a group of several, and how deep groups may lie in each other.
_MOST = 20
_DEEPEST = 64
#: What is raised of metadata that are not what they should be.
_DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
#: What grows along an axis, in the words of RFC-4: which coordinate of RAS+, and its sign.
_WAYS = {value: ("xyz".index(axis), 1) for axis, value in RAS.items()} | {
    "-to-".join(reversed(value.split("-to-"))): ("xyz".index(axis), -1)
    for axis, value in RAS.items()
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an array is in an OME-Zarr image: its group, its metadata, and which level it is."""

    group: Node
    image: Document
    level: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ZarrSource(Source):
    """An array of a Zarr or N5 store, with what its group says of it.

    The translation of OME-Zarr is kept, as a part of the affine, where the metadata say where all
    three axes grow to in the body: by an affine to anatomical coordinates (0.6), or by orientations
    (RFC-4); it is not kept otherwise.
    """

    suffixes = (".ome.zarr", ".nii.zarr", ".zarr", ".n5")
    takes = ("axes", "dataset")

    address: str
    array: Array

    @classmethod
    def matches(cls, path: str) -> bool:
        path = path.rstrip("/")
        documents = [os.path.join(path, name) for name in DOCUMENTS]
        return (
            is_address(path)
            or path.lower().endswith(cls.suffixes)
            or any(os.path.exists(file) and not os.path.isdir(file) for file in documents)
        )

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        with damage_named(path):
            return cls._open(path, layout)

    @classmethod
    def _open(cls, path: str, layout: Layout) -> Self:
        store, node = _find(path, layout.dataset)
        store, node, place = _placed(store, node)
        address, array = store.address(node.path), store.open(node)
        shape, ndim = array.shape, len(array.shape)
        if place is not None:
            grid = grid_of_image(address, place.image, place.level, ndim)
        elif node.version == "n5":
            grid = _grid_of_n5(store, node, ndim)
        else:
            names = node.document.get("dimension_names") or node.attributes.get("_ARRAY_DIMENSIONS")
            grid = Grid(axes=reading.letters(names))
        axes = layout.axes or grid.axes or _AXES.get(ndim)
        if axes is None:
            raise SourceError(
                f"{address}: its metadata do not name the axes of the array, of shape {shape}; "
                "give axes, such as tzyx"
            )
        check_axes(address, axes, shape)
        found = _describe(address, axes, grid)
        documents = [(node, node.files)]
        if node.version == "n5":
            documents += [(group, group.files) for group in _parents(store, node)]
        if place is not None:
            documents.append((place.group, place.group.files))
            found |= _channels(place.group, dict(zip(axes, shape, strict=True)).get("c", 1))
            header = store.node(join(place.group.path, HEADER))
            if header is not None and header.is_array:
                documents.append((header, _chunk_files(store, header)))
                found |= _from_header(store, header, place, axes, shape)
        files = {store.address(join(of.path, name)) for of, names in documents for name in names}
        return cls(
            files=() if store.is_address else tuple(sorted(map(Path, files))),
            file_axes=axes,
            file_shape=shape,
            dtype=np.dtype(array.dtype).newbyteorder("="),
            file_native_chunk_shape=array.chunks,
            address=address,
            array=array,
            **found,
        )

    def read_file(self, region: Region) -> np.ndarray:
        return self.array.read(region)

    @property
    def _name(self) -> str:
        return self.address


@contextmanager
def damage_named(path: str) -> Iterator[None]:
    """Raise a SourceError for what metadata raise that are not what they should be."""
    try:
        with np.errstate(all="ignore"):  # What is absurd is left out.
            yield
    except SourceError:
        raise
    except _DAMAGE as error:
        raise SourceError(f"{path}: its metadata are damaged ({error!r})") from error


def open_store(path: str) -> Store:
    """The store at a path, or an address.

    Raises
    ------
    SourceError
        There is none.
    """
    if is_address(path) and {"?", "#"} & set(path):
        raise SourceError(f"{path}: the address of a store has neither ? nor #")
    store = Store(path)
    if store.node("") is None:
        if not store.is_address and not os.path.exists(path):
            raise SourceError(f"{path}: there is no such directory")
        raise SourceError(
            f"{path}: neither Zarr nor N5: none of {', '.join(DOCUMENTS)} is there{store.denied}"
        )
    return store


def _find(path: str, dataset: str | None) -> tuple[Store, Node]:
    """The array that a path and the name of a dataset lead to."""
    store = open_store(path)
    name = (dataset or "").strip("/")
    if name and not is_below(name):
        raise SourceError(f"{path}: dataset is {dataset!r}; give names of groups, such as a/b")
    if store.node(name) is None:
        found = list(itertools.islice(images(store, ""), _MOST))
        raise SourceError(
            f"{path}: dataset is {dataset!r}, but no such array or group is there{store.denied}"
            + (f"; there are: {', '.join(found)}" if any(found) else "")
        )
    found = list(itertools.islice(images(store, name), _MOST + 1))
    if not found:
        raise SourceError(
            f"{store.address(name)}: no array or image is known in it; name one: give dataset"
        )
    if len(found) > 1:
        more = ", ..." if len(found) > _MOST else ""
        raise SourceError(
            f"{path}: several images; name one, as dataset: {', '.join(found[:_MOST])}{more}"
        )
    return store, _base(store, found[0])


def images(store: Store, path: str, outer: tuple[str, ...] = ()) -> Iterator[str]:
    """Paths of the arrays, and of the groups that are OME-Zarr images, in a store, from a path.

    ``outer`` are the real paths of the groups that it lies in.
    """
    address = store.address(path)
    real = address if store.is_address else os.path.realpath(address)
    if real in outer:
        raise SourceError(f"{address}: a link to {real}, in which it lies itself; remove it")
    if len(outer) > _DEEPEST:
        raise SourceError(f"{address}: more than {_DEEPEST} groups lie in each other")
    node = store.node(path)
    if node is None:
        return
    if node.is_array or _multiscales(node):
        yield path
        return
    for name in _children(store, node):
        if not is_below(name):
            raise SourceError(
                f"{store.address(path)}: damaged: it names {name!r} as an image in it"
            )
        yield from images(store, join(path, name), (*outer, real))


def _children(store: Store, group: Node) -> Iterator[str]:
    """Names in a group of what is, or holds, images.

    By the metadata of collections (OME-Zarr 0.5, "bioformats2raw.layout", "plate", "well", "labels"
    metadata) or, of N5, the name of the finest level (s0); or else all.
    """
    if (members := reading.members_of(group.attributes)) is not None:
        yield from members
    elif reading.is_series(group.attributes):
        about = store.node(join(group.path, "OME"))
        series = reading.series_of(about.attributes) if about else []
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
    """The array that a level of an image is.

    Raises
    ------
    SourceError
        There is none.
    """
    path = join(group.path, reading.path_of(image, level))
    node = store.node(path)
    if node is None or not node.is_array:
        raise SourceError(
            f"{store.address(path)}: level {level} of the image is not there{store.denied}"
        )
    return node


def _multiscales(node: Node) -> list[Document]:
    """The multiscale images of a group; none in N5, where others use the same key."""
    return [] if node.version == "n5" else reading.images_of(node.attributes)


def _placed(store: Store, node: Node) -> tuple[Store, Node, Place | None]:
    """An array, and its image, in the store that this is in: what was opened may be in it."""
    inner, place = (store, node), _place(store, node)
    while place is None and (found := store.outer()):
        outer, name = found
        try:
            group, moved = outer.node(""), outer.node(join(name, node.path))
        except (SourceError, KeyError):  # They are none of this array's.
            break
        if group is None or group.is_array or moved is None:
            break
        store, node = outer, moved
        place = _place(store, node)
    # The attributes of any group of N5 may hold for its arrays.
    return (store, node, place) if place or node.version == "n5" else (*inner, None)


def _place(store: Store, array: Node) -> Place | None:
    """The image that an array is a level of."""
    for group in _parents(store, array):
        for image in _multiscales(group):
            for level in reading.levels_of(image):
                if join(group.path, reading.path_of(image, level)) == array.path:
                    return Place(group=group, image=image, level=level)
    return None


def _parents(store: Store, node: Node) -> Iterator[Node]:
    """The groups in a store that a node is in, from the innermost on."""
    path = node.path
    while path:
        path = path.rpartition("/")[0]
        if group := store.node(path):
            yield group


def grid_of_image(address: str, image: Document, level: int, ndim: int) -> Grid:
    """Axes, scale and coordinates of a level of an OME-Zarr image, for an array at an address.

    Raises
    ------
    SourceError
        They are those of another number of dimensions.
    """
    count = len(reading.axes_of(image, level))
    if count != ndim:
        raise SourceError(
            f"{address}: its image has {count} axes, but the array has {ndim} dimensions"
        )
    grid = reading.grid_of(image, level)
    if grid.unknown:
        logger.warning(
            "%s: a transformation of type %s is not known: its voxel size is not taken",
            address,
            grid.unknown,
        )
    return grid


def _grid_of_n5(store: Store, array: Node, ndim: int) -> Grid:
    """Axes and scale of an N5 array, whose attributes list the fastest axis first.

    By its own ``transform`` (which has the slowest first); or by ``axes``, ``pixelResolution`` or
    ``resolution``, and ``units`` or ``unit``, of the array or the nearest group, times its
    ``downsamplingFactors``.
    """
    if isinstance(said := array.attributes.get("transform"), dict) and "scale" in said:
        return Grid(
            axes=reading.letters(said.get("axes")),
            scale=_numbers(said["scale"], ndim),
            units=tuple(said.get("units", ())),
            shift=_numbers(said.get("translate"), ndim) or (),
        )
    around = [array.attributes, *(group.attributes for group in _parents(store, array))]
    scale: tuple[float, ...] | None = None
    units_said: Any = None
    for said in around:
        resolution = said.get("pixelResolution", said.get("resolution"))
        written = said.get("units", said.get("unit"))
        if isinstance(resolution, dict):
            written = resolution.get("unit", written)
            resolution = resolution.get("dimensions")
        scale = scale or _numbers(resolution, ndim)
        units_said = units_said or written
    factors = _numbers(array.attributes.get("downsamplingFactors"), ndim) or _numbers(
        _factors(around[1:], array.path.rpartition("/")[2]), ndim
    )
    if scale and factors:
        scale = tuple(size * factor for size, factor in zip(scale, factors, strict=True))
    if isinstance(units_said, str):
        units_said = [units_said] * ndim
    names = next((said["axes"] for said in around if "axes" in said), ())
    return Grid(
        axes=reading.letters(names[::-1]),
        scale=None if scale is None else scale[::-1],
        units=tuple((units_said or ())[::-1]),
    )


def _factors(groups: Sequence[Document], name: str) -> Any:
    """What the groups around a level, s0, s1 and so on, say that its voxels are larger by."""
    level = re.fullmatch(r"s(\d+)", name)
    for said in groups:
        steps = said.get("scales", said.get("downsamplingFactors"))
        if level and isinstance(steps, list) and int(level[1]) < len(steps):
            return steps[int(level[1])]
    return None


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    """Numbers, one for each axis; None where they are something else."""
    if not isinstance(values, list) or len(values) != count:
        return None
    return tuple(map(float, values))


def _describe(address: str, axes: str, grid: Grid) -> dict[str, Any]:
    """Voxel size, time step and their units; and where the voxels lie, if that is said."""
    named = dict(zip(axes, grid.units, strict=False))
    found: dict[str, Any] = {
        "space_unit": _unit(next((named[axis] for axis in "xyz" if named.get(axis)), ""), "space"),
        "time_unit": _unit(named.get("t", ""), "time"),
    }
    if grid.scale is None:
        return found
    scale = dict(zip(axes, grid.scale, strict=True))
    if is_plausible(scale.get("t", 1.0)):
        found["time_step"] = scale.get("t", 1.0)
    ratio = {
        axis: units.factor(_unit(named.get(axis, ""), "space"), found["space_unit"])
        for axis in SPATIAL
    }
    sizes = {axis: scale.get(axis, 1.0) * ratio[axis] for axis in SPATIAL}
    if not all(is_plausible(size) for size in sizes.values()):
        logger.warning("%s: its voxel size is %s: it is not taken", address, list(sizes.values()))
        return found
    found["voxel_size"] = tuple(sizes[axis] for axis in SPATIAL)
    if set(SPATIAL) <= set(axes):
        found["affine"] = _affine(axes, grid, ratio, found["space_unit"])
    return found


def _affine(
    axes: str, grid: Grid, ratio: dict[str, float], space_unit: str
) -> np.ndarray[Any, Any] | None:
    """Where the voxels lie in the body; None where that is not said of all axes."""
    scale, shift = grid.scale or (), grid.shift or (0.0,) * len(axes)
    places = [axes.index(axis) for axis in "xyz"]
    affine = np.eye(4)
    if grid.affines:
        matrix, unit = grid.affines[0]
        rows = np.array(matrix, float)[places]
        affine[:3, :3] = rows[:, places] * [scale[place] for place in places]
        affine[:3, 3] = rows[:, places] @ [shift[place] for place in places] + rows[:, -1]
        affine[:3] *= units.factor(_unit(unit, "space"), space_unit)
    else:
        directions = grid.directions or ("",) * len(axes)
        ways = [_WAYS.get(directions[place]) for place in places]
        rows_of = [way[0] for way in ways if way]
        if sorted(rows_of) != [0, 1, 2]:
            return None
        affine[:3, :3] = 0
        for column, way in enumerate(ways):
            row, sign = way or (0, 0)
            place = places[column]
            factor = sign * ratio["xyz"[column]]
            affine[row, column], affine[row, 3] = factor * scale[place], factor * shift[place]
    return _sane(affine + 0.0)  # without -0


def _sane(affine: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """An affine, if it is finite and has an inverse."""
    is_sane = (np.abs(affine) < MAX_LENGTH).all() and nifti.has_inverse(affine)
    return affine if is_sane else None


def _unit(written: str, kind: str) -> str:
    """The UDUNITS name of a unit; "" where it is unknown."""
    try:
        return units.ome_unit(written, kind)
    except ValueError:
        return ""


def _channels(group: Node, count: int) -> dict[str, tuple[str, ...]]:
    """Names and colours of all channels, where all have them."""
    channels = reading.channels_of(group.attributes)
    names = tuple(str(channel.get("label") or "") for channel in channels)
    colors = tuple(str(channel.get("color", "")).removeprefix("#") for channel in channels)
    found = {}
    if len(channels) == count and all(names):
        found["channel_names"] = names
    if len(channels) == count and all(re.fullmatch("[0-9A-Fa-f]{6}", color) for color in colors):
        found["channel_colors"] = colors
    return found


def _from_header(
    store: Store, node: Node, place: Place, axes: str, shape: Sequence[int]
) -> dict[str, Any]:
    """What the NIfTI header of an image (NIfTI-Zarr 1.0.rc1, section 2.4) says of a level."""
    address = store.address(node.path)
    array = store.open(node)
    try:
        raw = array.read(tuple(slice(0, length) for length in array.shape)).tobytes()
        nifti.header_type(raw)
    except Exception as error:  # Each codec has its own.
        raise SourceError(f"{address}: the NIfTI header cannot be read ({error})") from None
    placed = reading.placement(place.image, place.level, axes)
    if placed is None:
        return {}
    scale, shift = placed
    known = dict(zip(axes, shape, strict=True))
    stored = [axis for axis in STORED_ORDER if axis in axes or axis in SPATIAL]
    raw = level_header(
        raw,
        axes="".join(stored),
        shape=[known.get(axis, 1) for axis in stored],
        scale=scale,
        shift=shift,
        colours=node.attributes.get(COLOURS),
    )
    kind = nifti.header_type(raw)
    header = kind(
        raw[: kind.template_dtype.itemsize], endianness=nifti.byte_order(raw), check=False
    )
    found: dict[str, Any] = {"nifti_header": raw}
    try:
        with np.errstate(all="ignore"):
            slope, inter = header.get_slope_inter()
            found["affine"] = _sane(np.asarray(header.get_best_affine(), float))
    except ValueError as error:
        raise SourceError(f"{address}: the NIfTI header is damaged ({error})") from None
    found["slope"] = 1.0 if slope is None else float(slope)
    found["inter"] = 0.0 if inter is None else float(inter)
    return found


def _chunk_files(store: Store, node: Node) -> tuple[str, ...]:
    """Names of all files of a small array, chunks included; none of an address."""
    root = Path(store.address(node.path))
    if store.is_address:
        return ()
    return tuple(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())
