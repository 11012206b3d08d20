"""The source of BigDataViewer's and BigStitcher's XML files, and of HDF5 files without them."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from neurozarr import nifti, units
from neurozarr.axes import Space
from neurozarr.errors import SourceError
from neurozarr.ome import reading
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Member, Source
from neurozarr.sources.bdv import spimdata
from neurozarr.sources.bdv.spimdata import Setup, SpimData
from neurozarr.sources.bdv.views import Hdf5Views, StoreViews, Views
from neurozarr.sources.hdf5 import Hdf5Source, check_links, is_hdf5, opened
from neurozarr.sources.missing import filled_text
from neurozarr.sources.zarr.images import damage_named, open_store
from neurozarr.units import MAX_LENGTH, is_plausible

logger = logging.getLogger(__name__)

#: Formats of image loaders that can be read.
_LOADERS = ("bdv.hdf5", "bdv.n5", "bdv.multimg.zarr", "bdv.ome.zarr")
#: Name of the coordinate system of registered views.
WORLD = "world"
#: Largest ratio between the units of the world along two axes that are taken as equal.
_EQUAL_UNITS = 1.05
#: Names of the groups of setups and time points in an HDF5 file.
_GROUPS = {"s": r"s(\d{2,})", "t": r"t(\d{5,})"}
#: What ``dataset`` can name in an HDF5 file without XML: a setup, or one of its arrays.
_NAMED = re.compile(r"/?(?:t(\d{5,})/)?s(\d{2,})(?:/(\d+)/cells)?/?")


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewsSource(Source):
    """Full resolution of a view setup, at all its time points.

    Attributes
    ----------
    views
        Its views.
    times
        Number of its time points.
    missing
        Numbers of the time points, from 0, that have no view and are filled with zeros.
    """

    views: Views
    times: int
    missing: tuple[int, ...] = ()

    @classmethod
    def _fields(
        cls,
        files: Sequence[str | Path],
        views: Views,
        times: int,
        missing: Sequence[int] = (),
    ) -> dict[str, Any]:
        """Fields of a source that follow from its views; ``files`` are others that it has."""
        first = views.volume(next(number for number in range(times) if number not in missing))
        chunks = first.chunks
        if times > 1:
            chunks = None if chunks is None else (1, *chunks)
        return {
            "views": views,
            "times": times,
            "missing": tuple(missing),
            "filled": filled_text("time points", "t", [[time] for time in missing], times),
            "files": tuple(dict.fromkeys(map(Path, (*files, *first.files)))),
            "file_axes": "tzyx" if times > 1 else "zyx",
            "file_shape": (times, *first.shape) if times > 1 else first.shape,
            "dtype": first.dtype,
            "file_native_chunk_shape": chunks,
        }

    def read_file(self, region: Region) -> np.ndarray:
        if self.times == 1:
            return self.views.read(0, region)
        voxels = np.empty([side.stop - side.start for side in region], self.dtype)
        for place, time in enumerate(range(region[0].start, region[0].stop)):
            voxels[place] = 0 if time in self.missing else self.views.read(time, region[1:])
        return voxels

    def check(self) -> None:
        super().check()
        numbers = [number for number in range(self.times) if number not in self.missing]
        first = self.views.volume(numbers[0])
        for number in numbers[1:]:
            other = self.views.volume(number)
            if (other.shape, other.dtype) != (first.shape, first.dtype):
                raise SourceError(
                    f"{self.files[0]}: time point {number}, counted from 0, has shape "
                    f"{other.shape} and type {other.dtype}, but {numbers[0]} has {first.shape} "
                    f"and {first.dtype}"
                )


@dataclass(frozen=True, kw_only=True, eq=False)
class BdvSource(ViewsSource):
    """A view setup of an XML file.

    Its registration maps voxel indices to a world, in which BigStitcher puts the views together. A
    unit of the world is the voxel size divided by the scale of the registration, as BigStitcher
    takes it (``TransformationTools.computeCalibration``): usually one unit of the voxel size, or
    the smallest voxel size. The position is that in the world, in the unit of the voxel size.

    Attributes
    ----------
    registration
        Affines of the first time point, 4 by 4 matrices, the one that is applied last first; empty
        if unknown.
    """

    suffixes = (".xml",)
    takes = ("dataset", "missing")

    registration: tuple[np.ndarray, ...]

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        with damage_named(path):
            data = spimdata.read(path)
            setup = data.setup(layout.dataset)
            times = data.times_of(setup)
            missing = [number for number, time in enumerate(data.times) if time not in times]
            if missing and (layout.missing is None or not times):
                without = sorted(data.times[number] for number in missing)
                listed = ", ".join(map(str, without[:10])) + ", ..." * (len(without) > 10)
                raise SourceError(
                    f"{path}: view setup {setup.number} has no voxels at the time points {listed}, "
                    "as <MissingViews> says; set missing to fill in a sample sheet to fill them "
                    "with zeros, or give an XML file whose <Timepoints> leave them out"
                )
            views = _views(data, setup)
            return cls(
                **cls._fields([path, *data.partitions], views, len(data.times), missing),
                **_size(setup),
                registration=_registration(data, setup),
                channel_names=(setup.channel,) if setup.channel else (),
            )

    def positioned(self) -> Self:
        if not self.registration:
            return self
        affine = _product(self.registration)
        length = _world_unit(self.registration[-1], affine, self.voxel_size[::-1])
        scaled = np.diag([length or 0.0] * 3 + [1.0]) @ affine
        if not _is_valid(scaled):
            logger.warning(
                "%s: the unit of its registration is unknown, so that its position is not kept",
                self._name,
            )
            return replace(self, spaces=(Space(WORLD, _rows(affine), "", {}),))
        return replace(
            self,
            position=tuple(scaled[2::-1, 3].tolist()),
            spaces=(Space(WORLD, _rows(scaled), self.space_unit, {}),),
        )

    @classmethod
    def images(cls, path: str, layout: Layout) -> Sequence[Member]:
        with damage_named(path):
            data = spimdata.read(path)
            return [
                Member(str(setup.number), setup.name or f"setup{setup.number}")
                for setup in data.setups.values()
                if data.times_of(setup)
            ]


@dataclass(frozen=True, kw_only=True, eq=False)
class BdvHdf5Source(ViewsSource):
    """A view setup, such as s00, of an HDF5 file of BigDataViewer that is given without its XML.

    Sizes and positions are unknown, as they are in the XML file. ``dataset`` can also be the path
    of one of its arrays, such as t00000/s00/0/cells.
    """

    suffixes = Hdf5Source.suffixes
    takes = ("dataset",)

    @classmethod
    def matches(cls, path: str) -> bool:
        try:
            return super().matches(path) and is_hdf5(path) and bool(_numbers(path)["s"])
        except SourceError:  # As an HDF5 file, it is refused with the same error.
            return False

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        numbers, named = _numbers(path), layout.dataset
        match = _NAMED.fullmatch(named or "")
        if named is None and len(numbers["s"]) == 1:
            (setup,) = numbers["s"]
        elif match and int(match[2]) in numbers["s"]:
            setup = int(match[2])
        else:
            told = "" if named is None else f"dataset is {named!r}, but "
            raise SourceError(
                f"{path}: {told}the file has the view setups "
                f"{', '.join(f's{number:02}' for number in numbers['s'])}; name one by dataset, or "
                "give the XML file"
            )
        times = [int(match[1])] if match and match[1] else numbers["t"]
        views = Hdf5Views(path, setup, times, int(match[3] or 0) if match else 0)
        return cls(**cls._fields([path], views, len(times)))

    @classmethod
    def images(cls, path: str, layout: Layout) -> Sequence[Member]:
        return [Member(f"s{number:02}", f"s{number:02}") for number in _numbers(path)["s"]]


def _numbers(path: str) -> dict[str, list[int]]:
    """Numbers of the view setups (s) and time points (t) of an HDF5 file of BigDataViewer.

    There are no view setups in other HDF5 files.
    """
    with opened(path) as file:
        found = {
            kind: sorted(int(match[1]) for name in file if (match := re.fullmatch(pattern, name)))
            for kind, pattern in _GROUPS.items()
        }
        for setup in found["s"][:1]:
            name = f"s{setup:02}/resolutions"
            check_links(path, file, name)
            if not found["t"] or name not in file:
                found["s"] = []
        return found


def _views(data: SpimData, setup: Setup) -> Views:
    """The views of a setup, where the image loader has them."""
    kind = data.loader.get("format")
    if kind == "bdv.hdf5":
        return Hdf5Views(data.location("hdf5"), setup.number, data.times)
    if kind == "bdv.n5":
        names = [f"setup{setup.number}/timepoint{time}/s0" for time in data.times]
        return StoreViews(data.location("n5"), [(name, None) for name in names])
    if kind == "bdv.multimg.zarr":
        return StoreViews(data.location("zarr"), data.images_of(setup))
    if kind == "bdv.ome.zarr":
        return _channel_views(data, setup)
    raise SourceError(
        f"{data.path}: its image loader is {kind!r}; supported: {', '.join(_LOADERS)}; save the "
        "images again in one of these formats with BigStitcher, or convert the original files"
    )


def _channel_views(data: SpimData, setup: Setup) -> Views:
    """The views of one OME-Zarr image, whose channels are the setups (N5OMEZarrImageLoader)."""
    root = data.location("zarr")
    node = open_store(root).node("")
    images = reading.images_of(node.attributes) if node else []
    axes = reading.grid_of(images[0], 0).axes if images else None
    if axes is None or axes[-3:] != "zyx":
        raise SourceError(f"{root}: not an OME-Zarr image whose last axes are z, y and x")
    places = [{"c": setup.number, "t": time} for time in data.times]
    return StoreViews(root, [("", tuple(place[axis] for axis in axes[:-3])) for place in places])


def _size(setup: Setup) -> dict[str, Any]:
    """Voxel size and its unit, as fields of a source."""
    try:
        unit = units.ome_unit(setup.unit, "space")
    except ValueError:
        unit = ""
    if len(setup.voxel_size) != 3 or not all(map(is_plausible, setup.voxel_size)):
        return {}
    return {"voxel_size": setup.voxel_size, "space_unit": unit}


def _registration(data: SpimData, setup: Setup) -> tuple[np.ndarray, ...]:
    """The transformations of the first time point, the one that is applied last first."""
    registrations = data.registrations(setup)
    affines = registrations.get(data.times_of(setup)[0], ())
    name, affine = f"{data.path}, view setup {setup.number}", _product(affines)
    if not affines or not _is_valid(affine):
        wrong = "is missing or not an affine" if not affines else "has no inverse"
        logger.warning("%s: its registration %s; its position is not kept", name, wrong)
        return ()
    others = [registrations[time] for time in data.times_of(setup) if time in registrations]
    if any(not np.array_equal(_product(other), affine) for other in others):
        logger.warning(
            "%s: its registration differs between time points; that of the first one is kept", name
        )
    return affines


def _product(affines: Sequence[np.ndarray]) -> np.ndarray:
    """The affine of a view: the last one of the list is applied first."""
    return functools.reduce(np.matmul, affines, np.eye(4))


def _is_valid(affine: np.ndarray) -> bool:
    return bool((np.abs(affine) < MAX_LENGTH).all()) and nifti.has_inverse(affine)


def _rows(affine: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in affine[:3].tolist())


def _world_unit(
    calibration: np.ndarray, affine: np.ndarray, voxel_size: Sequence[float]
) -> float | None:
    """Length of a unit of the world, in the unit of the voxel size; None if axes contradict.

    It is the voxel size divided by the scale of the registration. That of the calibration, the
    transformation that is applied first, is not changed by the alignment of views.

    Parameters
    ----------
    calibration
        The transformation that is applied first.
    affine
        The whole registration.
    voxel_size
        Along x, y and z.
    """
    for matrix in (calibration, affine):
        with np.errstate(all="ignore"):  # A length that overflows is not valid.
            lengths = np.divide(voxel_size, np.linalg.norm(matrix[:3, :3], axis=0))
            length = float(lengths.mean())
        if lengths.max() < _EQUAL_UNITS * lengths.min() and is_plausible(length):
            return length
    return None
