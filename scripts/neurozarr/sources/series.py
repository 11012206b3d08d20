"""Series of volumes, each a source of its own, as the times or channels of an image."""

from __future__ import annotations

import itertools
import os
import re
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from neurozarr import nifti
from neurozarr.errors import SourceError
from neurozarr.files import check_kind
from neurozarr.regions import Region
from neurozarr.sources import channels, images
from neurozarr.sources.base import Layout, Source
from neurozarr.sources.columns import check_columns
from neurozarr.sources.dicom import DicomSource
from neurozarr.sources.missing import filled_text
from neurozarr.sources.nibabel_image import describe
from neurozarr.sources.paths import PLACE, has_places, is_list, parts, positions
from neurozarr.sources.placing import Grid, grid

#: What must be the same for all volumes, and what must be if it is known of both.
_SAME = ("file_axes", "dtype", "slope", "inter")
_SAME_IF_KNOWN = ("space_unit", "voxel_size", "position", "time_unit", "time_step", "affine")
#: How far apart voxels of two volumes may be to be at the same place, in voxels; and relative
#: difference of equal sizes. Programs round what they write to 32-bit floats.
_TOLERANCE = 0.01
_RELATIVE_TOLERANCE = 1e-4
#: Number of volumes that are kept open.
_MAX_OPEN = 16
#: Volumes that hold more memory than this, in bytes, are read one at a time.
_MAX_HELD = 2**26


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesSource(Source):
    """Volumes of any family, one at each path of a pattern with {t} and {c}, or of a list.

    The volumes of a list are channels, named after what differs between their names. If volumes
    have times or channels themselves, those of all volumes follow each other. Voxel size, units,
    affine and header are those of the first volume; those that it lacks, of the first that has
    them.

    Attributes
    ----------
    paths
        Paths of the volumes.
    grid_axes
        Names of the axes of the grid of volumes, of t and c.
    starts
        For each of ``grid_axes``, where each volume starts along it, and where the last one ends.
    placed
        Index in ``paths`` of the volume at each place of the grid; -1 if it is missing, so that its
        voxels are 0.
    files_of_each
        Files of each volume.
    first
        The first volume.
    opened
        Opens a volume by its number; the last ones are kept, so that a compressed volume is read in
        one pass.
    lock
        Held while a volume is read, if it takes much memory.
    checked
        Numbers of the volumes whose files are checked by their families.
    """

    suffixes = ()
    #: Those of any family; `open` refuses others than those of the families of the volumes.
    takes = tuple(column.name for column in fields(Layout))
    #: The families of volumes, in the order in which they are tried.
    families: ClassVar[Sequence[type[Source]]] = ()

    paths: tuple[str, ...]
    files_of_each: tuple[tuple[Path, ...], ...]
    grid_axes: str
    placed: np.ndarray[Any, Any]
    starts: dict[str, tuple[int, ...]]
    first: Source
    opened: Callable[[int], Source] = field(repr=False)
    lock: AbstractContextManager[Any] = field(repr=False)
    checked: list[int]

    @classmethod
    def matches(cls, path: str) -> bool:
        """Whether a path is a list, or a pattern of other files than slices and tiles."""
        if is_list(path):
            return True
        if not has_places(path) or images.format_of(path):
            return False
        first = min(positions(path).files, default=re.sub(PLACE, "0", path))
        return cls._family(first) is not None

    @classmethod
    def _family(cls, path: str) -> type[Source] | None:
        return next((family for family in cls.families if family.matches(path)), None)

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        axes, placed, paths, names = _grid(path, may_lack=layout.missing is not None)
        if wrong := sorted(set(axes) - set("tc")):
            raise SourceError(
                f"{path}: {{{wrong[0]}}} applies only to images of slices and tiles; a volume can "
                "be one of {t} or {c}"
            )
        open_one = cls._opener(path, paths, layout)
        first = open_one(0)
        facts = _Facts(axes, placed.shape)
        for number, index in enumerate(np.argwhere(placed >= 0).tolist()):
            facts.add(paths[number], open_one(number) if number else first, index)
        known = facts.known | facts.joined_channels(names)
        if "t" in axes and first.nifti_header is not None and not known["time_step"]:
            known["time_step"] = describe(nifti.load(first.nifti_header), "t")["time_step"]
        starts = facts.starts(path, first)
        lengths = _lengths(first) | {axis: along[-1] for axis, along in starts.items()}
        outer = "".join(axis for axis in axes if axis not in first.file_axes)
        chunk = first.file_native_chunk_shape
        kept = 1 if facts.in_order or facts.held_bytes > _MAX_HELD else _MAX_OPEN
        missing = filled_text("files", axes, np.argwhere(placed < 0).tolist(), placed.size)
        return cls(
            files=tuple(dict.fromkeys(itertools.chain(*facts.files))),
            file_axes=outer + first.file_axes,
            file_shape=tuple(lengths[axis] for axis in outer + first.file_axes),
            dtype=first.dtype,
            file_native_chunk_shape=None if chunk is None else (1,) * len(outer) + chunk,
            in_order=facts.in_order,
            held_bytes=facts.held_bytes * kept,
            slope=first.slope,
            inter=first.inter,
            # That of colours would not fit the colours of several files.
            nifti_header=None if {*axes} & {*first.file_axes} == {"c"} else first.nifti_header,
            labels=first.labels,
            filled="; ".join(filter(None, [missing, *facts.filled])),
            paths=tuple(paths),
            files_of_each=tuple(facts.files),
            grid_axes=axes,
            placed=placed,
            starts=starts,
            first=first,
            opened=lru_cache(maxsize=kept)(open_one),
            lock=threading.Lock() if facts.held_bytes > _MAX_HELD else nullcontext(),
            checked=facts.checked,
            **known,
        )

    @classmethod
    def _opener(cls, path: str, paths: Sequence[str], layout: Layout) -> Callable[[int], Source]:
        """A function that opens the volume of a number, by its own family."""
        families = [cls._family(each) for each in paths]
        for each, family in zip(paths, families, strict=True):
            if family is None:
                if not os.path.isdir(each):
                    check_kind(each)
                what = "not a supported format" if os.path.exists(each) else "there is no such file"
                raise SourceError(f"{each}: {what}")
            if family is DicomSource:
                raise SourceError(
                    f"{each}: a DICOM series cannot be one of several volumes; convert it to "
                    "NIfTI, and name that file"
                )
            filled = () if is_list(path) else ("missing",)
            check_columns(each, layout, (*family.takes, *filled))

        def open_one(number: int) -> Source:
            family = families[number]
            assert family is not None
            return family.open(paths[number], layout)

        return open_one

    def read_file(self, region: Region) -> np.ndarray:
        voxels = np.empty([side.stop - side.start for side in region], self.dtype)
        for number, target, inside in self._volumes(region):
            if number < 0:
                voxels[target] = 0
                continue
            with self.lock:
                voxels[target] = self._open(number).read_stored(inside)
        return voxels

    def check(self) -> None:
        super().check()
        for number in self.checked:
            self._open(number).check()

    def files_of(self, region: Region) -> tuple[Path, ...]:
        sides = dict(zip(self.axes, region, strict=True))
        volumes = self._volumes(tuple(sides[axis] for axis in self.file_axes))
        files = (self.files_of_each[number] for number, _, _ in volumes if number >= 0)
        return tuple(dict.fromkeys(itertools.chain(*files)))

    def _volumes(self, region: Region) -> Iterator[tuple[int, Region, Region]]:
        """The volumes that a region (along ``file_axes``) is read from.

        For each, its number, or -1; its voxels in the region; and the same voxels in the volume.
        """
        sides = dict(zip(self.file_axes, region, strict=True))
        along = [
            range(
                bisect_right(self.starts[axis], sides[axis].start) - 1,
                bisect_left(self.starts[axis], sides[axis].stop),
            )
            for axis in self.grid_axes
        ]
        for index in itertools.product(*along):
            target = {axis: slice(0, side.stop - side.start) for axis, side in sides.items()}
            inside = dict(sides)
            for axis, i in zip(self.grid_axes, index, strict=True):
                begin, end = self.starts[axis][i : i + 2]
                start, stop = max(sides[axis].start, begin), min(sides[axis].stop, end)
                target[axis] = slice(start - sides[axis].start, stop - sides[axis].start)
                inside[axis] = slice(start - begin, stop - begin)
            yield (
                int(self.placed[index]),
                tuple(target.values()),
                tuple(inside[a] for a in self.first.file_axes),
            )

    def _open(self, number: int) -> Source:
        """Open a volume; a SourceError if it has become another one since the series was opened."""
        volume = self.opened(number)
        (index,) = np.argwhere(self.placed == number).tolist()
        expected = _lengths(self.first)
        for axis, i in zip(self.grid_axes, index, strict=True):
            if axis in expected:
                expected[axis] = self.starts[axis][i + 1] - self.starts[axis][i]
        found = (_lengths(volume), *(getattr(volume, name) for name in _SAME))
        if found != (expected, *(getattr(self.first, name) for name in _SAME)):
            raise SourceError(f"{self.paths[number]}: it was changed since it was first opened")
        return volume


