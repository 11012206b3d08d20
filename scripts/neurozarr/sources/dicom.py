"""DICOM images: a directory of series, or one of their files, which dcm2niix converts to NIfTI.

dcm2niix knows what the scanners of each vendor write, but converts only whole images. So the NIfTI
file is kept in a scratch directory until the source is closed, and a record of its header tells
later runs what there is to convert without reading the DICOM files again.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
import xxhash

from neurozarr import fingerprints
from neurozarr.durable import sync, sync_files
from neurozarr.errors import SourceError
from neurozarr.files import content_elsewhere
from neurozarr.regions import Region
from neurozarr.sources import dcm2niix
from neurozarr.sources.base import Layout, Member, Source
from neurozarr.sources.dcm2niix import Image
from neurozarr.sources.nibabel_image import NibabelSource
from neurozarr.zarr.documents import Document, read_record, write_json

#: Depth to which directories are searched.
_DEPTH = 5
#: Number of files of a directory that are looked at to know whether it has DICOM files.
_LOOKED_AT = 1000
#: Start of a DICOM file without preamble: an element of group 0002 or 0008, in little endian
#: (PS3.10, 7.1, and PS3.5, 7.1).
_GROUPS = (b"\x02\x00", b"\x08\x00")
#: Fields of a `NibabelSource` that the record keeps as they are.
_KEPT = (
    *("file_axes", "file_shape", "voxel_size", "time_step", "space_unit", "time_unit"),
    *("slope", "inter"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class DicomSource(Source):
    """An image of a DICOM directory, or of the series of a DICOM file.

    Attributes
    ----------
    conversion
        Its conversion to NIfTI.
    """

    suffixes = (".dcm", ".ima", ".dicom")
    takes = ("axes", "dataset")

    conversion: Conversion

    @classmethod
    def matches(cls, path: str) -> bool:
        if not os.path.isdir(path):
            return super().matches(path) or (os.path.isfile(path) and _is_dicom(path))
        files = (entry.path for entry in _entries(path, _DEPTH) if entry.is_file())
        return any(map(_is_dicom, islice(files, _LOOKED_AT)))

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        conversion = Conversion(path, layout)
        return cls(conversion=conversion, **conversion.fields())

    @classmethod
    def images(cls, path: str, layout: Layout) -> list[Member]:
        found = images(path, layout)
        return [Member(image.dataset, image.name(found)) for image in found]

    def read_file(self, region: Region) -> np.ndarray:
        return self.conversion.nifti.read_file(region)

    def close(self) -> None:
        self.conversion.close()


class Conversion:
    """The conversion of a DICOM image to NIfTI, with its record.

    Parameters
    ----------
    path
        A DICOM directory, or a DICOM file.
    layout
        Columns that describe the image, options of dcm2niix, and the directory of the record.

    Raises
    ------
    SourceError
        There is no image, or there are several and ``layout.dataset`` names none of them.
    """

    def __init__(self, path: str, layout: Layout) -> None:
        self._path, self._layout = path, layout
        self._state = Path(layout.state or tempfile.mkdtemp())
        self._image = _pick(path, images(path, layout), layout.dataset)
        self._lock = Lock()
        self._known: Document | None = None
        self._nifti: NibabelSource | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """DICOM files of the series."""
        return tuple(map(Path, self._image.files))

    def is_known(self) -> bool:
        """Whether the record says what there is to convert."""
        return self._record() is not None

    def fields(self) -> dict[str, Any]:
        """Fields of the source; the image is converted if it is not known."""
        record = self._record() or self._convert()
        kept = record["fields"]
        return {
            **{name: kept[name] for name in _KEPT},
            "files": self.files,
            "file_shape": tuple(kept["file_shape"]),
            "voxel_size": tuple(kept["voxel_size"]),
            "dtype": np.dtype(kept["dtype"]),
            "affine": None if kept["affine"] is None else np.array(kept["affine"]),
            "nifti_header": base64.b64decode(kept["nifti_header"]),
            "sidecars": record["sidecars"],
            "converter": f"dcm2niix {dcm2niix.version()}",
        }

    @property
    def nifti(self) -> NibabelSource:
        """The converted image."""
        with self._lock:
            if self._nifti is None:
                record = self._record()
                if record is None or not (self._scratch / record["nifti"]).is_file():
                    record = self._convert()
                self._nifti = self._opened(record["nifti"])
            return self._nifti

    def close(self) -> None:
        """Delete the converted image; the record is kept."""
        self._nifti = None
        shutil.rmtree(self._state if self._layout.state is None else self._scratch, True)

    @property
    def _file(self) -> Path:
        return self._state / "dicom.json"

    @property
    def _scratch(self) -> Path:
        return self._state / "dicom"

    @cached_property
    def _settings(self) -> Document:
        """What decides the converted image, apart from the DICOM files."""
        return {
            "options": _options(self._layout),
            "image": list(self._image.labels),
            "axes": self._layout.axes,
        }

    def _record(self) -> Document | None:
        """The record, if it is of these files and settings."""
        if self._known is not None:
            return self._known
        record = read_record(self._file)
        is_current = (
            record is not None
            and record.get("settings") == self._settings
            and fingerprints.are_same(record.get("source", []), self.files)
        )
        self._known = record if is_current else None
        return self._known

    def _opened(self, name: str) -> NibabelSource:
        return NibabelSource.open(str(self._scratch / name), Layout(axes=self._layout.axes))

    def _convert(self) -> Document:
        """Convert the image, and record it. Without a record, the NIfTI file may be unfinished."""
        self._file.unlink(missing_ok=True)
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        sync(self._state)
        source = fingerprints.fingerprints(self.files)
        options = _options(self._layout)
        made = dcm2niix.convert(self._path, self._image, options, self._scratch)
        nifti = self._opened(made.nifti.name)
        kept = {name: getattr(nifti, name) for name in _KEPT}
        record = {
            "settings": self._settings,
            "source": source,
            "nifti": made.nifti.name,
            "fields": kept
            | {
                "dtype": nifti.dtype.str,
                "affine": None if nifti.affine is None else nifti.affine.tolist(),
                "nifti_header": base64.b64encode(nifti.nifti_header or b"").decode(),
            },
            "sidecars": made.sidecars,
        }
        sync_files([made.nifti], self._state)
        _remember(self._path, self._layout)
        write_json(self._file, record)
        self._known = record
        return record


def images(path: str, layout: Layout) -> tuple[Image, ...]:
    """List the images of a DICOM directory, or those of the series of a DICOM file.

    The list of an earlier run is used again if the names, sizes and modification times of all files
    are the same.

    Raises
    ------
    SourceError
        There are none, or dcm2niix is not installed.
    """
    if not os.path.exists(path):
        raise SourceError(f"{path}: there is no such file or directory")
    found = _images(path, json.dumps(_options(layout)), _memory(path, layout))
    if not os.path.isdir(path):
        found = tuple(image for image in found if os.path.abspath(path) in image.files)
    if not found:
        raise SourceError(f"{path}: dcm2niix finds no image in it")
    return found


@cache
def _images(path: str, options: str, memory: Path | None) -> tuple[Image, ...]:
    known = read_record(memory) if memory else None
    if known is not None and known.get("of") == _state(path, options):
        return tuple(Image(**image | {"files": tuple(image["files"])}) for image in known["images"])
    files = [Path(file) for file, _ in _files(*_searched(path))]
    return tuple(dcm2niix.images(path, files, json.loads(options)))


def _remember(path: str, layout: Layout) -> None:
    """Keep the list of images for later runs."""
    options, memory = json.dumps(_options(layout)), _memory(path, layout)
    known = read_record(memory) if memory else None
    if memory is None or (known is not None and known.get("of") == _state(path, options)):
        return
    found = [asdict(image) for image in _images(path, options, memory)]
    # Other jobs may do the same at the same moment.
    own = memory.with_name(f"{memory.stem}-{os.getpid()}.json")
    write_json(own, {"of": _state(path, options), "images": found})
    os.replace(own, memory)


def _memory(path: str, layout: Layout) -> Path | None:
    """File with the list of images, beside the state of the samples."""
    if layout.state is None:
        return None
    folder, depth = _searched(os.path.abspath(path))
    name = xxhash.xxh3_64_hexdigest(os.fsencode(f"{depth} {folder}"))
    return Path(layout.state).with_name(f"dicom-{name}.json")


@cache
def _state(path: str, options: str) -> str:
    """Checksum of the options, and of the names, sizes and modification times of all files."""
    digest = xxhash.xxh3_64(options.encode())
    folder, depth = _searched(path)
    for file, status in _files(folder, depth):
        name = os.path.relpath(file, folder)
        digest.update(os.fsencode(f"{name}\0{status.st_size} {status.st_mtime_ns}\0"))
    return digest.hexdigest()


def _options(layout: Layout) -> Document:
    return layout.dicom or {}


def _searched(path: str) -> tuple[Path, int]:
    """The directory in which dcm2niix searches, and to which depth."""
    if os.path.isdir(path):
        return Path(path), _DEPTH
    return Path(path).parent, 0


def _files(folder: str | Path, depth: int) -> Iterator[tuple[str, os.stat_result]]:
    """Files of a directory and of those in it, to a depth, with their status.

    Raises
    ------
    SourceError
        The content of a file, which may be a slice, is elsewhere.
    """
    for entry in _entries(folder, depth):
        if why := content_elsewhere(entry.path):
            raise SourceError(f"{entry.path}: {why}")
        if entry.is_file():
            yield entry.path, entry.stat()


def _entries(folder: str | Path, depth: int) -> Iterator[os.DirEntry[str]]:
    """What is in a directory and in those in it, to a depth, except hidden files."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                if depth:
                    yield from _entries(entry.path, depth - 1)
            elif not entry.name.startswith("."):
                yield entry


def _is_dicom(file: str) -> bool:
    """Whether a file starts as DICOM files do, with or without a preamble (PS3.10, 7.1)."""
    with open(file, "rb") as stream:
        start = stream.read(132)
    return start[128:] == b"DICM" or (start[:2] in _GROUPS and start[3:4] == b"\0")


def _pick(path: str, found: Sequence[Image], dataset: str | None) -> Image:
    """The image that a dataset names: a description, or labels separated by spaces."""
    words = set((dataset or "").split())
    named = [
        image
        for image in found
        if words <= set(image.labels) or dcm2niix.as_name(dataset or "") == image.description != ""
    ]
    if len(named) == 1:
        return named[0]
    lines = [("series", "description", "echo", "part", "key"), *(i.labels for i in named or found)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    what = f"no image is {dataset!r}" if not named else f"{len(named)} images"
    raise SourceError(
        f"{path}: {what}; name one in dataset by words of this table, such as "
        f"{' '.join((named or found)[0].labels[:2])!r}, or give * for all:\n{table}"
    )
