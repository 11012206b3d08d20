"""Reading the XML files of BigDataViewer and BigStitcher (SpimData).

The names of elements are those that the library spimdata and the image loaders of BigDataViewer
and BigStitcher write.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.files import check_file
from neurozarr.sources.paths import is_address, normal
from neurozarr.sources.zarr.nodes import is_below

#: Maximum number of view setups that an error lists.
_MAX_LISTED = 20
#: Maximum number of time points.
_MAX_TIMES = 100_000


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A view setup: one channel of one tile from one angle, at all time points.

    Attributes
    ----------
    number
        Its id.
    name
        Its name; "" if it has none.
    channel
        Name of its channel; "" if unknown.
    voxel_size
        Along z, y and x; empty if unknown.
    unit
        Unit of the voxel size, as the file names it.
    """

    number: int
    name: str
    channel: str
    voxel_size: tuple[float, ...]
    unit: str


class SpimData:
    """The content of an XML file, parsed where it is needed."""

    def __init__(self, path: str, root: ElementTree.Element) -> None:
        self.path = path
        self.root = root

    @cached_property
    def loader(self) -> ElementTree.Element:
        """The image loader: where the voxels are."""
        return self._element("SequenceDescription/ImageLoader")

    def location(self, tag: str) -> str:
        """Path or URL of the voxels, from an element of the image loader."""
        if bucket := _text(self.loader, "s3bucket"):
            raise SourceError(f"{self.path}: its voxels are in the S3 bucket {bucket}; copy them")
        element = self.loader.find(tag)
        if element is None:
            raise SourceError(f"{self.path}: its image loader has no element <{tag}>")
        return self._located(element)

    @property
    def partitions(self) -> list[Path]:
        """The files to which the links of an HDF5 file lead, if they exist."""
        found = map(self._located, self.loader.iterfind("partition/path"))
        return [Path(path) for path in found if os.path.isfile(path)]

    def _located(self, element: ElementTree.Element) -> str:
        """Path or URL of an element.

        Relative paths start from the BasePath, which is relative to the XML file. In those of N5
        and Zarr, special characters are percent-encoded by newer versions of BigDataViewer. Some
        paths were written on Windows.
        """
        folder, base = os.path.dirname(self.path), self.root.find("BasePath")
        return _located(
            self.path, element, folder if base is None else _located(self.path, base, folder)
        )

    @cached_property
    def setups(self) -> dict[int, Setup]:
        """View setups, by their ids."""
        described = self._element("SequenceDescription/ViewSetups")
        channels = {
            _text(channel, "id"): _text(channel, "name")
            for channel in described.iterfind("Attributes[@name='channel']/Channel")
        }
        found = {}
        for element in described.iterfind("ViewSetup"):
            number = int(_text(element, "id"))
            found[number] = Setup(
                number=number,
                name=_text(element, "name"),
                channel=channels.get(_text(element, "attributes/channel"), ""),
                voxel_size=_numbers(_text(element, "voxelSize/size"))[::-1],
                unit=_text(element, "voxelSize/unit"),
            )
        if not found:
            raise SourceError(f"{self.path}: it has no view setups")
        return found

    @cached_property
    def times(self) -> tuple[int, ...]:
        """Numbers of the time points, in order."""
        element = self._element("SequenceDescription/Timepoints")
        match element.get("type"):
            case "range":
                parts = [f"{_text(element, 'first')}-{_text(element, 'last')}"]
            case "pattern":
                parts = (_text(element, "integerpattern") or "0").replace(" ", "").split(",")
            case "list":
                parts = [_text(point, "id") for point in element.iterfind("Timepoint")]
            case kind:
                raise SourceError(f"{self.path}: time points of type {kind!r} are not supported")
        ranges = [_range(part) for part in parts]
        if sum(map(len, ranges)) > _MAX_TIMES:
            raise SourceError(f"{self.path}: damaged: more than {_MAX_TIMES} time points")
        times = tuple(sorted({time for part in ranges for time in part}))
        if not times:
            raise SourceError(f"{self.path}: damaged: it has no time points")
        return times

    def times_of(self, setup: Setup) -> tuple[int, ...]:
        """Numbers of the time points of which a view setup is not missing."""
        missing = {
            int(view.get("timepoint", ""))
            for view in self.root.iterfind("SequenceDescription/MissingViews/MissingView")
            if view.get("setup") == str(setup.number)
        }
        return tuple(time for time in self.times if time not in missing)

    def setup(self, named: str | None) -> Setup:
        """The view setup that a user names by its id or name; by default, the only one.

        Raises
        ------
        SourceError
            There is none, or several could be meant; the error lists them.
        """
        setups = list(self.setups.values())
        if named is None:
            matching = setups
        else:
            matching = [setup for setup in setups if str(setup.number) == named]
            matching = matching or [setup for setup in setups if setup.name == named]
        if len(matching) == 1:
            return matching[0]
        listed = [
            f"{setup.number} ({setup.name})" if setup.name else str(setup.number)
            for setup in setups[:_MAX_LISTED]
        ] + ["..."] * (len(setups) > _MAX_LISTED)
        told = "" if named is None else f"dataset is {named!r}, but "
        raise SourceError(
            f"{self.path}: {told}the file has view setups {', '.join(listed)}; name one by "
            "dataset, or all by *"
        )

    def images_of(self, setup: Setup) -> list[tuple[str, tuple[int, ...] | None]]:
        """Where the views of a setup are in an OME-Zarr store, for each time point in order.

        The path of an image, and the indices of its axes t and c, or of one of them; None if there
        are none (class XmlIoAllenOMEZarrLoader of BigStitcher, versions 1 to 3).

        Raises
        ------
        SourceError
            A view has no image.
        """
        found = {}
        for group in self.loader.iterfind("zgroups/zgroup"):
            if group.get("setup") == str(setup.number):
                time = int(group.get("tp", group.get("timepoint", "")))
                path = (group.get("path") or _text(group, "path")).strip("/")
                if path and not is_below(path):
                    raise SourceError(f"{self.path}: the path {path!r} of an image has .. in it")
                indices = tuple(map(int, group.get("indicies", "").strip("[]").split()))
                found[time] = path, indices[::-1] or None
        lacking = [time for time in self.times if time not in found]
        if lacking:
            raise SourceError(
                f"{self.path}: view setup {setup.number} has no image at time point {lacking[0]}"
            )
        return [found[time] for time in self.times]

    def registrations(self, setup: Setup) -> dict[int, tuple[np.ndarray, ...]]:
        """Affines of the views of a setup, by time point, the one that is applied last first.

        Each is a 4 by 4 matrix. Their product maps the indices x, y, z of a voxel to the world. A
        view is left out if one of its transformations is not an affine.
        """
        found = {}
        for view in self.root.iterfind("ViewRegistrations/ViewRegistration"):
            if view.get("setup") == str(setup.number):
                transforms = view.findall("ViewTransform")
                if all(transform.get("type") == "affine" for transform in transforms):
                    affines = tuple(map(self._affine, transforms))
                    found[int(view.get("timepoint", ""))] = affines or (np.eye(4),)
        return found

    def _affine(self, transform: ElementTree.Element) -> np.ndarray:
        numbers = _numbers(_text(transform, "affine"))
        if len(numbers) != 12 or not np.isfinite(numbers).all():
            raise SourceError(f"{self.path}: damaged: an affine does not have 12 finite numbers")
        return np.vstack([np.reshape(numbers, (3, 4)), [0, 0, 0, 1]])

    def _element(self, path: str) -> ElementTree.Element:
        element = self.root.find(path)
        if element is None:
            raise SourceError(f"{self.path}: it has no element <{path.rpartition('/')[2]}>")
        return element


