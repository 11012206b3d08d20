"""Stacks of slices and mosaics of tiles: many image files that make up one array."""

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
from neurozarr.sources.missing import filled_text
from neurozarr.sources.paths import PLACE, has_places, is_pattern, natural, positions, sources

#: Maximum number of places, existing or missing, for each file of a stack.
_MAX_PLACES = 1000
#: Files that mark a directory as one of another family.
_OTHERS = ("zarr.json", ".zarray", ".zgroup", "attributes.json", "DICOMDIR")


@dataclass(frozen=True, kw_only=True, eq=False)
class StackSource(Source):
    """A grid of image files.

    The files of a directory (except hidden ones) or a glob are slices. They are stacked in natural
    order (a2 before a10) along z, or the first of ``axes``. The files of a pattern are placed by
    the numbers at its placeholders {t}, {c}, {z}, {y} and {x}, which are consecutive and may start
    anywhere. Colours become channels; pages of a TIFF file without metadata become z.

    With {z}, {y} or {x}, files are tiles. Neighbouring tiles share ``overlap`` voxels; these are
    taken from the earlier tile. All tiles have the same shape, except that the last one along an
    axis may be smaller.

    Attributes
    ----------
    tile
        Header of the first file.
    tile_axes
        Names of its axes in the source.
    last_shape
        Shape of a tile that is the last one along each of its axes, in voxels.
    grid_axes
        Names of the axes of the grid of files.
    counts
        Number of places along each of ``grid_axes``; ``files`` are in C order.
    overlap
        Overlap of neighbouring tiles along z, y and x, in voxels.
    placed
        Index in ``files`` of the file at each place of the grid; -1 if it is missing, so that its
        voxels are 0.
    """

    suffixes = images.SUFFIXES
    takes = ("axes", "overlap", "missing")

    tile: Image
    tile_axes: str
    last_shape: tuple[int, ...]
    grid_axes: str
    counts: tuple[int, ...]
    overlap: tuple[int, ...]
    placed: np.ndarray[Any, Any]

    @classmethod
    def matches(cls, path: str) -> bool:
        """Whether a path is a pattern, a glob or a directory of images, or a PNG or JPEG 2000 file.

        A single TIFF file is read by another family, as it may hold more than a slice.
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
                f"{path}: overlap is {layout.overlap}, but applies only to tiles, which need a "
                "pattern with {z}, {y} or {x}, such as tile_{y}_{x}.tif"
            )
        files = _slices(path, layout.output)
        placed = _placed(path, files, may_lack=layout.missing is not None)
        tile = images.read_header(files[0])
        if not set(tile.axes) <= set("yxc"):
            raise SourceError(
                f"{files[0]}: a slice of a stack must be 2D, but this has shape {tile.shape} along "
                f"{tile.axes}; for files of volumes, give a pattern with {{z}} or {{t}}"
            )
        shape = (len(placed), *tile.shape)
        default = f"z{tile.axes}"
        axes = layout.axes or default
        check_axes(path, axes, shape)
        fields = _metadata(files[0], "z" if len(files) > 1 and axes[0] in SPATIAL else "")
        return cls._of(
            files,
            tile=tile,
            metadata=fields if axes == default else _renamed(fields, default, axes),
            tile_axes=axes[1:],
            last_shape=tile.shape,
            grid_axes=axes[0],
            placed=placed,
            overlap=(0, 0, 0),
        )

    @classmethod
    def _open_pattern(cls, pattern: str, layout: Layout) -> Self:
        if layout.axes is not None:
            raise SourceError(
                f"{pattern}: axes is {layout.axes!r}, but the placeholders of a pattern name the "
                "axes; leave it empty"
            )
        grid_axes, placed, files = grid(pattern, may_lack=layout.missing is not None)
        tile = images.read_header(files[0])
        if twice := set(grid_axes) & set(tile.axes) & set("tc"):
            raise SourceError(
                f"{pattern}: it has a placeholder for {min(twice)}, but {files[0]} has this axis "
                f"itself, with shape {tile.shape} along {tile.axes}"
            )
        several = "".join(a for a, n in zip(grid_axes, placed.shape, strict=True) if n > 1)
        given = _checked_overlap(pattern, layout.overlap, grid_axes, tile)
        overlap = tuple(n if a in several else 0 for a, n in zip(SPATIAL, given, strict=True))
        last_shape = tile.shape
        if set(several) & set(tile.axes):
            if min(placed.flat[0], placed.flat[-1]) < 0:
                raise SourceError(
                    f"{pattern}: the first or the last tile is missing; their shapes are needed"
                )
            last_shape = _checked_last(files, tile, several, overlap)
        stacked = (set(several) & set(SPATIAL)) - set(tile.axes)
        metadata = _metadata(files[0], stacked)
        if placed.flat[0] < 0:
            metadata.pop("position", None)
        return cls._of(
            files,
            tile=tile,
            metadata=metadata,
            tile_axes=tile.axes,
            last_shape=last_shape,
            grid_axes=grid_axes,
            placed=placed,
            overlap=overlap,
        )

    @classmethod
    def _of(
        cls,
        files: Sequence[str],
        *,
        tile: Image,
        tile_axes: str,
        metadata: dict[str, Any],
        last_shape: tuple[int, ...],
        grid_axes: str,
        placed: np.ndarray[Any, Any],
        overlap: tuple[int, ...],
    ) -> Self:
        counts = placed.shape
        overlaps = dict(zip(SPATIAL, overlap, strict=True))
        lengths = dict(zip(tile_axes, tile.shape, strict=True))
        last = dict(zip(tile_axes, last_shape, strict=True))
        chunk = dict(zip(tile_axes, tile.native_chunk_shape, strict=True))
        for axis, count in zip(grid_axes, counts, strict=True):
            step = lengths.get(axis, 1) - overlaps.get(axis, 0)
            lengths[axis] = (count - 1) * step + last.get(axis, 1)
            chunk[axis] = min(chunk.get(axis, 1), step)
        file_axes = "".join(axis for axis in grid_axes if axis not in tile_axes) + tile_axes
        return cls(
            files=tuple(map(Path, files)),
            file_axes=file_axes,
            file_shape=tuple(lengths[axis] for axis in file_axes),
            dtype=tile.dtype,
            file_native_chunk_shape=tuple(chunk[axis] for axis in file_axes),
            tile=tile,
            tile_axes=tile_axes,
            last_shape=last_shape,
            grid_axes=grid_axes,
            counts=counts,
            overlap=overlap,
            placed=placed,
            filled=filled_text("files", grid_axes, np.argwhere(placed < 0).tolist(), placed.size),
            **metadata,
        )

    def read_file(self, region: Region) -> np.ndarray:
        voxels = np.empty([side.stop - side.start for side in region], self.dtype)
        for index, target, inside in self._tiles(region):
            number = self._number(index)
            if number < 0:
                voxels[target] = 0
                continue
            file = str(self.files[number])
            voxels[target] = images.read_voxels(file, inside, self._image(index))
        return voxels

    def check(self) -> None:
        for index in np.argwhere(self.placed >= 0).tolist():
            file = self.files[self.placed[tuple(index)]]
            expected = self._image(dict(zip(self.grid_axes, index, strict=True)))
            images.check(str(file), images.read_header(str(file)), expected)

    def files_of(self, region: Region) -> tuple[Path, ...]:
        sides = dict(zip(self.axes, region, strict=True))
        tiles = self._tiles(tuple(sides[axis] for axis in self.file_axes))
        numbers = sorted(self._number(index) for index, _, _ in tiles)
        return tuple(self.files[number] for number in numbers if number >= 0)

    def _tiles(self, region: Region) -> Iterator[tuple[dict[str, int], Region, Region]]:
        """The tiles that a region (along ``file_axes``) is read from.

        For each, its index on the grid; its voxels in the region, along ``file_axes``; and the same
        voxels in the tile, along ``tile_axes``.
        """
        sides = [
            list(self._tiles_along(axis, side))
            for axis, side in zip(self.file_axes, region, strict=True)
        ]
        for sections in itertools.product(*sides):
            index = {
                axis: number
                for axis, (number, _, _) in zip(self.file_axes, sections, strict=True)
                if axis in self.grid_axes
            }
            target = tuple(side for _, side, _ in sections)
            yield index, target, tuple(side for _, _, side in sections[-len(self.tile_axes) :])

    def _tiles_along(self, axis: str, side: slice) -> Iterator[tuple[int, slice, slice]]:
        """Indices of the tiles along an axis, with their voxels in the region and in the tile."""
        position = self.tile_axes.find(axis)
        length = 1 if position < 0 else self.tile.shape[position]
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
        """Index of a file in ``files``, by its index on the grid; -1 if it is missing."""
        return int(self.placed[tuple(index[axis] for axis in self.grid_axes)])

    def _image(self, index: dict[str, int]) -> Image:
        """The expected header of a file, by its index on the grid."""
        ends = {axis: count - 1 for axis, count in zip(self.grid_axes, self.counts, strict=True)}
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
    """Find the slices of a directory or a glob, in natural order.

    Parameters
    ----------
    path
        The directory, glob or file.
    output
        Output directory of the run, in which a glob matches no slices.

    Returns
    -------
    list[str]
        The slices.

    Raises
    ------
    SourceError
        There are none, there are other files among them, or two have the same position.
    """
    if os.path.isdir(path):
        found = sorted(_files(path))
    elif is_pattern(path):
        matches = _glob(path) if output is None else sources(path, output)
        found = sorted(file for file in matches if not os.path.isdir(file))
    else:
        found = [path]
    if not found:
        raise SourceError(f"{path}: no file matches")
    formats = {file: images.format_of(file) for file in found}
    suffix = next((os.path.splitext(file)[1] for file in found if formats[file]), ".tif")
    for file, name in formats.items():
        if not name:
            raise SourceError(
                f"{file}: not an image; give a glob that matches only the slices, such as "
                f"{os.path.join(os.path.dirname(file), '*' + suffix)}"
            )
        if name != formats[found[0]]:
            raise SourceError(
                f"{file}: a {name} file, but {found[0]} is {formats[found[0]]}; give a glob that "
                "matches only the slices"
            )
    unique: dict[str, str] = {}
    for file in found:
        key = re.sub(r"(?<!\d)0+(?=\d)", "", os.path.splitext(file)[0])  # without leading zeros
        if key in unique:
            raise SourceError(
                f"{file}: it has the same position in the stack as {unique[key]}; move one of them "
                "away"
            )
        unique[key] = file
    found.sort(key=lambda file: natural(os.path.splitext(file)[0]))
    return found


def _files(path: str) -> Iterator[str]:
    """The files of a directory, except hidden ones."""
    with os.scandir(path) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and not entry.is_dir():
                if not entry.is_file():
                    check_kind(entry.path)
                yield entry.path


def _placed(path: str, files: Sequence[str], *, may_lack: bool) -> np.ndarray[Any, Any]:
    """Index of the slice at each place of a stack; -1 if it is missing.

    Which are missing can be told if the names of the slices differ in one number only. The numbers
    may have any step, if it is constant.

    Raises
    ------
    SourceError
        A slice of a directory is missing, or of any stack if ``may_lack`` but it is unclear where.
    """
    together = np.arange(len(files))
    names = [natural(os.path.splitext(os.path.basename(file))[0]) for file in files]
    if len({tuple(text for text, _ in name) for name in names}) > 1:
        return together
    varying = [column for column in zip(*names, strict=True) if len(set(column)) > 1]
    if len(varying) != 1 or not (may_lack or os.path.isdir(path)):
        return together
    numbers = [number for _, number in varying[0]]
    step = min(b - a for a, b in itertools.pairwise(numbers))
    for (number, after), (file, next_file) in zip(
        itertools.pairwise(numbers), itertools.pairwise(files), strict=True
    ):
        if (after - number) % step if may_lack else after - number != step:
            raise SourceError(
                f"{path}: slice {number + step} is missing between {file} and {next_file}; to "
                "convert the existing ones, give a glob"
                + ("" if may_lack else ", or to fill it with zeros, give fill as missing")
            )
    placed = _none_placed(path, [(numbers[-1] - numbers[0]) // step + 1], len(files))
    placed[(np.array(numbers) - numbers[0]) // step] = together
    return placed


def grid(pattern: str, *, may_lack: bool = False) -> tuple[str, np.ndarray[Any, Any], list[str]]:
    """The axes of a pattern, the index of the file at each place, and the files in C order.

    The index is -1 for a file that is missing, if they ``may_lack``.

    Raises
    ------
    SourceError
        There are none, a number is missing, or two files have the same numbers.
    """
    found = positions(pattern)
    if not found:
        raise SourceError(f"{pattern}: no file matches with numbers at the placeholders")
    axes = "".join(axis for axis in STORED_ORDER if axis in re.findall(PLACE, pattern))
    files: dict[tuple[int, ...], str] = {}
    for file in sorted(found):
        index = tuple(found[file][axis] for axis in axes)
        if index in files:
            raise SourceError(
                f"{file}: it has the same position in the grid as {files[index]}; move one of them "
                "away"
            )
        files[index] = file
    numbers = [sorted(set(along)) for along in zip(*files, strict=True)]
    for axis, along in zip(axes, numbers, strict=True):
        for number, after in itertools.pairwise(along):
            if after != number + 1 and not may_lack:
                raise SourceError(
                    f"{pattern}: no file has {axis} = {number + 1}, but there are {number} and "
                    f"{after}; numbers must be consecutive, or give a glob, or fill as missing"
                )
    placed = _none_placed(pattern, [along[-1] - along[0] + 1 for along in numbers], len(files))
    for number, index in enumerate(sorted(files)):
        placed[tuple(i - along[0] for i, along in zip(index, numbers, strict=True))] = number
    if len(files) < placed.size and not may_lack:
        first = next(index for index in itertools.product(*numbers) if index not in files)
        where = ", ".join(f"{axis} = {n}" for axis, n in zip(axes, first, strict=True))
        raise SourceError(
            f"{pattern}: no file has {where}; {placed.size - len(files)} of {placed.size} are "
            "missing; to fill them with zeros, give fill as missing"
        )
    return axes, placed, [files[index] for index in sorted(files)]


def _none_placed(path: str, counts: Sequence[int], existing: int) -> np.ndarray[Any, Any]:
    """A grid of missing files; a SourceError if hardly any exists: a number may be a date."""
    if math.prod(counts) > _MAX_PLACES * existing:
        raise SourceError(
            f"{path}: {existing} files exist, but according to their numbers there are "
            f"{math.prod(counts)}"
        )
    return np.full(counts, -1)


def _checked_overlap(
    pattern: str, overlap: tuple[int, ...] | None, grid_axes: str, tile: Image
) -> tuple[int, ...]:
    """The overlap along z, y and x, in voxels; a SourceError if it does not fit the tiles."""
    if overlap is None:
        return (0, 0, 0)
    lengths = dict(zip(tile.axes, tile.shape, strict=True))
    if len(overlap) != 3 or min(overlap) < 0:
        raise SourceError(
            f"{pattern}: overlap is {overlap}; allowed: 3 numbers of voxels, in the order z, y, x"
        )
    for axis, along in zip(SPATIAL, overlap, strict=True):
        if along and axis not in grid_axes:
            raise SourceError(
                f"{pattern}: overlap is {overlap}, but the pattern has no {{{axis}}}; give 0 along "
                f"{axis}"
            )
        if along >= lengths.get(axis, 1):
            raise SourceError(
                f"{pattern}: overlap is {overlap}, but a tile has {lengths.get(axis, 1)} voxels "
                f"along {axis}: give less"
            )
    return overlap


def _checked_last(
    files: Sequence[str], tile: Image, several: str, overlap: tuple[int, ...]
) -> tuple[int, ...]:
    """Shape of the last tile, along the axes of the first one, in voxels.

    ``several`` are the axes along which there are several tiles.

    Raises
    ------
    SourceError
        The last tile does not fit the first one.
    """
    last = images.read_header(files[-1])
    lengths = dict(zip(last.axes, last.shape, strict=True))
    shape = tuple(lengths.get(axis, 1) for axis in tile.axes)
    images.check(files[-1], last, replace(tile, shape=shape))
    overlaps = dict(zip(SPATIAL, overlap, strict=True))
    for axis, length, first in zip(tile.axes, shape, tile.shape, strict=True):
        if length > first or (length < first and axis not in several):
            raise SourceError(
                f"{files[-1]}: it has {length} voxels along {axis}, but {files[0]} has {first}; "
                "only the last tile along an axis may be smaller"
            )
        if axis in several and length <= overlaps[axis]:
            raise SourceError(
                f"{files[-1]}: its {length} voxels along {axis} are all within the overlap of "
                f"{overlaps[axis]}: leave it out"
            )
    return shape


def _metadata(file: str, stacked: Collection[str]) -> dict[str, Any]:
    """Metadata of the first file, as fields of a source.

    The voxel size is unknown if files are ``stacked`` along a spatial axis, and the file does not
    give the voxel size along it.
    """
    metadata = images.read_metadata(file)
    if not set(stacked) <= set(metadata.pop("sized_axes", "")):
        metadata |= {"voxel_size": (), "space_unit": "", "position": ()}
    return metadata


def _renamed(metadata: dict[str, Any], old_axes: str, axes: str) -> dict[str, Any]:
    """The voxel size after the user has renamed the axes; channels and times no longer apply."""
    if not metadata.get("voxel_size"):
        return {}
    sizes = dict(zip(SPATIAL, metadata["voxel_size"], strict=True))
    sizes |= {new: sizes[old] for old, new in zip(old_axes, axes, strict=True) if old in sizes}
    return {
        "voxel_size": tuple(sizes[axis] for axis in SPATIAL),
        "space_unit": metadata["space_unit"],
    }
