"""The source of TIFF files."""

from __future__ import annotations

import logging
import math
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self
from xml.etree import ElementTree

import numpy as np

from neurozarr.axes import SPATIAL
from neurozarr.errors import SourceError
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Member, Source
from neurozarr.sources.columns import check_axes
from neurozarr.sources.missing import filled_text
from neurozarr.sources.paths import is_pattern
from neurozarr.sources.tiff import metadata, segments, sets, vendors
from neurozarr.sources.tiff.segments import Pages

logger = logging.getLogger(__name__)

_ENDINGS = (".tif", ".tiff", ".btf", ".tf2", ".tf8")
#: Endings of formats of microscopes and scanners that are TIFF files.
_VENDORS = (".svs", ".ndpi", ".scn", ".qptiff", ".bif", ".zif", ".lsm", ".stk", ".flex")
#: Axes by tifffile's letters; S is samples, such as colours, and I and Q are unknown.
_NAMES = {"T": "t", "C": "c", "S": "c", "Z": "z", "I": "z", "Q": "z", "Y": "y", "X": "x"}
#: tifffile's letters of axes of positions, each of which is an image of its own, by kind of series.
_POSITIONS = {"lsm": "P", "mmstack": "R", "ndtiff": "R"}
#: tifffile's letters of axes of tiles, by kind of series: of a mosaic, and of columns and rows.
_TILES = {"lsm": "M", "ndtiff": "JK"}
#: tifffile's kinds of series in which only the first page may have a directory; the others have the
#: same encoding.
_FIRST_PAGE_ONLY = ("shaped", "imagej", "stk", "lsm")
#: tifffile's kinds of series without metadata, or whose metadata do not fit the pages.
_PLAIN = ("generic", "uniform")


