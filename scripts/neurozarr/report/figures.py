"""The pictures of a page: planes of each level, slices, channels, labels and the thumbnail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image as Pillow

from neurozarr import units
from neurozarr.axes import SPATIAL
from neurozarr.regions import Region
from neurozarr.report import pictures
from neurozarr.report.drawn import Drawn, Frame, LevelFigures
from neurozarr.report.image import Image, Level
from neurozarr.report.matching import labels_at
from neurozarr.report.pictures import Picture, Window
from neurozarr.report.planes import (
    MAX_BYTES,
    Plane,
    central_plane,
    decoded_bytes,
    round_length,
    spread,
)
from neurozarr.report.views import View, views
from neurozarr.tables import length_text

#: Most voxels of a channel whose values are counted in the histogram.
COUNTED = 2**21
#: Most slices that are shown beside each other, and longest side of the level that they are of.
SLICES, SLICE_SIDE = 24, 192
#: Longest side of a thumbnail, in voxels.
THUMBNAIL_SIDE = 128
#: Percentiles between which values are drawn if the metadata of an image have no window.
PERCENTILES = (0.1, 99.9)
#: Longest scale bar, as a part of the width of its picture.
_BAR = 0.35
#: Pictures with fewer voxels than this along a side are enlarged without smoothing.
_COARSE = 256
_SIDES = {"L": "left", "R": "right", "P": "posterior", "A": "anterior", "I": "inferior"}
_SIDES["S"] = "superior"


class Painter:
    """Draws planes of an image.

    Parameters
    ----------
    image
        The image.

    Attributes
    ----------
    views
        The directions of its planes.
    windows
        For each channel: the values that are drawn black and in full colour.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self.views = views(image.directions, image.levels[0].space)
        self._colors = pictures.own_colors(image.labels)
        self.windows = self._windows()

    def overview(self) -> Level | None:
        """The finest level of which whole planes are shown; None if there is none."""
        for level in self.image.levels:
            planes = [self._plane(view, level) for view in self.views]
            if all(plane is not None and plane.is_whole for plane in planes):
                return level
        return None

    def counted(self) -> list[np.ndarray[Any, Any]]:
        """Values of each channel for the histogram: of `counted_level`, or of its planes."""
        level, region = self.counted_level()
        if region is not None:
            return list(level.read(region))
        found = [plane for view in self.views if (plane := self._plane(view, level))]
        read = [level.read(plane.region) for plane in found]
        return [
            np.concatenate([voxels[channel].ravel() for voxels in read] or [np.zeros(0)])
            for channel in range(len(self.image.channels))
        ]

    def counted_level(self) -> tuple[Level, Region | None]:
        """The level of the histogram, and its region; None if it is only counted in planes."""
        for level in self.image.levels:
            region = tuple(slice(0, length) for length in level.space)
            is_small = decoded_bytes(region, level.space_chunks, level.itemsize) <= MAX_BYTES
            if math.prod(level.space) <= COUNTED and is_small:
                return level, region
        return self.image.levels[-1], None

    def level(self, level: Level, finer: Sequence[Level]) -> LevelFigures:
        """Draw the planes of a level, with frames around what pictures of finer levels show."""
        drawn, whole = [], True
        for view in self.views:
            plane = self._plane(view, level)
            if plane is None:
                size = f"{MAX_BYTES / 1e6:.0f} MB"
                why = f"a plane would need more than {size} of chunks to be decoded"
                return LevelFigures(level=level, planes=(), is_whole=False, omitted=why)
            whole = whole and plane.is_whole
            picture = self.picture(level, view, plane.region)
            frames = [frame for other in finer if (frame := self._frame(view, level, other))]
            drawn.append(self.drawn(picture, level, view, plane.region, frames=frames))
        return LevelFigures(level=level, planes=drawn, is_whole=whole)

    def picture(self, level: Level, view: View, region: Region) -> Picture:
        """Draw a region that is one voxel thick."""
        voxels = view.draw(level.read(region))
        if self.image.labels is not None:
            return pictures.labels(voxels[0], self._colors)
        shown = self._shown()
        return pictures.intensities(
            voxels[shown],
            [self.image.channels[channel] for channel in shown],
            [self.windows[channel] for channel in shown],
        )

    def channels(self, level: Level) -> list[Drawn]:
        """Draw each channel of a level by itself, in the first view; none if it is the only one."""
        view = self.views[0]
        plane = self._plane(view, level)
        if len(self.image.channels) < 2 or self.image.labels is not None or plane is None:
            return []
        voxels, found = view.draw(level.read(plane.region)), []
        for number, channel in enumerate(self.image.channels):
            one = voxels[number : number + 1]
            picture = pictures.intensities(one, [channel], [self.windows[number]])
            drawn = self.drawn(picture, level, view, plane.region)
            text = f"{channel.name}: {drawn.text}"
            found.append(replace(drawn, title=channel.name, text=text))
        return found

    def slices(self) -> tuple[Level, Sequence[Drawn]] | None:
        """Draw slices at even distances through a coarse level; None if it has only one.

        There are none either if no level is coarse enough.
        """
        view = self.views[0]
        small = [
            level
            for level in self.image.levels
            if max(level.space[view.across.axis], level.space[view.down.axis]) <= SLICE_SIDE
        ]
        if not small:
            return None
        level = small[0]
        sides = [slice(0, length) for length in level.space]
        places = spread(level.space[view.normal], SLICES)
        sides[view.normal] = slice(0, 1)
        size = decoded_bytes(tuple(sides), level.space_chunks, level.itemsize)
        if len(places) == 1 or size > MAX_BYTES:
            return None
        if _runs_backwards(view, self.image):
            places.reverse()
        found = []
        for place in places:
            sides[view.normal] = slice(place, place + 1)
            region = tuple(sides)
            drawn = self.drawn(self.picture(level, view, region), level, view, region)
            found.append(replace(drawn, title=f"{SPATIAL[view.normal]} {place}", text=""))
        return level, found

    def thumbnail(self) -> Picture:
        """A small picture of the image: the first view of a coarse level, with square voxels."""
        view = self.views[0]
        for level in reversed(self.image.levels):
            plane = self._plane(view, level)
            sides = level.space[view.across.axis], level.space[view.down.axis]
            if plane is not None and (max(sides) >= THUMBNAIL_SIDE or level.number == 0):
                picture = self.picture(level, view, plane.region)
                return _resized(picture, level, view, smooth=self.image.labels is None)
        return np.zeros((THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.uint8)

    def labelled(self, level: Level, labels: Image) -> Sequence[Drawn]:
        """Draw labels over the planes of a level of their image; none if that would take long."""
        found, colors = [], pictures.own_colors(labels.labels)
        for view in self.views:
            plane = self._plane(view, level)
            if plane is None:
                return ()
            voxels = labels_at(labels, self.image, level, plane.region)
            if voxels is None:
                return ()
            base, values = self.picture(level, view, plane.region), view.draw(voxels)
            picture = pictures.overlay(base, values, pictures.labels(values, colors))
            drawn = self.drawn(picture, level, view, plane.region)
            found.append(replace(drawn, text=f"{labels.name} over the image: {drawn.text}"))
        return found

    def drawn(
        self,
        picture: Picture,
        level: Level,
        view: View,
        region: Region,
        *,
        frames: Sequence[Frame] = (),
    ) -> Drawn:
        """Complete a picture with its scale bar, letters and text."""
        rows, columns = picture.shape[:2]
        width, height = columns * level.size[view.across.axis], rows * level.size[view.down.axis]
        bar = round_length(_BAR * width)
        in_voxels = self.image.levels[0].size[view.across.axis] == 1
        unit = units.symbol(self.image.unit) or ("voxels" if in_voxels else "units")
        place = region[view.normal].start
        where = f"{SPATIAL[view.normal]} {place} of {level.space[view.normal]}"
        sides = [_SIDES[letter] for letter in view.letters if letter]
        edges = f"; edges: {', '.join(sides)}" if sides else ""
        return Drawn(
            source=pictures.data_uri(pictures.png(picture)),
            title=f"{view.name}, {where}",
            text=f"{view.name} of level {level.number}, {where}{edges}",
            width=width,
            height=height,
            is_coarse=max(rows, columns) < _COARSE,
            letters=view.letters,
            bar=100 * bar / width,
            bar_text=f"{length_text(bar)} {unit}",
            frames=frames,
        )

    def _plane(self, view: View, level: Level) -> Plane | None:
        return central_plane(view, level.space, level.space_chunks, level.itemsize, level.size)

    def _shown(self) -> list[int]:
        """The channels that are drawn together."""
        channels = self.image.channels
        active = [number for number, channel in enumerate(channels) if channel.active]
        return active or list(range(len(channels)))

    def _windows(self) -> list[Window]:
        known = [channel.window for channel in self.image.channels]
        if self.image.labels is not None or None not in known:
            return [window or (0.0, 1.0) for window in known]
        values = self.counted()
        return [window or _percentiles(found) for window, found in zip(known, values, strict=True)]

    def _frame(self, view: View, level: Level, finer: Level) -> Frame | None:
        """The rectangle in the plane of a level that the picture of a finer level shows."""
        plane = self._plane(view, finer)
        if plane is None or plane.is_whole:
            return None
        ends = []
        for side in (view.across, view.down):
            start, stop = plane.region[side.axis].start, plane.region[side.axis].stop
            edges = [_edge(finer, side.axis, place) for place in (start, stop)]
            low, high = (_edge(level, side.axis, place) for place in (0, level.space[side.axis]))
            parts = sorted(100 * (edge - low) / (high - low) for edge in edges)
            ends.append([100 - parts[1], 100 - parts[0]] if side.flipped else parts)
        (left, right), (top, bottom) = ends
        return Frame(
            text=str(finer.number),
            left=left,
            top=top,
            width=right - left,
            height=bottom - top,
        )


def _runs_backwards(view: View, image: Image) -> bool:
    """Whether slices in the order of their indices run from superior to inferior or the like."""
    value = image.directions.get(SPATIAL[view.normal], "")
    return value.startswith(("superior", "anterior", "right"))


def _edge(level: Level, axis: int, place: int) -> float:
    """Position of the edge of a voxel that is nearer to the first one, in the unit of the image."""
    return level.first[axis] + (place - 0.5) * level.size[axis]


def _percentiles(values: np.ndarray[Any, Any]) -> Window:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    # Between two values, there may be none that is finite.
    start, end = np.percentile(finite, PERCENTILES, method="nearest")
    return float(start), float(end)


def _resized(picture: Picture, level: Level, view: View, *, smooth: bool) -> Picture:
    """A picture with square pixels, at most `THUMBNAIL_SIDE` of them along each side."""
    rows, columns = picture.shape[:2]
    width, height = columns * level.size[view.across.axis], rows * level.size[view.down.axis]
    ratio = THUMBNAIL_SIDE / max(width, height)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    way = Pillow.Resampling.BOX if smooth else Pillow.Resampling.NEAREST
    return np.asarray(Pillow.fromarray(picture).resize(size, way))
