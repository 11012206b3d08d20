"""An image in a store, as a report shows it: its levels, axes, channels and labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from neurozarr.axes import SPATIAL
from neurozarr.drivers import open_array
from neurozarr.errors import DamageError
from neurozarr.ome import reading
from neurozarr.regions import Region
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
        Directory and metadata of its array, whose last axes are z, y and x.
    axes
        Letters of its axes.
    size, first
        Voxel size along z, y and x, and position of the first voxel, in the unit of the image.
    driver
        Library that reads the voxels.
    """

    number: int
    folder: Path
    document: Document
    axes: str
    size: tuple[float, ...]
    first: tuple[float, ...]
    driver: str

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
        return self.shape[-3:]

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[self.axes.index("c")] if "c" in self.axes else 1

    @property
    def itemsize(self) -> int:
        """Bytes that are decoded for each voxel of a plane, with all channels that are shown."""
        per_chunk = self.chunks[self.axes.index("c")] if "c" in self.axes else 1
        shown = -(-min(self.channels, MAX_CHANNELS) // per_chunk) * per_chunk
        times = self.chunks[0] if "t" in self.axes else 1
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
        before = {"t": slice(0, 1), "c": slice(0, min(self.channels, MAX_CHANNELS))}
        region = (*(before[axis] for axis in self.axes[:-3]), *space)
        for key in chunk_keys(self.document, region):
            if not (self.folder / key).is_file():
                raise DamageError(
                    f"{self.folder / key} is missing: run again with the target verify, which "
                    "says how to repair it"
                )
        voxels = np.asarray(self._array[region])
        voxels = voxels.reshape(-1, *voxels.shape[-3:])
        return np.abs(voxels) if voxels.dtype.kind == "c" else voxels


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


def read_image(store: Path, zarr_version: int, *, driver: str) -> Image:
    """Read the metadata of an image that this workflow has published.

    Parameters
    ----------
    store
        Directory of its group.
    zarr_version
        Version of the Zarr format.
    driver
        Library that reads the voxels.
    """
    last = GROUP_FILES[zarr_version][-1]
    document = read_json(store / last)
    attributes = document["attributes"] if zarr_version == 3 else document
    image = reading.image_of(attributes)
    grids = [reading.grid_of(image, level) for level in reading.levels_of(image)]
    axes = grids[0].axes or ""
    levels = []
    for number, grid in enumerate(grids):
        folder = store / reading.path_of(image, number)
        levels.append(
            Level(
                number=number,
                folder=folder,
                document=read_json(folder / FILES[zarr_version][0]),
                axes=axes,
                size=(grid.scale or (1.0,) * len(axes))[-3:],
                first=(grid.shift or (0.0,) * len(axes))[-3:],
                driver=driver,
            )
        )
    units = dict(zip(axes, grids[0].units, strict=True))
    scale = dict(zip(axes, grids[0].scale or (), strict=False))
    directions = dict(zip(axes, grids[0].directions, strict=True))
    return Image(
        name=str(image.get("name", "")),
        axes=axes,
        unit=units["x"],
        time_unit=units.get("t", ""),
        time_step=scale.get("t"),
        directions={axis: directions[axis] for axis in SPATIAL if directions[axis]},
        levels=levels,
        channels=_channels(levels[0].channels, reading.channels_of(attributes)),
        labels=reading.labels_of(attributes),
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


def _channels(count: int, described: Sequence[Document]) -> list[Channel]:
    found = []
    for number in range(min(count, MAX_CHANNELS)):
        about = described[number] if number < len(described) else {}
        window = about.get("window", {})
        ends = window.get("start"), window.get("end")
        known = all(isinstance(end, int | float) and math.isfinite(end) for end in ends)
        found.append(
            Channel(
                name=str(about.get("label") or f"channel {number}"),
                color=_color(about.get("color", "FFFFFF")),
                window=(float(ends[0]), float(ends[1])) if known else None,
                active=bool(about.get("active", True)),
            )
        )
    return found


def _color(digits: str) -> tuple[float, float, float]:
    red, green, blue = bytes.fromhex(digits)[:3]
    return red / 255, green / 255, blue / 255