@dataclass(frozen=True, kw_only=True, eq=False)
class TiffSource(Source):
    """An image of a TIFF file, at full resolution.

    Attributes
    ----------
    pages
        Its pages.
    numbers
        Index of each page, as an array along the leading axes: those that are not within a page.
    page_axes
        Position in the shape of `Pages` of each other axis; None for an axis of length 1.
    sized_axes
        Those of z, y and x whose voxel size is in the metadata.
    """

    suffixes = (*_ENDINGS, *(f".ome{ending}" for ending in _ENDINGS), *_VENDORS, sets.COMPANION)
    takes = ("axes", "dataset", "missing")

    pages: Pages
    numbers: np.ndarray[Any, Any]
    page_axes: tuple[int | None, ...]
    sized_axes: str = ""

    @classmethod
    def matches(cls, path: str) -> bool:
        return super().matches(path) and not is_pattern(path)

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        with sets.opened(path) as (file, document, root):
            series = _series(document, file)
            parts = _parts(series)
            part = parts[_chosen(path, parts, _lacking(root, series), layout.dataset)]
            image = part.series.levels[0]
            described = root is not None or file.is_shaped or not _fits_imagej(file, image)
            if described and image.kind in _PLAIN and layout.axes is None:
                raise SourceError(
                    f"{path}: its metadata do not fit its {len(file.pages)} pages; it may be cut "
                    f"short; to ignore the metadata, give axes for the pages: {_text(image)}"
                )
            element = None
            if root is not None and image.kind in ("ome", "mmstack"):
                number = parts.index(part)
                element = metadata.image_of(root, number, image.name, len(parts))
            source, own = cls._of(document, file, image, layout, root, part.position)
            return replace(source, **_describe(path, file, image, element, source, own))

    @classmethod
    def images(cls, path: str, layout: Layout) -> list[Member]:
        with sets.opened(path) as (file, document, root):
            series = _series(document, file)
            if lacking := _lacking(root, series):
                logger.warning("%s: none of the planes of %s is in a file", path, lacking)
            names = [part.name for part in _parts(series)]
            return [
                Member(_number_of(number, names), name or str(number))
                for number, name in enumerate(names)
            ]

    @classmethod
    def open_tile(cls, path: str, *, described: bool = False) -> Self:
        """Open a slice of a stack or a tile of a mosaic: a file with one whole image.

        Parameters
        ----------
        path
            The file.
        described
            Whether to read its voxel size, its time step and its channels.

        Returns
        -------
        Self
            The source.

        Raises
        ------
        SourceError
            The file holds several images, or only some pages of one, or cannot be read.
        """
        with sets.tiff(path, _multifile=False) as file:
            # Metadata of a set of files may refer to all its files, which must not be opened.
            if len(file.pages) == 1:
                file.is_ome = file.is_mmstack = file.is_ndtiff = False
            elif file.is_micromanager:
                sets.check_neighbours(path)
            series = _series(path, file)
            if len(series) != 1:
                raise SourceError(
                    f"{path}: it holds {len(series)} images, but slices and tiles must be files "
                    "with one image"
                )
            image = series[0].levels[0]
            source, own = cls._of(path, file, image)
            if len(source.files) > 1:
                raise SourceError(
                    f"{path}: its image has pages in {source.files[1]} too, but slices and tiles "
                    "must be files with a whole image"
                )
            if not described:
                return source
            element = None
            if file.pages.first.is_ome:
                element = metadata.first_image(sets.parsed(path, file.pages.first.description))
            return replace(source, **_describe(path, file, image, element, source, own))

    @classmethod
    def _of(
        cls,
        path: str,
        file: Any,
        image: Any,
        layout: Layout | None = None,
        root: ElementTree.Element | None = None,
        position: int | None = None,
    ) -> tuple[Self, str]:
        """The source of an image, without voxel size, time step and channels.

        Also the names that the file gives its axes. ``layout`` is None for slices and tiles, and
        ``position`` for images without an axis of positions.
        """
        if image.transform is not None:
            raise SourceError(f"{path}: {image.kind} files with computed voxels are not supported")
        letters, shape = image.get_axes(squeeze=False), image.get_shape(squeeze=False)
        tiles = [shape[letters.index(x)] for x in _TILES.get(image.kind, "") if x in letters]
        if math.prod(tiles) > 1 and (layout is None or layout.axes is None):
            raise SourceError(
                f"{path}: it holds {' x '.join(map(str, tiles))} tiles, and cannot be converted "
                "before they are stitched"
            )
        may_lack = layout is not None and layout.missing is not None
        pages = _pages(path, file, image, shape, root, may_lack=may_lack)
        first = _first_page_axis(path, pages, shape)
        numbers = np.arange(len(pages)).reshape(shape[:first])
        if position is not None:
            at = letters.index(_POSITIONS[image.kind])
            numbers = numbers[(slice(None),) * at + (slice(position, position + 1),)]
            shape = (*shape[:at], 1, *shape[at + 1 :])
        kept, own, names = _kept_axes(path, letters, shape, layout)
        inner = _page_axes(pages, shape[first:])
        numbers = numbers.reshape([shape[i] for i in kept if i < first])
        within = [i for i in kept if i >= first]
        leading = names[: numbers.ndim]
        lacking = np.argwhere(pages.file_of[numbers] < 0)
        source = cls(
            files=tuple(dict.fromkeys((Path(path), *pages.files))),
            file_axes=names,
            file_shape=tuple(shape[i] for i in kept),
            dtype=pages.stored.newbyteorder("="),
            held_bytes=pages.held_bytes,
            filled=filled_text("planes", leading, lacking.tolist(), numbers.size),
            pages=pages,
            numbers=numbers,
            page_axes=tuple(inner[i - first] for i in within),
            file_native_chunk_shape=None
            if pages.segment is None
            else (1,) * numbers.ndim + tuple(_chunk(pages, inner[i - first]) for i in within),
        )
        return source, own

    def files_of(self, region: Region) -> tuple[Path, ...]:
        sides = dict(zip(self.axes, region, strict=True))
        leading = self.file_axes[: self.numbers.ndim]
        numbers = self.numbers[tuple(sides[axis] for axis in leading)]
        found = np.unique(self.pages.file_of[numbers])
        return tuple(self.pages.files[i] for i in found if i >= 0)

    @property
    def header_files(self) -> tuple[Path, ...]:
        return self.files[:1]

    def read_file(self, region: Region) -> np.ndarray:
        count = self.numbers.ndim
        numbers = self.numbers[region[:count]].ravel().tolist()
        sides = [slice(0, 1)] * 5
        for axis, side in zip(self.page_axes, region[count:], strict=True):
            if axis is not None:
                sides[axis] = side
        voxels = self.pages.read(numbers, tuple(sides))
        return voxels.reshape([side.stop - side.start for side in region])

    def check(self) -> None:
        super().check()
        self.pages.check()


