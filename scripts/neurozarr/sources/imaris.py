"""Imaris 5.5 images, which are HDF5 files, read by h5py."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from neurozarr import units
from neurozarr.errors import SourceError
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Source
from neurozarr.sources.display import window
from neurozarr.sources.hdf5 import check_dataset, check_filters, check_links, open_file, opened
from neurozarr.units import MAX_LENGTH, is_plausible

_LEVEL = "DataSet/ResolutionLevel 0"
#: What Imaris writes for a channel without a name (ImarisWriter, bpWriterHDF5).
_NO_NAME = "(name not specified)"


@dataclass(frozen=True, kw_only=True, eq=False)
class ImarisSource(Source):
    """The finest level of an Imaris file (Imaris 5.5 File Format Description).

    Attributes
    ----------
    times, channels
        Numbers of time points and channels.
    lock
        Held while the file is opened.
    """

    suffixes = (".ims",)
    takes = ()

    times: int
    channels: int
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        with opened(path) as file:
            check_links(path, file, _data(0, 0))
            try:
                times = _count(file[_LEVEL], "TimePoint")
                channels = _count(file[f"{_LEVEL}/TimePoint 0"], "Channel")
                data = file[_data(0, 0)]
                image = file["DataSetInfo/Image"].attrs
                # The array is padded to whole chunks. A minimal file has its size in one place.
                first, prefix = (image, "") if "X" in image else (data.parent.attrs, "ImageSize")
                shape = tuple(int(_text(first[f"{prefix}{axis}"])) for axis in "ZYX")
            except (KeyError, ValueError) as error:
                raise SourceError(f"{path}: not an Imaris 5.5 file ({error})") from None
            if any(n > stored for n, stored in zip(shape, data.shape, strict=True)):
                raise SourceError(
                    f"{path}: the size z, y, x in DataSetInfo/Image is {shape}, but /{_data(0, 0)} "
                    f"has shape {data.shape}"
                )
            check_filters(path, data)
            check_dataset(path, data)
            leading = [(axis, n) for axis, n in (("t", times), ("c", channels)) if n > 1]
            return cls(
                files=(Path(path),),
                file_axes="".join(axis for axis, _ in leading) + "zyx",
                file_shape=(*(n for _, n in leading), *shape),
                dtype=np.dtype(data.dtype.str).newbyteorder("="),
                file_native_chunk_shape=(1,) * len(leading) + data.chunks if data.chunks else None,
                times=times,
                channels=channels,
                **_size(image, shape),
                **_time(file, times),
                **_channels(file, channels, data.dtype),
            )

    @cached_property
    def file(self) -> Any:
        """The file, kept open."""
        return open_file(str(self.files[0]))

    def read_file(self, region: Region) -> np.ndarray:
        with self.lock:
            file = self.file
        ranges = dict(zip(self.file_axes, region, strict=True))
        times, channels = (
            range(side.start, side.stop)
            for side in (ranges.get(axis, slice(0, 1)) for axis in "tc")
        )
        lengths = [side.stop - side.start for side in region]
        voxels = np.empty((len(times), len(channels), *lengths[-3:]), self.dtype)
        for index in np.ndindex(voxels.shape[:2]):
            data = file[_data(times[index[0]], channels[index[1]])]
            data.read_direct(voxels[index], region[-3:])
        return voxels.reshape(lengths)

    def check(self) -> None:
        super().check()
        path = str(self.files[0])
        with opened(path) as file:
            first = file[_data(0, 0)]
            for t, c in np.ndindex(self.times, self.channels):
                check_links(path, file, _data(t, c))
                data = file.get(_data(t, c))
                if data is None:
                    raise SourceError(f"{path}: /{_data(t, c)} is missing")
                if (data.shape, data.dtype) != (first.shape, first.dtype):
                    raise SourceError(
                        f"{path}: /{_data(t, c)} has shape {data.shape} and type {data.dtype}, but "
                        f"/{_data(0, 0)} has {first.shape} and {first.dtype}"
                    )
                check_dataset(path, data)


def _data(t: int, c: int) -> str:
    return f"{_LEVEL}/TimePoint {t}/Channel {c}/Data"


def _count(group: Any, name: str) -> int:
    """Number of members of a group with a name and a number, such as Channel 0."""
    return sum(re.fullmatch(rf"{name} \d+", key) is not None for key in group)


def _text(value: Any) -> str:
    """Text of an attribute, which Imaris stores as an array of single characters."""
    characters = np.ravel(value).tolist()
    joined = b"".join(c if isinstance(c, bytes) else str(c).encode() for c in characters)
    try:
        return joined.decode().strip()
    except UnicodeDecodeError:
        return joined.decode("latin-1").strip()


def _size(image: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """Voxel size, position and their unit, from the extents along x (0), y (1) and z (2).

    These are the outer corners of the first and the last voxel.
    """
    try:
        starts, ends = (
            [float(_text(image[f"{name}{i}"])) for i in (2, 1, 0)] for name in ("ExtMin", "ExtMax")
        )
        sizes = tuple(
            (end - start) / length for start, end, length in zip(starts, ends, shape, strict=True)
        )
    except (KeyError, ValueError, ZeroDivisionError):
        return {}
    try:
        unit = units.ome_unit(_text(image.get("Unit", "")), "space")
    except ValueError:
        unit = ""
    if not all(is_plausible(size) for size in sizes):
        return {}
    position = tuple(start + size / 2 for start, size in zip(starts, sizes, strict=True))
    is_sane = all(abs(place) < MAX_LENGTH for place in position)
    return {
        "voxel_size": sizes,
        "space_unit": unit,
        "position": position if is_sane else (),
    }


def _time(file: Any, times: int) -> dict[str, Any]:
    """The time step; empty unless all time points are known and evenly spaced (within 1 %)."""
    try:
        info = file["DataSetInfo/TimeInfo"].attrs
        points = [datetime.fromisoformat(_text(info[f"TimePoint{t + 1}"])) for t in range(times)]
        steps = np.diff([(point - points[0]).total_seconds() for point in points])
    except (KeyError, ValueError, TypeError):
        return {}
    if len(steps) == 0 or steps.min() <= 0 or np.ptp(steps) > steps.mean() / 100:
        return {}
    return {"time_step": float(steps.mean()), "time_unit": "second"}


def _channels(file: Any, channels: int, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Names, colours and display windows of the channels, as fields of a source."""
    groups = [file.get(f"DataSetInfo/Channel {c}") for c in range(channels)]
    attributes = [{} if group is None else group.attrs for group in groups]
    fields: dict[str, tuple[Any, ...]] = {
        "channel_names": tuple(_name(channel.get("Name", "")) for channel in attributes),
        "channel_colors": tuple(
            _hexadecimal(_text(channel.get("Color", ""))) for channel in attributes
        ),
        "channel_windows": tuple(
            _window(_text(channel.get("ColorRange", "")), dtype) for channel in attributes
        ),
    }
    return {name: values for name, values in fields.items() if any(values)}


def _name(value: Any) -> str:
    name = _text(value)
    return "" if name == _NO_NAME else name


def _window(text: str, dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """Convert the ends of a display window; None if they are invalid."""
    try:
        start, end = map(float, text.split())
    except ValueError:
        return None
    return window(start, end, dtype)


def _hexadecimal(color: str) -> str:
    """Convert red, green and blue from 0 to 1 to RRGGBB; "" if they are invalid."""
    try:
        values = [float(value) for value in color.split()]
    except ValueError:
        return ""
    if len(values) != 3 or not all(0 <= value <= 1 for value in values):
        return ""
    return "".join(f"{round(255 * value):02X}" for value in values)