class _Facts:
    """What the volumes of a series have in common, and what they add to each other.

    Attributes
    ----------
    known
        Fields of a source: for each, the value of the first volume that has one.
    files
        Files of each volume.
    held_bytes
        Most memory that a volume holds, in bytes.
    in_order
        Whether a volume can only be read in order.
    checked
        Numbers of the volumes whose families check more than that files can be read.
    filled
        What is filled with zeros in each volume.
    """

    def __init__(self, grid_axes: str, counts: Sequence[int]) -> None:
        self.known: dict[str, Any] = {}
        self.files: list[tuple[Path, ...]] = []
        self.held_bytes = 0
        self.in_order = False
        self.checked: list[int] = []
        self.filled: list[str] = []
        self._extents = {axis: [0] * n for axis, n in zip(grid_axes, counts, strict=True)}
        self._channels: dict[int, dict[str, Any]] = {}
        self._said_by: dict[str, str] = {}
        self._expected: dict[str, Any] = {}

    def add(self, path: str, volume: Source, index: Sequence[int]) -> None:
        """Add a volume at an index of the grid; a SourceError if it contradicts those before it."""
        self._compare(path, volume)
        place = dict(zip(self._extents, index, strict=True))
        lengths = _lengths(volume)
        for axis, i in place.items():
            along, length = self._extents[axis], lengths.get(axis, 1)
            along[i] = along[i] or length
            if length != along[i]:
                raise SourceError(
                    f"{path}: it has {length} voxels along {axis}, but others at its place along "
                    f"{axis} have {along[i]}; they must have the same"
                )
        self._channels.setdefault(place.get("c", 0), vars(volume))
        if type(volume).check is not Source.check:
            self.checked.append(len(self.files))
        self.files.append(volume.files)
        self.held_bytes = max(self.held_bytes, volume.held_bytes)
        self.in_order |= volume.in_order
        self.filled += [f"{os.path.basename(path)}: {volume.filled}"] if volume.filled else []

    def joined_channels(self, names: Sequence[str]) -> dict[str, Any]:
        """Fields of a source for the channels, if there are volumes for several."""
        if "c" not in self._extents:
            return {name: self._channels[0][name] for name in channels.FIELDS}
        lengths = [length or 1 for length in self._extents["c"]]
        each = [self._channels.get(number, {}) for number in range(len(lengths))]
        return channels.joined(each, lengths, names)

    def starts(self, path: str, first: Source) -> dict[str, tuple[int, ...]]:
        """Where each place starts along each axis of the grid, and where the last one ends."""
        for axis, along in self._extents.items():
            if 0 in along and axis in first.file_axes:
                raise SourceError(
                    f"{path}: all files at place {along.index(0)} along {axis} are missing, so "
                    f"that their number of voxels along {axis} is unknown"
                )
        return {
            axis: (0, *itertools.accumulate(length or 1 for length in along))
            for axis, along in self._extents.items()
        }

    def _compare(self, path: str, volume: Source) -> None:
        """Compare a volume with those before it."""
        inner = tuple(n for axis, n in _lengths(volume).items() if axis not in self._extents)
        exact = {"shape": f"{inner} along {volume.file_axes}"}
        exact |= {name: getattr(volume, name) for name in _SAME}
        exact["kind of voxels"] = "intensities" if volume.labels is None else "labels"
        for name, value in exact.items():
            if value != self._expected.setdefault(name, value):
                raise self._error(path, name, value, self._expected[name])
            self._said_by.setdefault(name, path)
        for name in _SAME_IF_KNOWN:
            value = getattr(volume, name)
            if _is_unknown(value):
                self.known.setdefault(name, value)
            elif _is_unknown(self.known.get(name)):
                self.known[name], self._said_by[name] = value, path
            elif not _is_close(name, value, self.known[name], volume):
                raise self._error(path, name, value, self.known[name])

    def _error(self, path: str, name: str, value: Any, expected: Any) -> SourceError:
        if isinstance(value, np.ndarray):
            value, expected = (matrix.round(6).tolist() for matrix in (value, expected))
        return SourceError(
            f"{path}: its {name.replace('_', ' ')} is {value}, but that of {self._said_by[name]} "
            f"is {expected}; all volumes must have the same: convert or resample them, or list "
            "those that fit, separated by ;"
        )