def _series(path: str, file: Any) -> list[Any]:
    """The images of a file, after checking that all directories could be read."""
    sets.check_end(path, file)
    try:
        found = list(file.series)
    except RuntimeError:  # A page differs from those that tifffile has compared.
        file.pages.useframes = False
        first = file.pages.first
        for number, page in enumerate(file.pages):
            if page.aspage().hash != first.hash:
                raise SourceError(
                    f"{path}: page {number} is {page.shape} {page.dtype}, but page 0 is "
                    f"{first.shape} {first.dtype}; pages of an image must have the same encoding"
                ) from None
        raise
    if not found:
        raise SourceError(f"{path}: it holds no image that tifffile can read")
    if found[0].kind == "bif" and any(vendors.overlaps(file)):
        raise SourceError(
            f"{path}: tiles of this slide overlap, and cannot be converted before they are stitched"
        )
    return found


def _fits_imagej(file: Any, image: Any) -> bool:
    """Whether ImageJ's description, if any, fits pages whose samples Bio-Formats calls channels."""
    if not file.is_imagej:
        return True
    said, samples = file.imagej_metadata, image.keyframe.samplesperpixel
    return (said.get("channels"), said.get("images")) == (samples, samples * len(image.pages))


def _lacking(root: ElementTree.Element | None, series: list[Any]) -> str:
    """Names of the images of OME-XML of which tifffile finds no plane, in one line."""
    if root is None or series[0].kind != "ome":
        return ""
    stored = metadata.stored_images(root)
    left = Counter(image.name or "" for image in series)
    names = [name for name in stored if not (left[name] and left.subtract([name]) is None)]
    return ", ".join(repr(name) for name in names) if len(stored) > len(series) else ""


class _Part(NamedTuple):
    """An image of a file: a series of tifffile, or one position of it.

    Attributes
    ----------
    series
        The TiffPageSeries.
    position
        Index along its axis of positions; None if it has none.
    """

    series: Any
    position: int | None = None

    @property
    def name(self) -> str:
        """Name of the image; "" if it has none."""
        return "" if self.position is not None else str(self.series.name)

    @property
    def text(self) -> str:
        """Axes, shape and data type of the image."""
        if self.position is None:
            return _text(self.series)
        letter = _POSITIONS[self.series.kind]
        axes, shape = self.series.axes, list(self.series.shape)
        del shape[axes.index(letter)]
        return f"{axes.replace(letter, '')} {tuple(shape)} {self.series.dtype}"


def _parts(series: list[Any]) -> list[_Part]:
    """The images of a file, each position by itself."""
    parts = []
    for image in series:
        letter = _POSITIONS.get(image.kind, "")
        if letter and letter in image.axes:
            count = image.shape[image.axes.index(letter)]
            parts += [_Part(image, position) for position in range(count)]
        else:
            parts.append(_Part(image))
    return parts


def _chosen(path: str, parts: list[_Part], lacking: str, dataset: str | None) -> int:
    """Index of the image that the user names, or of the only one, or of a slide.

    ``lacking`` are the names of images that are not among them.
    """
    is_slide = parts[0].series.kind in vendors.SLIDES and parts[0].position is None
    if dataset is None and not lacking and (len(parts) == 1 or is_slide):
        return 0
    names = Counter(part.name for part in parts)
    for number, part in enumerate(parts):
        if dataset is not None and dataset == part.name and names[part.name] == 1:
            return number
    if dataset is not None and dataset.isdecimal() and int(dataset) < len(parts):
        return int(dataset)
    listed = "; ".join(
        f"{number}{f' ({part.name})' if part.name else ''}: {part.text}"
        for number, part in enumerate(parts)
    )
    what = "its pages differ" if parts[0].series.kind == "generic" else "it holds several images"
    if len(parts) == 1:
        what = "it holds one image"
    if lacking:
        listed += f"; none of the planes of {lacking} is in a file"
    wrong = "" if dataset is None else f"dataset is {dataset!r}, but "
    raise SourceError(
        f"{path}: {wrong}{what}; give the name or number of an image as dataset: {listed}"
    )


def _number_of(number: int, names: list[str]) -> str:
    """A number of an image that is not also the name of an image: with zeros before, if needed."""
    text = str(number)
    while text in names:
        text = f"0{text}"
    return text


def _text(image: Any) -> str:
    return f"{image.axes} {image.shape} {image.dtype}"


