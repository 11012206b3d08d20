"""Stacks of slices, and mosaics of tiles: many files of images that make one array."""

from __future__ import annotations

import glob
import itertools
import math
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from neurozarr.axes import SPATIAL, STORED_ORDER
from neurozarr.errors import SourceError
from neurozarr.files import check_kind
from neurozarr.regions import Region
from neurozarr.sources import images
from neurozarr.sources.base import Layout, Source, check_axes
from neurozarr.sources.images import Image
from neurozarr.sources.paths import PLACE, has_places, is_pattern, natural, positions, sources

#: Files that tell a directory of another family.
_OTHERS = ("zarr.json", ".zarray", ".zgroup", "attributes.json", "DICOMDIR")


@dataclass(frozen=True, kw_only=True, eq=False)
class StackSource(Source):
    """Images that lie on a grid, a file each.

    The files of a directory (but hidden ones, and directories) or of a glob, one slice each, lie
    one behind the other, in natural order (a2 before a10), along z or the first of ``axes``. Those
    of a pattern lie where the numbers at its places {t}, {c}, {z}, {y} and {x} say, which may start
    anywhere but follow each other. Colours of a slice are channels; the pages of a TIFF that does
    not say more of them are z.

    With {z}, {y} or {x} files are tiles. ``overlap`` voxels of a tile lie in the next one too: a
    tile keeps all voxels up to its end, and of the next one the first ``overlap`` are dropped. All
    have the same shape, but that the last along an axis may be smaller.

    Attributes
    ----------
    tile
        What the header of the first file says.
    tile_axes
        Names of its axes, as they are called here.
    last_shape
        Length of the last tile along each of its axes.
    places
        Names of the axes that files lie along.
    counts
        How many do, along each of ``places``; ``files`` are in C order.
    overlap
        Along z, y and x, in voxels.
    """

    suffixes = images.SUFFIXES
    takes = ("axes", "overlap")

    tile: Image
    tile_axes: str
    last_shape: tuple[int, ...]
    places: str
    counts: tuple[int, ...]
    overlap: tuple[int, ...]

    @classmethod
    def matches(cls, path: str) -> bool:
        """Whether a path names images: a pattern, a glob, a directory, or PNG or JPEG 2000 files.

        A single TIFF file may be more than a slice, and is not of this family.
        """
        if has_places(path):
            return images.format_of(path) != ""
        if is_pattern(path):
            return images.format_of(path) != "" or any(map(images.format_of, _glob(path)))
        if not os.path.isdir(path):
            return images.format_of(path) in ("PNG", "JPEG 2000")
        try:
            names = [entry.name for entry in os.scandir(path) if not entry.is_dir()]
        except PermissionError:
            return False
        others = any(name in _OTHERS or name.lower().endswith(".dcm") for name in names)
        return not others and any(map(images.format_of, names))

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        if has_places(path):
            return cls._open_pattern(path, layout)
        if layout.overlap is not None:
            raise SourceError(
                f"{path}: overlap is {layout.overlap}, but only tiles have one, whose numbers "
                "along z, y or x are places of a pattern, such as tile_{y}_{x}.tif"
            )
        files = _slices(path, layout.output)
        tile = images.read_header(files[0])
        if not set(tile.axes) <= set("yxc"):
            raise SourceError(
                f"{files[0]}: a slice of a stack is one image, but this has shape {tile.shape} "
                f"along {tile.axes}; a pattern with places such as {{z}} or {{t}} can name volumes"
            )
        shape = (len(files), *tile.shape)
        own = f"z{tile.axes}"
        axes = layout.axes or own
        check_axes(path, axes, shape)
        said = _known(files[0], "z" if len(files) > 1 and axes[0] in SPATIAL else "")
        return cls._of(
            files,
            tile=tile,
            said=said if axes == own else _renamed(said, own, axes),
            tile_axes=axes[1:],
            last_shape=tile.shape,
            places=axes[0],
            counts=(len(files),),
            overlap=(0, 0, 0),
        )

    @classmethod
    def _open_pattern(cls, pattern: str, layout: Layout) -> Self:
        if layout.axes is not None:
            raise SourceError(
                f"{pattern}: axes is {layout.axes!r}, but the places of a pattern name the axes; "
                "leave it empty"
            )
        places, counts, files = _grid(pattern)
        tile = images.read_header(files[0])
        if twice := set(places) & set(tile.axes) & set("tc"):
            raise SourceError(
                f"{pattern}: it has a place for {min(twice)}, but {files[0]} has that axis itself, "
                f"with shape {tile.shape} along {tile.axes}"
            )
        several = "".join(a for a, count in zip(places, counts, strict=True) if count > 1)
        dropped = _checked_overlap(pattern, layout.overlap, places, tile)
        overlap = tuple(n if a in several else 0 for a, n in zip(SPATIAL, dropped, strict=True))
        last_shape = tile.shape
        if set(several) & set(tile.axes):
            last_shape = _checked_last(files, tile, several, overlap)
        behind = (set(several) & set(SPATIAL)) - set(tile.axes)
        return cls._of(
            files,
            tile=tile,
            said=_known(files[0], behind),
            tile_axes=tile.axes,
            last_shape=last_shape,
            places=places,
            counts=counts,
            overlap=overlap,
        )

    @classmethod
    def _of(
        cls,
        files: Sequence[str],
        *,
        tile: Image,
        tile_axes: str,
        said: dict[str, Any],
        last_shape: tuple[int, ...],
        places: str,
        counts: tuple[int, ...],
        overlap: tuple[int, ...],
    ) -> Self:
        dropped = dict(zip(SPATIAL, overlap, strict=True))
        lengths = dict(zip(tile_axes, tile.shape, strict=True))
        last = dict(zip(tile_axes, last_shape, strict=True))
        together = dict(zip(tile_axes, tile.native_chunk_shape, strict=True))
        for axis, count in zip(places, counts, strict=True):
            step = lengths.get(axis, 1) - dropped.get(axis, 0)
            lengths[axis] = (count - 1) * step + last.get(axis, 1)
            together[axis] = min(together.get(axis, 1), step)
        file_axes = "".join(axis for axis in places if axis not in tile_axes) + tile_axes
        return cls(
            files=tuple(map(Path, files)),
            file_axes=file_axes,
            file_shape=tuple(lengths[axis] for axis in file_axes),
            dtype=tile.dtype,
            file_native_chunk_shape=tuple(together[axis] for axis in file_axes),
            tile=tile,
            tile_axes=tile_axes,
            last_shape=last_shape,
            places=places,
            counts=counts,
            overlap=overlap,
            **said,
        )

    def read_file(self, region: Region) -> np.ndarray:
        voxels = np.empty([side.stop - side.start for side in region], self.dtype)
        for index, outside, inside in self._parts(region):
            file = str(self.files[self._number(index)])
            voxels[outside] = images.read_voxels(file, inside, self._image(index))
        return voxels

    def check(self) -> None:
        for number, file in enumerate(self.files):
            index = np.unravel_index(number, self.counts)
            expected = self._image(dict(zip(self.places, map(int, index), strict=True)))
            images.check(str(file), images.read_header(str(file)), expected)

    def files_of(self, region: Region) -> tuple[Path, ...]:
        sides = dict(zip(self.axes, region, strict=True))
        parts = self._parts(tuple(sides[axis] for axis in self.file_axes))
        return tuple(self.files[number] for number in sorted(self._number(i) for i, _, _ in parts))

    def _parts(self, region: Region) -> Iterator[tuple[dict[str, int], Region, Region]]:
        """The files that a region lies in: where on the grid, where in the region, where in them.

        The region is given along the axes of the file, what is inside along those of a tile.
        """
        sides = [
            list(self._parts_along(axis, side))
            for axis, side in zip(self.file_axes, region, strict=True)
        ]
        for parts in itertools.product(*sides):
            index = {
                axis: number
                for axis, (number, _, _) in zip(self.file_axes, parts, strict=True)
                if axis in self.places
            }
            outside = tuple(part for _, part, _ in parts)
            yield index, outside, tuple(part for _, _, part in parts[-len(self.tile_axes) :])

    def _parts_along(self, axis: str, side: slice) -> Iterator[tuple[int, slice, slice]]:
        own = self.tile_axes.find(axis)
        length = 1 if own < 0 else self.tile.shape[own]
        overlap = self.overlap[SPATIAL.index(axis)] if axis in SPATIAL else 0
        step = length - overlap
        start = side.start
        while start < side.stop:
            number = max((start - overlap) // step, 0)
            stop = min(number * step + length, side.stop)
            yield (
                number,
                slice(start - side.start, stop - side.start),
                slice(start - number * step, stop - number * step),
            )
            start = stop

    def _number(self, index: dict[str, int]) -> int:
        return int(np.ravel_multi_index([index[axis] for axis in self.places], self.counts))

    def _image(self, index: dict[str, int]) -> Image:
        """What the header of the file at a place of the grid should say."""
        ends = {axis: count - 1 for axis, count in zip(self.places, self.counts, strict=True)}
        shape = tuple(
            last if axis in ends and index[axis] == ends[axis] else length
            for axis, length, last in zip(
                self.tile_axes, self.tile.shape, self.last_shape, strict=True
            )
        )
        return replace(self.tile, shape=shape)


def _glob(path: str) -> list[str]:
    return glob.glob(path, recursive=True)


def _slices(path: str, output: str | None) -> list[str]:
    """The images of a directory or of a glob, in natural order; what else a run writes is none.

    Raises
    ------
    SourceError
        There are none, or others beside them, or two have the same place in the order.
    """
    if os.path.isdir(path):
        found = sorted(_files(path))
    elif is_pattern(path):
        named = _glob(path) if output is None else sources(path, output)
        found = sorted(file for file in named if not os.path.isdir(file))
    else:
        found = [path]
    if not found:
        raise SourceError(f"{path}: no file is named so")
    formats = {file: images.format_of(file) for file in found}
    suffix = next((os.path.splitext(file)[1] for file in found if formats[file]), ".tif")
    for file, name in formats.items():
        if not name:
            raise SourceError(
                f"{file}: not an image; name the slices alone, by a glob such as "
                f"{os.path.join(os.path.dirname(file), '*' + suffix)}"
            )
        if name != formats[found[0]]:
            raise SourceError(
                f"{file}: a {name} file, but {found[0]} is {formats[found[0]]}; name the slices "
                "alone, by a glob"
            )
    places: dict[str, str] = {}
    for file in found:
        # The zeros before a number do not change it.
        place = re.sub(r"(?<!\d)0+(?=\d)", "", os.path.splitext(file)[0])
        if place in places:
            raise SourceError(
                f"{file}: it has the same place in the stack as {places[place]}; move one of them "
                "away"
            )
        places[place] = file
    found.sort(key=lambda file: natural(os.path.splitext(file)[0]))
    if os.path.isdir(path):
        _check_gaps(path, found)
    return found


def _files(path: str) -> Iterator[str]:
    """The files of a directory, but hidden ones."""
    with os.scandir(path) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and not entry.is_dir():
                if not entry.is_file():
                    check_kind(entry.path)
                yield entry.path


def _check_gaps(path: str, files: Sequence[str]) -> None:
    """Raise a SourceError where slices that one number tells apart do not follow each other.

    Their numbers may differ by any step, if it is always the same.
    """
    names = [natural(os.path.splitext(os.path.basename(file))[0]) for file in files]
    if len({tuple(text for text, _ in name) for name in names}) > 1:
        return
    varying = [column for column in zip(*names, strict=True) if len(set(column)) > 1]
    if len(varying) != 1:
        return
    numbers = [number for _, number in varying[0]]
    step = min(b - a for a, b in itertools.pairwise(numbers))
    for (number, after), (file, next_file) in zip(
        itertools.pairwise(numbers), itertools.pairwise(files), strict=True
    ):
        if after - number != step:
            raise SourceError(
                f"{path}: slice {number + step} is missing between {file} and {next_file}; to "
                "convert those that are there, name them by a glob"
            )


def _grid(pattern: str) -> tuple[str, tuple[int, ...], list[str]]:
    """The places of a pattern, how many files lie along each, and the files in C order.

    Raises
    ------
    SourceError
        There are none, a number is missing, or two files have the same numbers.
    """
    found = positions(pattern)
    if not found:
        raise SourceError(f"{pattern}: no file is named so, with numbers at its places")
    places = "".join(axis for axis in STORED_ORDER if axis in re.findall(PLACE, pattern))
    files: dict[tuple[int, ...], str] = {}
    for file in sorted(found):
        index = tuple(found[file][axis] for axis in places)
        if index in files:
            raise SourceError(
                f"{file}: it has the same place in the grid as {files[index]}; move one of them "
                "away"
            )
        files[index] = file
    numbers = [sorted(set(along)) for along in zip(*files, strict=True)]
    for axis, along in zip(places, numbers, strict=True):
        for number, after in itertools.pairwise(along):
            if after != number + 1:
                raise SourceError(
                    f"{pattern}: no file has {axis} = {number + 1}, but there are {number} and "
                    f"{after}; numbers must follow each other, or give a glob"
                )
    counts = tuple(map(len, numbers))
    if lacking := math.prod(counts) - len(files):
        first = next(index for index in itertools.product(*numbers) if index not in files)
        where = ", ".join(f"{axis} = {n}" for axis, n in zip(places, first, strict=True))
        raise SourceError(
            f"{pattern}: no file has {where}; {lacking} of {math.prod(counts)} are missing"
        )
    return places, counts, [files[index] for index in sorted(files)]


def _checked_overlap(
    pattern: str, overlap: tuple[int, ...] | None, places: str, tile: Image
) -> tuple[int, ...]:
    if overlap is None:
        return (0, 0, 0)
    lengths = dict(zip(tile.axes, tile.shape, strict=True))
    if len(overlap) != 3 or min(overlap) < 0:
        raise SourceError(
            f"{pattern}: overlap is {overlap}; allowed: 3 numbers of voxels, in the order z, y, x"
        )
    for axis, dropped in zip(SPATIAL, overlap, strict=True):
        if dropped and axis not in places:
            raise SourceError(
                f"{pattern}: overlap is {overlap}, but no tiles lie along {axis}: there is no "
                f"{{{axis}}} in the pattern"
            )
        if dropped >= lengths.get(axis, 1):
            raise SourceError(
                f"{pattern}: overlap is {overlap}, but a tile has {lengths.get(axis, 1)} voxels "
                f"along {axis}: give less"
            )
    return overlap


def _checked_last(
    files: Sequence[str], tile: Image, several: str, overlap: tuple[int, ...]
) -> tuple[int, ...]:
    """Shape of the last tile, along the axes of the first one, of which there are ``several``.

    Raises
    ------
    SourceError
        It cannot lie at the end of a grid.
    """
    last = images.read_header(files[-1])
    own = dict(zip(last.axes, last.shape, strict=True))
    shape = tuple(own.get(axis, 1) for axis in tile.axes)
    images.check(files[-1], last, replace(tile, shape=shape))
    dropped = dict(zip(SPATIAL, overlap, strict=True))
    for axis, length, most in zip(tile.axes, shape, tile.shape, strict=True):
        if length > most or (length < most and axis not in several):
            raise SourceError(
                f"{files[-1]}: it has {length} voxels along {axis}, but {files[0]} has {most}; "
                "only the last tile along an axis may be smaller"
            )
        if axis in several and length <= dropped[axis]:
            raise SourceError(
                f"{files[-1]}: it has {length} voxels along {axis}, all in the overlap of "
                f"{dropped[axis]}: leave it out"
            )
    return shape


def _known(file: str, behind: Collection[str]) -> dict[str, Any]:
    """What the first file says, as fields of a source.

    That is no voxel size where files lie ``behind`` each other along an axis of space, and it does
    not say how far apart.
    """
    said = images.read_metadata(file)
    if not set(behind) <= set(said.pop("sized_axes", "")):
        said |= {"voxel_size": (), "space_unit": ""}
    return said


def _renamed(said: dict[str, Any], own: str, axes: str) -> dict[str, Any]:
    """The voxel size that is said along a file's own axes, when a user says that they are others.

    What is said of channels is left out: they may be something else too.
    """
    if not said.get("voxel_size"):
        return {}
    sizes = dict(zip(SPATIAL, said["voxel_size"], strict=True))
    sizes |= {new: sizes[old] for old, new in zip(own, axes, strict=True) if old in sizes}
    return {
        "voxel_size": tuple(sizes[axis] for axis in SPATIAL),
        "space_unit": said["space_unit"],
    }
