"""An image in a store, as a report shows it: its levels, axes, channels and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from neurozarr.axes import AXIS_TYPES, RAS, SPATIAL, STORED_ORDER
from neurozarr.drivers import open_array
from neurozarr.errors import DamageError
from neurozarr.ome import reading
from neurozarr.ome.labels import valid_details
from neurozarr.ome.placement import of_shapes
from neurozarr.ome.reading import Grid
from neurozarr.ome.writing import channels
from neurozarr.regions import Region
from neurozarr.sources.display import colour, window
from neurozarr.units import factor, find_unit, is_plausible
from neurozarr.zarr.abc import ZarrArray
from neurozarr.zarr.chunks import chunk_keys, inner_chunk_shape, write_chunk_shape
from neurozarr.zarr.documents import FILES, GROUP_FILES, LABELS, Document, read_json
from neurozarr.zarr.metadata import dtype_of

#: Most channels that are shown.
MAX_CHANNELS = 8


@dataclass(frozen=True, kw_only=True)
class Channel:
    """How a channel is shown.

    Attributes
    ----------
    name
        Its name, or its number.
    color
        Red, green and blue from 0 to 1.
    window
        Values that are drawn black and in full colour; None if the metadata have none.
    active
        Whether it is shown beside others.
    """

    name: str
    color: tuple[float, float, float]
    window: tuple[float, float] | None
    active: bool


@dataclass(frozen=True, kw_only=True)
class Level:
    """A level of an image.

    Attributes
    ----------
    number
        Number of the level; 0 is the finest.
    folder, document
        Directory and metadata of its array.
    axes
        Letters of its axes, of t, c, z, y and x in any order.
    size, first
        Voxel size along z, y and x, and position of the first voxel, in the unit of the image.
    driver
        Library that reads the voxels.
    is_given
        Whether it is a level of others, of an image to which levels were added. Chunks that it
        lacks have its fill value.
    """

    number: int
    folder: Path
    document: Document
    axes: str
    size: tuple[float, ...]
    first: tuple[float, ...]
    driver: str
    is_given: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis, in voxels."""
        return tuple(self.document["shape"])

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk, in voxels."""
        return inner_chunk_shape(self.document) or write_chunk_shape(self.document)

    @property
    def shards(self) -> tuple[int, ...] | None:
        """Shape of a shard, in voxels; None if there are no shards."""
        return write_chunk_shape(self.document) if inner_chunk_shape(self.document) else None

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the voxels."""
        return dtype_of(self.document)

    @property
    def space(self) -> tuple[int, ...]:
        """Length of z, y and x, in voxels."""
        return self._along(self.shape, SPATIAL)

    @property
    def space_chunks(self) -> tuple[int, ...]:
        """Length of a chunk along z, y and x, in voxels."""
        return self._along(self.chunks, SPATIAL)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self._along(self.shape, "c")[0]

    @property
    def times(self) -> int:
        """Number of time points."""
        return self._along(self.shape, "t")[0]

    @property
    def itemsize(self) -> int:
        """Bytes that are decoded for each voxel of a plane, with all channels that are shown."""
        times, per_chunk = self._along(self.chunks, "tc")
        shown = -(-min(self.channels, MAX_CHANNELS) // per_chunk) * per_chunk
        return self.dtype.itemsize * shown * times

    @cached_property
    def _array(self) -> ZarrArray:
        return open_array(self.folder, "r", driver=self.driver)

    def read(self, space: Region) -> np.ndarray[Any, Any]:
        """Read a region of the first time point of the first `MAX_CHANNELS` channels.

        Parameters
        ----------
        space
            The region along z, y and x.

        Returns
        -------
        numpy.ndarray
            Voxels with axes c, z, y and x. Of complex numbers, their absolute values.

        Raises
        ------
        DamageError
            A file of the array is missing, which would be read as zeros.
        """
        sides = {"t": slice(0, 1), "c": slice(0, min(self.channels, MAX_CHANNELS))}
        sides |= dict(zip(SPATIAL, space, strict=True))
        region = tuple(sides[axis] for axis in self.axes)
        for key in chunk_keys(self.document, region):
            if not (self.is_given or (self.folder / key).is_file()):
                raise DamageError(
                    f"{self.folder / key} is missing: run again with the target verify, which "
                    "says how to repair it"
                )
        order = [self.axes.index(axis) for axis in STORED_ORDER if axis in self.axes]
        shape = [side.stop - side.start for side in space]
        voxels = np.asarray(self._array[region]).transpose(order).reshape(-1, *shape)
        return np.abs(voxels) if voxels.dtype.kind == "c" else voxels

    def _along(self, lengths: Sequence[int], axes: str) -> tuple[int, ...]:
        """The lengths along some axes; 1 for those that the array lacks."""
        known = dict(zip(self.axes, lengths, strict=True))
        return tuple(known.get(axis, 1) for axis in axes)


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image, or labels.

    Attributes
    ----------
    name
        Name in the metadata.
    axes
        Letters of the axes of its arrays.
    unit, time_unit
        Units of space and time; "" if unknown.
    time_step
        Time between two volumes; None if there is no time axis.
    directions
        Anatomical orientation of z, y and x: values of RFC-4; missing if unknown.
    levels
        Its levels, finest first.
    channels
        The channels that are shown.
    labels
        The "image-label" metadata; None of an image.
    version
        Version of OME-Zarr.
    """

    name: str
    axes: str
    unit: str
    time_unit: str
    time_step: float | None
    directions: Mapping[str, str]
    levels: Sequence[Level]
    channels: Sequence[Channel]
    labels: Document | None
    version: str

    @property
    def space_axes(self) -> str:
        """Letters of the spatial axes of its arrays, in their order."""
        return "".join(axis for axis in self.axes if axis in SPATIAL)


def read_image(store: Path, zarr_version: int, *, driver: str, given: int = 0) -> Image:
    """Read the metadata of an image that this workflow has published.

    What is missing or impossible in the metadata of others is unknown; sizes are then 1.

    Parameters
    ----------
    store
        Directory of its group.
    zarr_version
        Version of the Zarr format.
    driver
        Library that reads the voxels.
    given
        Number of levels that are of others, to which this workflow added more.
    """
    last = GROUP_FILES[zarr_version][-1]
    document = read_json(store / last)
    attributes = document["attributes"] if zarr_version == 3 else document
    image = reading.image_of(attributes)
    grids = [reading.grid_of(image, level) for level in reading.levels_of(image)]
    axes = grids[0].axes or SPATIAL[-len(grids[0].names) :]
    units = {
        axis: find_unit(unit, AXIS_TYPES[axis])
        for axis, unit in zip(axes, grids[0].units, strict=True)
        if axis != "c"
    }
    unit = next((units[axis] for axis in reversed(SPATIAL) if units.get(axis)), "")
    ratio = {axis: factor(units.get(axis, ""), unit) for axis in SPATIAL}
    folders = [store / reading.path_of(image, number) for number in range(len(grids))]
    documents = [read_json(folder / FILES[zarr_version][0]) for folder in folders]
    places = of_shapes([document["shape"] for document in documents], ["edge"] * len(axes))
    levels = []
    for number, (grid, place) in enumerate(zip(grids, places, strict=True)):
        is_placed = all(map(is_plausible, grid.scale or ())) and np.isfinite(grid.shift).all()
        size, first = (grid.scale, grid.shift) if grid.scale and is_placed else place
        size_of = dict(zip(axes, size, strict=True))
        first_of = dict(zip(axes, first, strict=True))
        levels.append(
            Level(
                number=number,
                folder=folders[number],
                document=documents[number],
                axes=axes,
                size=tuple(size_of.get(axis, 1.0) * ratio[axis] for axis in SPATIAL),
                first=tuple(first_of.get(axis, 0.0) * ratio[axis] for axis in SPATIAL),
                driver=driver,
                is_given=number < given,
            )
        )
    time_step = dict(zip(axes, grids[0].scale or (), strict=False)).get("t", 0.0)
    labels = reading.labels_of(attributes)
    if labels is None and store.parent.name == LABELS and levels[0].dtype.kind in "biu":
        labels = {}  # As `ZarrSource` takes them.
    return Image(
        name=str(image.get("name", "")),
        axes=axes,
        unit=unit,
        time_unit=units.get("t", ""),
        time_step=time_step if is_plausible(time_step) else None,
        directions=_directions(axes, grids[0]),
        levels=levels,
        channels=_channels(levels[0], reading.channels_of(attributes)),
        labels=None
        if labels is None
        else valid_details(labels if isinstance(labels, dict) else {}),
        version=str(reading.version_of(attributes)),
    )


def label_stores(store: Path, zarr_version: int) -> list[Path]:
    """Directories of the labels beneath an image, in the order of their list."""
    document = store / LABELS / GROUP_FILES[zarr_version][-1]
    if not document.is_file():
        return []
    attributes = read_json(document)
    names = reading.members_of(attributes["attributes"] if zarr_version == 3 else attributes)
    return [store / LABELS / name for name in names or ()]


def _directions(axes: str, grid: Grid) -> dict[str, str]:
    """Anatomical orientation of z, y and x; none if two of them are along the same direction."""
    along = {name: axis for axis, value in RAS.items() for name in value.split("-to-")}
    found = {
        axis: value
        for axis, value in zip(axes, grid.directions, strict=True)
        if axis in SPATIAL and value
    }
    known = [along.get(value.split("-to-")[0], value) for value in found.values()]
    return found if len(set(known)) == len(known) else {}


def _channels(level: Level, described: Sequence[Document]) -> list[Channel]:
    """How the first channels are shown; by default if the metadata describe more than there are."""
    count = level.channels
    described = list(described) if len(described) <= count else []
    described += [{}] * (count - len(described))
    default = channels(count, colors=[colour(about.get("color")) for about in described])
    found = []
    for number, about in enumerate(described[:MAX_CHANNELS]):
        said = about.get("window") or {}
        ends = window(said.get("start"), said.get("end"), level.dtype)
        digits = bytes.fromhex(default[number]["color"])
        red, green, blue = (digit / 255 for digit in digits)
        found.append(
            Channel(
                name=str(about.get("label") or f"channel {number}"),
                color=(red, green, blue),
                window=None if ends is None else (float(ends[0]), float(ends[1])),
                active=about.get("active") is not False,
            )
        )
    return found
