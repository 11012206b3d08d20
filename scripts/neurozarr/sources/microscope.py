"""Files of microscopes in the formats of their vendors, read by OpenReadout.

It is the library beneath bioio's reader plugin of that name, and needs no Java.
"""

from __future__ import annotations

import glob
import logging
import math
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.files import check_file
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Member, Source
from neurozarr.sources.damage import check_size
from neurozarr.sources.extras import library
from neurozarr.units import is_plausible

logger = logging.getLogger(__name__)

#: Highest ratio of the size of an image, with the gaps of a mosaic, to that of its files.
_MAX_RATIO = 100_000
#: Maximum number of images that an error lists.
_MAX_LISTED = 20
#: Names and colours of the samples of a colour image, in the order in which they are read.
_SAMPLES = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))


@dataclass(frozen=True, kw_only=True, eq=False)
class MicroscopeSource(Source):
    """An image of a file: a scene (CZI), a position (ND2) or a series (LIF).

    The tiles of a mosaic are joined at the positions that the file gives them. Colours become
    channels: those of the first channel, then those of the second.

    Attributes
    ----------
    image
        Number of the image in the file.
    samples
        Number of samples of a pixel: 3 in a colour image, else 1.
    lock
        Held while the file is opened.
    """

    suffixes = (".czi", ".lif", ".nd2", ".oib", ".oif", ".oir", ".vsi", ".zvi")
    takes = ("dataset",)

    image: int
    samples: int
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        with _opened(path) as file:
            number = _chosen(path, file.images, layout.dataset)
            image, level = file.images[number], file.levels(number)[0]
            dtype = np.dtype(file.dtype(number))
        samples = image["samples_per_pixel"]
        lengths = {axis: int(image[f"size_{axis}"]) for axis in "tczyx"}
        lengths["c"] *= samples
        axes = "".join(axis for axis in "tczyx" if axis not in "tc" or lengths[axis] > 1)
        # Tiles of a mosaic may overlap, so that they are no grid; the first is at its corner.
        native = {"c": samples, "y": level.get("tile_height"), "x": level.get("tile_width")}
        chunk = {axis: native.get(axis, 1) or lengths[axis] for axis in axes}
        files = (Path(path), *_beside(path))
        size = sum(other.stat().st_size for other in files)
        check_size(path, size, math.prod(lengths.values()) * dtype.itemsize, _MAX_RATIO)
        return cls(
            files=files,
            file_axes=axes,
            file_shape=tuple(lengths[axis] for axis in axes),
            dtype=dtype,
            file_native_chunk_shape=tuple(min(chunk[axis], lengths[axis]) for axis in axes),
            image=number,
            samples=samples,
            **_size(path, image),
            **_time(image),
            **_channels(image, lengths["c"]),
        )

    @classmethod
    def images(cls, path: str, layout: Layout) -> Sequence[Member]:
        with _opened(path) as file:
            names = [_name(image) for image in file.images]
        counts = Counter(names)
        return [
            Member(name, name) if name and counts[name] == 1 else Member(str(number), str(number))
            for number, name in enumerate(names)
        ]

    @cached_property
    def file(self) -> Any:
        """The file, kept open."""
        path = str(self.files[0])
        check_file(path)
        return library("openreadout", "microscopy", path).File(path)

    def read_file(self, region: Region) -> np.ndarray:
        with self.lock, _errors(str(self.files[0]), "the voxels cannot be read"):
            file = self.file
        sides = dict(zip(self.file_axes, region, strict=True))
        times, channels, planes = (sides.get(axis, slice(0, 1)) for axis in "tcz")
        y, x = sides["y"], sides["x"]
        height, width = y.stop - y.start, x.stop - x.start
        first, last = channels.start // self.samples, -(-channels.stop // self.samples)
        counts = (times.stop - times.start, last - first, self.samples, planes.stop - planes.start)
        found = np.empty((*counts, height, width), self.dtype)
        for t, c, z in np.ndindex(*found.shape[:2], found.shape[3]):
            with _errors(str(self.files[0]), "the voxels cannot be read"):
                plane = file.read_plane(
                    self.image,
                    c=first + c,
                    z=planes.start + z,
                    t=times.start + t,
                    region=(x.start, y.start, width, height),
                )
            found[t, c, :, z] = np.moveaxis(plane.reshape(height, width, self.samples), -1, 0)
        start = channels.start - first * self.samples
        voxels = found.reshape(len(found), -1, *found.shape[3:])
        voxels = voxels[:, start : start + channels.stop - channels.start]
        return voxels.reshape([side.stop - side.start for side in region])

    def check(self) -> None:
        super().check()
        path = str(self.files[0])
        with _opened(path) as file:
            findings = file.check()["findings"]
        wrong = [found["message"] for found in findings if found["severity"] == "error"]
        if wrong:
            more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise SourceError(f"{path}: damaged or cut short ({wrong[0]}{more})")


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """Open a file to read its headers; errors in the block become SourceErrors.

    Raises
    ------
    SourceError
        The file is missing, damaged, not supported or holds no image.
    """
    openreadout = library("openreadout", "microscopy", path)
    check_file(path)
    others = _beside(path)
    with _errors(path, "its headers cannot be read"), openreadout.File(path) as file:
        if not file.images:
            folder = f"_{Path(path).stem}_"
            lacking = path.lower().endswith(".vsi") and not others
            where = f", and {folder} beside it, the directory of its images, is missing or empty"
            raise SourceError(f"{path}: it holds no image{where if lacking else ''}")
        yield file