def _pages(
    path: str,
    file: Any,
    image: Any,
    shape: tuple[int, ...],
    root: ElementTree.Element | None,
    *,
    may_lack: bool,
) -> Pages:
    """The pages of an image, in C order of its axes."""
    key = image.keyframe
    needed = math.prod(shape) // math.prod(key.shaped) if 0 not in shape else 0
    if not needed:
        raise SourceError(f"{path}: the image is empty: its shape is {tuple(shape)}")
    # Contiguous pages of other kinds have directories, which may differ.
    if image.kind in _FIRST_PAGE_ONLY and image.dataoffset is not None:
        return segments.contiguous_pages(path, key, image.dataoffset, needed)
    found = list(image)
    if missing := sum(page is None for page in found):
        absent = [] if root is None else sets.absent(path, root)
        if not may_lack:
            raise SourceError(
                f"{path}: {missing} of its {needed} planes are in no file"
                + (f"; missing: {', '.join(absent)}" if absent else "")
                + "; to fill them with zeros, give fill as missing"
            )
    if len(found) != needed:
        raise SourceError(
            f"{path}: it has {len(found)} pages, but {_text(image)} in its metadata needs {needed}"
        )
    return segments.pages_from_tifffile(path, os.path.realpath(path), found)


def _first_page_axis(path: str, pages: Pages, shape: tuple[int, ...]) -> int:
    """Index of the first axis within a page."""
    within = [length for length in pages.shape if length > 1]
    for first in range(len(shape) + 1):
        if [length for length in shape[first:] if length > 1] == within:
            return first
    raise SourceError(
        f"{path}: its metadata give the image shape {tuple(shape)}, which does not fit pages of "
        f"shape {pages.shape}"
    )


def _page_axes(pages: Pages, shape: tuple[int, ...]) -> list[int | None]:
    """Position in the shape of `Pages` of each axis within a page; None if it has length 1."""
    long = iter(axis for axis, length in enumerate(pages.shape) if length > 1)
    return [next(long) if length > 1 else None for length in shape]


def _chunk(pages: Pages, axis: int | None) -> int:
    """Length of a native chunk along an axis of a page, in voxels."""
    assert pages.segment is not None
    return 1 if axis is None else min(pages.segment[axis], pages.shape[axis])


def _kept_axes(
    path: str, letters: str, shape: tuple[int, ...], layout: Layout | None
) -> tuple[list[int], str, str]:
    """Indices of the axes of tifffile that the source keeps; their names in the file, and here.

    Axes of length 1 are left out, except y, x and those that the user names. A name in the file is
    "?" if it is unknown.
    """
    axes = None if layout is None else layout.axes
    names = [_NAMES.get(letter, "?") for letter in letters]
    kept = [i for i, letter in enumerate(letters) if shape[i] > 1 or letter in "YX"]
    if axes is None:
        found = "".join(names[i] for i in kept)
        if "?" in found or len(set(found)) < len(found):
            raise SourceError(
                f"{path}: tifffile names its axes {''.join(letters[i] for i in kept)}, with shape "
                f"{tuple(shape[i] for i in kept)}: "
                + ("it cannot be a slice or a tile" if layout is None else "name them by axes")
            )
        return kept, found, found
    if len(axes) != len(kept):
        kept = [
            i for i in range(len(shape)) if i in kept or (names[i] in axes and letters[i] != "S")
        ]
    check_axes(path, axes, tuple(shape[i] for i in kept))
    return kept, "".join(names[i] for i in kept), axes


def _describe(
    path: str,
    file: Any,
    image: Any,
    element: ElementTree.Element | None,
    source: TiffSource,
    own: str,
) -> dict[str, Any]:
    """Voxel size, position, time step and channels, as fields of a source.

    They come from the OME-XML, the metadata of a vendor, ImageJ's description or the tags of the
    first page. The size along an axis, which the file names as in ``own``, stays with it if the
    user has renamed it.
    """
    tags, axes = image.keyframe.tags, source.file_axes
    channels = source.file_shape[axes.index("c")] if "c" in axes else 1
    if element is not None:
        fields = metadata.describe_ome(path, element, axes, channels)
    else:
        fields = vendors.describe_vendor(path, file, image, axes, channels)
        if "voxel_size" not in fields and file.is_imagej and image.kind in ("imagej", *_PLAIN):
            fields |= metadata.describe_imagej(path, file.imagej_metadata, tags, axes, channels)
        if "voxel_size" not in fields:
            fields |= metadata.describe_tags(path, tags, axes)
    moved = {new: old for old, new in zip(own, axes, strict=True) if {old, new} <= set(SPATIAL)}
    for name in ("voxel_size", "position"):
        if known := dict(zip(SPATIAL, fields.get(name, ()), strict=False)):
            fields[name] = tuple(known[moved.get(axis, axis)] for axis in SPATIAL)
    return fields