def _grid(path: str, *, may_lack: bool) -> Grid:
    """The volumes of a pattern or a list, and the names of the channels, if they have any."""
    if not is_list(path):
        return grid(path, may_lack=may_lack)
    listed = parts(path)
    if len(set(listed)) < max(len(listed), 2):
        raise SourceError(f"{path}: a list of volumes needs two or more different paths")
    return Grid("c", np.arange(len(listed)), listed, tuple(channels.differing(listed)))


def _lengths(volume: Source) -> dict[str, int]:
    return dict(zip(volume.file_axes, volume.file_shape, strict=True))


def _is_unknown(value: Any) -> bool:
    return value is None or (not isinstance(value, np.ndarray) and value in ((), "", 0))


def _is_close(name: str, value: Any, expected: Any, volume: Source) -> bool:
    """Whether a field of two volumes is the same, but for rounding."""
    if isinstance(value, str):
        return bool(value == expected)
    if name == "position":
        voxel = np.array(volume.voxel_size or 1.0)
        return bool((np.abs(np.subtract(value, expected)) <= _TOLERANCE * voxel).all())
    if name != "affine":
        return np.allclose(value, expected, rtol=_RELATIVE_TOLERANCE, atol=0)
    lengths = _lengths(volume)
    corners = itertools.product(*((0, lengths.get(axis, 1) - 1) for axis in "xyz"), (1,))
    apart = np.linalg.norm((value - expected)[:3] @ np.array(list(corners)).T, axis=0)
    voxel = np.linalg.norm(expected[:3, :3], axis=0).min()
    return bool((apart <= _TOLERANCE * voxel).all())
