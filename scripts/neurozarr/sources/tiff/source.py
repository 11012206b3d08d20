"""The source of TIFF files."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.files import check_file, check_kind
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Source, as_source_errors, check_axes, library
from neurozarr.sources.paths import is_pattern
from neurozarr.sources.tiff import metadata, segments
from neurozarr.sources.tiff.segments import Pages

_ENDINGS = (".tif", ".tiff", ".btf", ".tf2", ".tf8")
#: Axes by tifffile's letters; S is samples, such as colours, and I and Q are unknown.
_NAMES = {"T": "t", "C": "c", "S": "c", "Z": "z", "I": "z", "Q": "z", "Y": "y", "X": "x"}
#: tifffile's letters of axes that are omitted if they have length 1.
_OMITTED = "TCSZIQ"
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

    suffixes = (*_ENDINGS, *(f".ome{ending}" for ending in _ENDINGS))
    takes = ("axes", "dataset")

    pages: Pages
    numbers: np.ndarray[Any, Any]
    page_axes: tuple[int | None, ...]
    sized_axes: str = ""

    @classmethod
    def matches(cls, path: str) -> bool:
        return super().matches(path) and not is_pattern(path)

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        with _opened(path) as file:
            if file.is_micromanager:
                _check_neighbours(path)
            root = _ome_root(path, file)
            series = _series(path, file)
            number = _chosen(path, series, layout.dataset)
            image = series[number].levels[0]
            described = root is not None or file.is_imagej or file.is_shaped
            if described and image.kind in _PLAIN and layout.axes is None:
                raise SourceError(
                    f"{path}: its metadata do not fit its {len(file.pages)} pages; it may be cut "
                    f"short; to ignore the metadata, give axes for the pages: {_text(image)}"
                )
            element = None
            if root is not None and image.kind in ("ome", "mmstack"):
                element = metadata.image_of(root, number, image.name, len(series))
            source = cls._of(path, file, image, layout, root)
            return replace(source, **_describe(path, file, image, element, source))

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
        with _opened(path, _multifile=False) as file:
            # Metadata of a set of files may refer to all its files, which must not be opened.
            if len(file.pages) == 1:
                file.is_ome = file.is_mmstack = file.is_ndtiff = False
            elif file.is_micromanager:
                _check_neighbours(path)
            series = _series(path, file)
            if len(series) != 1:
                raise SourceError(
                    f"{path}: it holds {len(series)} images, but slices and tiles must be files "
                    "with one image"
                )
            image = series[0].levels[0]
            source = cls._of(path, file, image)
            if len(source.files) > 1:
                raise SourceError(
                    f"{path}: its image has pages in {source.files[1]} too, but slices and tiles "
                    "must be files with a whole image"
                )
            if not described:
                return source
            element = None
            if file.pages.first.is_ome:
                element = metadata.first_image(_parsed(path, file.pages.first.description))
            return replace(source, **_describe(path, file, image, element, source))

    @classmethod
    def _of(
        cls,
        path: str,
        file: Any,
        image: Any,
        layout: Layout | None = None,
        root: ElementTree.Element | None = None,
    ) -> Self:
        """The source of an image, without voxel size, time step and channels.

        ``layout`` is None for slices and tiles.
        """
        if image.transform is not None:
            raise SourceError(f"{path}: {image.kind} files with computed voxels are not supported")
        letters, shape = image.get_axes(squeeze=False), image.get_shape(squeeze=False)
        pages = _pages(path, file, image, shape, root)
        first = _first_page_axis(path, pages, shape)
        kept, names = _kept_axes(path, letters, shape, layout)
        inner = _page_axes(pages, shape[first:])
        lengths = [shape[i] for i in kept if i < first]
        within = [i for i in kept if i >= first]
        return cls(
            files=tuple(dict.fromkeys((Path(path), *pages.files))),
            file_axes=names,
            file_shape=tuple(shape[i] for i in kept),
            dtype=pages.stored.newbyteorder("="),
            held_bytes=pages.held_bytes,
            pages=pages,
            numbers=np.arange(len(pages)).reshape(lengths),
            page_axes=tuple(inner[i - first] for i in within),
            file_native_chunk_shape=None
            if pages.segment is None
            else (1,) * len(lengths) + tuple(_chunk(pages, inner[i - first]) for i in within),
        )

    def files_of(self, region: Region) -> tuple[Path, ...]:
        sides = dict(zip(self.axes, region, strict=True))
        leading = self.file_axes[: self.numbers.ndim]
        numbers = self.numbers[tuple(sides[axis] for axis in leading)]
        return tuple(self.pages.files[i] for i in np.unique(self.pages.file_of[numbers]))

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


@contextmanager
def _opened(path: str, **options: Any) -> Iterator[Any]:
    """Open a file by tifffile; errors in the block become SourceErrors."""
    tifffile = library("tifffile", "tiff", path)
    library("imagecodecs", "tiff", path)
    check_file(path)
    with (
        as_source_errors(path, "not a TIFF that tifffile can read"),
        tifffile.TiffFile(path, **options) as file,
    ):
        yield file


def _parsed(path: str, xml: str) -> ElementTree.Element:
    """Parse OME-XML."""
    try:
        return ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise SourceError(f"{path}: its OME-XML is damaged ({error})") from None


def _ome_root(path: str, file: Any) -> ElementTree.Element | None:
    """The OME-XML of a file, parsed; None if it has none."""
    if not file.is_ome:
        return None
    root = _parsed(path, file.ome_metadata)
    if name := metadata.metadata_file(root):
        raise SourceError(
            f"{path}: the metadata of this OME-TIFF set are in {name}: give that file instead"
        )
    folder = os.path.dirname(os.path.realpath(path))
    for other in metadata.files_of_set(root):
        check_kind(os.path.join(folder, other))
    return root


def _check_neighbours(path: str) -> None:
    """Check that neighbours of a Micro-Manager file, which tifffile opens by name, are files."""
    with os.scandir(os.path.dirname(os.path.realpath(path))) as entries:
        for entry in entries:
            if not entry.is_dir() and entry.name.endswith((".tif", ".index")):
                check_kind(entry.path)


def _series(path: str, file: Any) -> list[Any]:
    """The images of a file, after checking that all directories could be read."""
    if not len(file.pages):
        raise SourceError(f"{path}: it holds no pages; the file may be cut short or damaged")
    last = file.pages[len(file.pages) - 1]
    if last.offset > 0:
        # tifffile treats a directory that it cannot read as the end of the file.
        _, after = segments.entries(file.filehandle.fileno(), last.offset, file.tiff)
        if after and not file.is_lsm:
            raise SourceError(
                f"{path}: cut short or damaged: the directory of page {len(file.pages)}, at byte "
                f"{after} of {file.filehandle.size}, cannot be read"
            )
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
    return found


def _chosen(path: str, series: list[Any], dataset: str | None) -> int:
    """Index of the image that the user names, or of the only one."""
    if dataset is None and len(series) == 1:
        return 0
    names = Counter(image.name for image in series)
    for number, image in enumerate(series):
        if dataset is not None and dataset == image.name and names[image.name] == 1:
            return number
    if dataset is not None and dataset.isdecimal() and int(dataset) < len(series):
        return int(dataset)
    listed = "; ".join(
        f"{number}{f' ({image.name})' if image.name else ''}: {_text(image)}"
        for number, image in enumerate(series)
    )
    what = "its pages differ" if series[0].kind == "generic" else "it holds several images"
    if len(series) == 1:
        what = "it holds one image"
    wrong = "" if dataset is None else f"dataset is {dataset!r}, but "
    raise SourceError(
        f"{path}: {wrong}{what}; give the name or number of an image as dataset: {listed}"
    )


def _text(image: Any) -> str:
    return f"{image.axes} {image.shape} {image.dtype}"


def _pages(
    path: str, file: Any, image: Any, shape: tuple[int, ...], root: ElementTree.Element | None
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
        folder = os.path.dirname(os.path.realpath(path))
        files = [] if root is None else metadata.files_of_set(root)
        absent = [name for name in files if not os.path.exists(os.path.join(folder, name))]
        raise SourceError(
            f"{path}: {missing} of its {needed} planes are in no file"
            + (f"; missing: {', '.join(absent)}" if absent else "")
        )
    if len(found) != needed:
        raise SourceError(
            f"{path}: it has {len(found)} pages, but {_text(image)} in its metadata needs {needed}"
        )
    return segments.pages_from_tifffile(path, file.filehandle.path, found)


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
) -> tuple[list[int], str]:
    """Indices of the axes of tifffile that the source keeps, and their names."""
    axes = None if layout is None else layout.axes
    names = [_NAMES.get(letter, "") for letter in letters]
    kept = [
        i
        for i, letter in enumerate(letters)
        if shape[i] > 1 or letter in "YX" or letter not in _OMITTED
    ]
    if axes is None:
        found = "".join(names[i] for i in kept)
        if len(found) < len(kept) or len(set(found)) < len(found):
            raise SourceError(
                f"{path}: tifffile names its axes {''.join(letters[i] for i in kept)}, with shape "
                f"{tuple(shape[i] for i in kept)}: "
                + ("it cannot be a slice or a tile" if layout is None else "name them by axes")
            )
        return kept, found
    if len(axes) != len(kept):
        kept = [
            i for i in range(len(shape)) if i in kept or (names[i] in axes and letters[i] != "S")
        ]
    check_axes(path, axes, tuple(shape[i] for i in kept))
    return kept, axes


def _describe(
    path: str, file: Any, image: Any, element: ElementTree.Element | None, source: TiffSource
) -> dict[str, Any]:
    """Voxel size, time step and channels, as fields of a source.

    They come from the OME-XML, ImageJ's description or the tags of the first page.
    """
    tags, axes = image.keyframe.tags, source.file_axes
    channels = source.file_shape[axes.index("c")] if "c" in axes else 0
    if element is not None:
        return metadata.describe_ome(path, element, axes, channels)
    fields = {}
    if file.is_imagej and image.kind in ("imagej", *_PLAIN):
        fields = metadata.describe_imagej(path, file.imagej_metadata, tags, axes, channels)
    return fields if "voxel_size" in fields else fields | metadata.describe_tags(path, tags, axes)
