"""Stacks of slices and mosaics of tiles: many image files that make up one array."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from neurozarr.axes import SPATIAL
from neurozarr.errors import SourceError
from neurozarr.regions import Region
from neurozarr.sources import channels, images
from neurozarr.sources.base import Layout, Source
from neurozarr.sources.columns import check_axes
from neurozarr.sources.images import Image
from neurozarr.sources.missing import filled_text
from neurozarr.sources.padding import Padding, pad
from neurozarr.sources.paths import has_places, is_pattern
from neurozarr.sources.placing import expanded, grid, placed_slices, slices

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
    padding
        Where slices of different size lie in those of the stack; None if all have the same size.
    placed
        Index in ``files`` of the file at each place of the grid; -1 if it is missing, so that its
        voxels are 0.
    """

    suffixes = images.SUFFIXES
    takes = ("axes", "overlap", "pad", "missing")

    tile: Image
    tile_axes: str
    last_shape: tuple[int, ...]
    grid_axes: str
    counts: tuple[int, ...]
    overlap: tuple[int, ...]
    padding: Padding | None
    placed: np.ndarray[Any, Any]

    @classmethod
    def matches(cls, path: str) -> bool:
        """Whether a path is a pattern, a glob or a directory of images, or a PNG or JPEG 2000 file.

        A single TIFF file is read by another family, as it may hold more than a slice.
        """
        if has_places(path):
            return images.format_of(path) != ""
        if is_pattern(path):
            return images.format_of(path) != "" or any(map(images.format_of, expanded(path)))
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
        files = slices(path, layout.output)
        placed = placed_slices(path, files, may_lack=layout.missing is not None)
        tile, padding = _slice(files, layout.pad)
        if not set(tile.axes) <= set("yxc"):
            raise SourceError(
                f"{files[0]}: a slice of a stack must be 2D, but this has shape {tile.shape} along "
                f"{tile.axes}; for files of volumes, give a pattern with {{z}} or {{t}}"
            )
        shape = (len(placed), *tile.shape)
        default = f"z{tile.axes}"
        axes = layout.axes or default
        check_axes(path, axes, shape)
        stacked = "z" if len(files) > 1 and axes[0] in SPATIAL else ""
        fields = _metadata(files[0], stacked, tile.file)
        return cls._of(
            files,
            tile=tile,
            metadata=fields if axes == default else _renamed(fields, default, axes),
            tile_axes=axes[1:],
            last_shape=tile.shape,
            grid_axes=axes[0],
            placed=placed,
            overlap=(0, 0, 0),
            padding=padding,
        )

    @classmethod
    def _open_pattern(cls, pattern: str, layout: Layout) -> Self:
        if layout.axes is not None:
            raise SourceError(
                f"{pattern}: axes is {layout.axes!r}, but the placeholders of a pattern name the "
                "axes; leave it out"
            )
        grid_axes, placed, files, words = grid(pattern, may_lack=layout.missing is not None)
        tile, padding = images.read_header(files[0]), None
        if not set(grid_axes) & {*tile.axes, *"yx"}:
            tile, padding = _slice(files, layout.pad)
        elif layout.pad is not None:
            raise SourceError(
                f"{pattern}: pad is {layout.pad!r}, but applies only to stacks of slices, not to "
                "tiles"
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
        metadata = _metadata(files[0], stacked, tile.file)
        if placed.flat[0] < 0:
            metadata.pop("position", None)
        if "c" in grid_axes:
            each = _each_channel(files, np.moveaxis(placed, grid_axes.index("c"), 0))
            lengths = _lengths_along("c", tile, last_shape, len(each))
            metadata |= channels.joined(each, lengths, words)
        return cls._of(
            files,
            tile=tile,
            metadata=metadata,
            tile_axes=tile.axes,
            last_shape=last_shape,
            grid_axes=grid_axes,
            placed=placed,
            overlap=overlap,
            padding=padding,
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
        padding: Padding | None,
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
        lacking = np.argwhere(placed < 0).tolist()
        filled = [filled_text("files", grid_axes, lacking, placed.size)]
        filled += [padding.text] if padding else []
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
            padding=padding,
            placed=placed,
            filled="; ".join(filter(None, filled)),
            **metadata,
        )

    def read_file(self, region: Region) -> np.ndarray:
        voxels = np.empty([side.stop - side.start for side in region], self.dtype)
        for index, target, inside in self._tiles(region):
            number, image = self._number(index), self._image(index)
            if number < 0:
                voxels[target] = 0
            elif self.padding is None:
                voxels[target] = images.read_voxels(str(self.files[number]), inside, image)
            else:
                file = str(self.files[number])
                voxels[target] = self.padding.read(number, file, inside, image)
        return voxels

    def check(self) -> None:
        if self.padding is not None:  # All headers have been read.
            return
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


def _slice(files: Sequence[str], where: str | None) -> tuple[Image, Padding | None]:
    """The header of the slices of a stack and, if ``where`` is given, how they are padded."""
    if where is None:
        advice = "; to fill smaller slices up with zeros, give pad: center or corner"
        return replace(images.read_header(files[0]), advice=advice), None
    return pad(files, where)


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
        if axis in several and length <= overlaps.get(axis, 0):
            raise SourceError(
                f"{files[-1]}: its {length} voxels along {axis} are all within the overlap of "
                f"{overlaps[axis]}: leave it out"
            )
    return shape


def _each_channel(files: Sequence[str], placed: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    """Metadata of the first file of each channel, as fields of a source.

    ``placed`` has the numbers of the files, with c as the first axis, and -1 for missing ones.
    """
    existing = [numbers[numbers >= 0] for numbers in placed]
    return [images.read_metadata(files[min(known)]) if known.size else {} for known in existing]


def _lengths_along(
    axis: str, tile: Image, last_shape: tuple[int, ...], count: int
) -> tuple[int, ...]:
    """Lengths of the files along an axis, in voxels."""
    position = tile.axes.find(axis)
    if position < 0:
        return (1,) * count
    return (tile.shape[position],) * (count - 1) + (last_shape[position],)


def _metadata(first: str, stacked: Collection[str], largest: str) -> dict[str, Any]:
    """Metadata of the first file, as fields of a source.

    The voxel size is unknown if files are ``stacked`` along a spatial axis, and the file does not
    give the voxel size along it. If slices are padded, those of the ``largest`` one are meant, of
    which only the position is another along the axes of the stack.
    """
    metadata = images.read_metadata(largest)
    if not set(stacked) <= set(metadata.pop("sized_axes", "")):
        metadata |= {"voxel_size": (), "space_unit": "", "position": ()}
    elif first != largest and metadata.get("position"):
        start = images.read_metadata(first)["position"] or metadata["position"]
        metadata["position"] = tuple(
            known if axis in stacked else other
            for axis, known, other in zip(SPATIAL, start, metadata["position"], strict=True)
        )
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