@contextmanager
def _errors(path: str, wrong: str) -> Iterator[None]:
    """Turn errors of OpenReadout, without their advice to run its program, into SourceErrors."""
    openreadout = library("openreadout", "microscopy", path)
    try:
        yield
    except openreadout.OpenReadoutError as error:
        text = str(error).partition(" (hint:")[0]
        raise SourceError(f"{path}: {wrong} ({' '.join(text.split())})") from error


def _beside(path: str) -> list[Path]:
    """The other files of a set, which OpenReadout finds by their names.

    Raises
    ------
    SourceError
        One of them is not a regular file that can be read.
    """
    file = Path(path)
    name, stem = glob.escape(file.name), glob.escape(file.stem)
    pattern = {
        ".czi": f"{stem} (*).czi",
        ".lif": f"{stem}*.lifext",
        ".oif": f"{name}.files/**/*",
        ".oir": f"{stem}_[0-9]*",
        ".vsi": f"_{stem}_/**/*",
    }.get(file.suffix.lower())
    found = sorted(file.parent.glob(pattern)) if pattern else []
    others = [other for other in found if not other.is_dir()]
    for other in others:
        check_file(other)
    return others


def _name(image: Any) -> str:
    return str(image.get("name") or "").strip()


def _chosen(path: str, images: Sequence[Any], dataset: str | None) -> int:
    """Number of the image that the user names, or of the only one."""
    names = [_name(image) for image in images]
    if dataset is None and len(images) == 1:
        return 0
    if dataset is not None and names.count(dataset) == 1:
        return names.index(dataset)
    if dataset is not None and dataset.isdecimal() and int(dataset) < len(images):
        return int(dataset)
    listed = [f"{number}{f' ({name})' if name else ''}" for number, name in enumerate(names)]
    if len(listed) > _MAX_LISTED:
        listed[_MAX_LISTED:] = [f"{len(listed) - _MAX_LISTED} more"]
    wrong = "" if dataset is None else f"dataset is {dataset!r}, but "
    raise SourceError(
        f"{path}: {wrong}it holds the images {', '.join(listed)}; give the name or number of one "
        "as dataset, or * for all"
    )


def _size(path: str, image: Any) -> dict[str, Any]:
    """Voxel size and position, in micrometres; an unknown size is that along another axis."""
    stored = image["physical_size"]
    known = {axis: stored[axis] for axis in "xyz" if is_plausible(stored.get(axis) or 0)}
    if not known:
        return {}
    for axis in "xyz":
        if axis in known:
            continue
        known[axis] = next(iter(known.values()))
        if image[f"size_{axis}"] > 1:
            logger.warning(
                "%s: the voxel size along %s is unknown; it is set to %g, as along another axis; "
                "give voxel_size",
                path,
                axis,
                known[axis],
            )
    return {
        "voxel_size": tuple(known[axis] for axis in "zyx"),
        "space_unit": "micrometer",
        "position": _position(image, known),
    }


def _position(image: Any, sizes: dict[str, float]) -> tuple[float, ...]:
    """Position of the first pixel of a CZI scene among those of all scenes, in micrometres.

    Empty for other formats: the stage of ND2 may be turned against the image.
    """
    origin = image.get("extra", {}).get("origin_px")
    return (0.0, origin["y"] * sizes["y"], origin["x"] * sizes["x"]) if origin else ()


def _time(image: Any) -> dict[str, Any]:
    """The time step: the file's, or that of its time stamps, if they are even (within 1 %)."""
    step = image.get("time_increment_s") or 0
    stamps = image.get("extra", {}).get("time_stamps_s") or []
    if not step and len(stamps) == image["size_t"] > 1:
        steps = np.diff(stamps)
        step = steps.mean() if np.ptp(steps) <= abs(steps.mean()) / 100 else 0
    return {"time_step": float(step), "time_unit": "second"} if is_plausible(step) else {}


def _channels(image: Any, count: int) -> dict[str, Any]:
    """Names and colours of the channels; the samples of a colour image have names of their own."""
    channels = sorted(image["channels"], key=lambda channel: channel["index"])
    names = [str(channel.get("name") or "") for channel in channels]
    colors = [str(channel.get("color") or "").lstrip("#")[:6].upper() for channel in channels]
    if image["samples_per_pixel"] == len(_SAMPLES):
        names = [f"{name} {sample}".strip() for name in names for sample, _ in _SAMPLES]
        colors = [color for _ in channels for _, color in _SAMPLES]
    return {
        "channel_names": tuple(names) if any(names) and len(names) == count else (),
        "channel_colors": tuple(colors) if any(colors) and len(colors) == count else (),
    }