def read(path: str) -> SpimData:
    """Read an XML file; the last one is kept parsed, as each of its images is opened by itself.

    Raises
    ------
    SourceError
        It cannot be read, or is not an XML file of BigDataViewer.
    """
    check_file(path)
    return _parsed(path, Path(path).read_bytes())


@lru_cache(maxsize=1)
def _parsed(path: str, content: bytes) -> SpimData:
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise SourceError(f"{path}: damaged: not XML ({error})") from None
    if root.tag != "SpimData":
        raise SourceError(
            f"{path}: its root element is {root.tag}, not SpimData: it is not an XML file of "
            "BigDataViewer"
        )
    return SpimData(path, root)


def _text(element: ElementTree.Element, path: str) -> str:
    """Text of an element below another; "" if there is none."""
    return (element.findtext(path) or "").strip()


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split()))


def _range(text: str) -> range:
    """The numbers of a part of a pattern of integers: 3, 0-9 or 0-9:3."""
    ends, _, step = text.partition(":")
    first, _, last = ends.partition("-")
    return range(int(first), int(last or first) + 1, int(step or 1))


def _located(path: str, element: ElementTree.Element, base: str) -> str:
    """Path or URL that an element of an XML file gives; ``base`` is where relative ones start."""
    text = (element.text or "").strip()
    is_absolute = element.get("type") != "relative"
    if is_absolute and text.startswith("file:"):
        text = urlsplit(text).path
    elif is_absolute and is_address(text):
        return text
    elif is_address(base):
        return f"{base.rstrip('/')}/{text}"
    if "://" in text:
        raise SourceError(
            f"{path}: its voxels are at {text}; allowed: a path, http:// or https://; copy them, "
            f"and give their path in <{element.tag}>"
        )
    spellings = (unquote(text), text, text.replace("\\", "/"))
    paths = [normal(os.path.join(base, spelling)) for spelling in spellings]
    return next(filter(os.path.exists, paths), paths[1])
