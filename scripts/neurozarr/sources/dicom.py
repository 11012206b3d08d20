"""DICOM images, by pydicom: a directory of the slices of a series, or a file of one or many."""

from __future__ import annotations

import datetime
import logging
import os
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.files import check_file, check_kind
from neurozarr.regions import Region
from neurozarr.sources.base import WARNING_FILTERS, Layout, Source, library
from neurozarr.sources.paths import natural

logger = logging.getLogger(__name__)

#: How many files of a directory are looked at to know whether it is one of DICOM files.
_LOOKED_AT = 20
#: How far distances between slices, and the directions of slices, may differ from each other.
_TOLERANCE = 0.01
#: Photometric interpretations (PS3.3 C.7.6.3.1.2) that are read, and how many samples they have.
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")

#: What may tell slices at the same position apart, in the order in which it is tried; where it is
#: of each frame, the macro of a multi-frame file (PS3.3 C.7.6.16) that it is in; and, of times,
#: their unit.
_ORDERS = {
    "TemporalPositionIdentifier": "",
    "TemporalPositionIndex": "FrameContentSequence",
    "EchoNumbers": "",
    "EchoTime": "",
    "EffectiveEchoTime": "MREchoSequence",
    "FrameReferenceTime": "",
    "TriggerTime": "",
    "NominalCardiacTriggerDelayTime": "CardiacSynchronizationSequence",
    "AcquisitionNumber": "",
    "FrameAcquisitionDateTime": "FrameContentSequence",
    "AcquisitionDateTime": "",
    "AcquisitionTime": "",
}
_TIME_UNITS = {
    "FrameReferenceTime": "millisecond",
    "TriggerTime": "millisecond",
    "NominalCardiacTriggerDelayTime": "millisecond",
    "FrameAcquisitionDateTime": "second",
    "AcquisitionDateTime": "second",
    "AcquisitionTime": "second",
}
#: Of those, what is a dimension of its own.
_DIMENSIONS = tuple(_ORDERS)[:5]
_MACROS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "FrameType": "MRImageFrameTypeSequence",
    **{name: macro for name, macro in _ORDERS.items() if macro},
}
_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
_TAGS = [
    *(set(_MACROS) | set(_ORDERS)),
    *_GROUPS,
    *("SOPClassUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ImageType"),
    *("AcquisitionDate", "TemporalResolution", "SpacingBetweenSlices"),
    *("GridFrameOffsetVector", "FrameTime", "FrameTimeVector"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
]
#: Of all frames of a volume, the same.
_COMMON = (
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "PixelRepresentation"),
)
#: Elements that hold voxels (PS3.3 C.7.6.3, C.7.6.24, C.7.6.25).
_VOXELS = {
    (0x7FE0, 0x0008): "FloatPixelData",
    (0x7FE0, 0x0009): "DoubleFloatPixelData",
    (0x7FE0, 0x0010): "PixelData",
}
_ITEM, _END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True)
class _File:
    """A DICOM file: its size and where its voxels start, in bytes; and what decodes them."""

    path: Path
    header: Any
    size: int
    start: int
    syntax: str
    options: dict[str, Any]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of its voxels (PS3.3 C.7.6.3.1.1); bits become bytes."""
        bits = int(self.header.BitsAllocated)
        if self.options["pixel_keyword"] != "PixelData":
            return np.dtype(f"f{bits // 8}")
        return np.dtype(f"{'ui'[int(self.header.get('PixelRepresentation') or 0)]}{-(-bits // 8)}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a frame: rows, columns and, of colours, samples."""
        rows, columns = int(self.header.Rows), int(self.header.Columns)
        samples = int(self.header.get("SamplesPerPixel") or 1)
        return (rows, columns) if samples == 1 else (rows, columns, samples)

    def read(self, index: int) -> np.ndarray:
        """Decode a frame."""
        pixels = library("pydicom.pixels", "dicom", str(self.path))
        try:
            with self.path.open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                if size != self.size:
                    raise SourceError(
                        f"{self.path}: {size} bytes, but {self.size} when it was opened: it was "
                        "cut short or changed"
                    )
                stream.seek(self.start)
                decoder = pixels.get_decoder(self.syntax)
                voxels = decoder.as_array(stream, index=index, **self.options)[0]
        except SourceError:
            raise
        except Exception as error:  # Every decoder has its own.
            raise SourceError(
                f"{self.path}: the voxels cannot be read ({error}); the file may be cut short or "
                "damaged"
            ) from error
        if voxels.shape != self.shape or not np.can_cast(voxels.dtype, self.dtype):
            raise SourceError(
                f"{self.path}: its voxels are {voxels.dtype}, of shape {voxels.shape}, but its "
                f"header says {self.dtype}, {self.shape}"
            )
        return voxels


@dataclass(frozen=True)
class _Frame:
    """A slice: the number of its frame in its file; where it lies; and what is said of it."""

    file: _File
    index: int
    position: np.ndarray[Any, Any] | None
    orientation: np.ndarray[Any, Any] | None
    spacing: tuple[float, ...]
    thickness: float
    scale: tuple[float, float]
    tags: dict[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class DicomSource(Source):
    """The slices of a DICOM series, in a directory; or a file of one or many of them.

    Slices are put in order along their normal (PS3.3 C.7.6.2.1.1), by their positions. What lies at
    the same position is put in order along t by one tag. Stored values are kept, those of
    MONOCHROME1 (of which the lowest is white) too; YBR colours become RGB.
    """

    suffixes = (".dcm", ".ima", ".dicom")
    takes = ("axes", "dataset")

    #: A row of slices along z for each point along t.
    frames: tuple[tuple[_Frame, ...], ...]

    @classmethod
    def matches(cls, path: str) -> bool:
        if not os.path.isdir(path):
            return super().matches(path)
        try:
            return any(_is_dicom(file) for file in islice(_listed(path), _LOOKED_AT))
        except OSError:
            return False

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        pydicom = library("pydicom", "dicom", path)
        with WARNING_FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            files = _pick(path, _read_headers(path, pydicom), layout.dataset)
            try:
                frames = [frame for file in files for frame in _frames(file)]
            except SourceError:
                raise
            except Exception as error:  # Elements are parsed when they are asked for.
                raise SourceError(f"{path}: a header is damaged ({error})") from None
        axis, rows, known = _sorted(path, frames, layout.axes)
        first = files[0]
        axes = ("t" if len(rows) > 1 or axis == "t" else "") + "zyx" + "c" * (len(first.shape) - 2)
        if layout.axes not in (None, axes.replace("tz", "t") if axis == "t" else axes):
            raise SourceError(f"{path}: axes is {layout.axes!r}, but its files say {axes!r}")
        if len({frame.scale for frame in frames}) > 1:
            slopes = sorted({frame.scale for frame in frames})
            raise SourceError(
                f"{path}: RescaleSlope and RescaleIntercept differ between slices, from "
                f"{slopes[0]} to {slopes[-1]}; only series that share one can be converted"
            )
        slope, inter = frames[0].scale
        if slope == 0:
            raise SourceError(f"{path}: its RescaleSlope is 0, which scales all values to the same")
        lengths = (len(rows), len(rows[0])) if "t" in axes else (len(rows[0]),)
        return cls(
            files=tuple(file.path for file in files),
            file_axes=axes,
            file_shape=(*lengths, *first.shape),
            dtype=first.dtype,
            file_native_chunk_shape=(*(1 for _ in lengths), *first.shape),
            slope=slope,
            inter=inter,
            frames=rows,
            **known,
        )

    def read_file(self, region: Region) -> np.ndarray:
        times = region[0] if "t" in self.file_axes else slice(0, 1)
        slices, *inner = region[1:] if "t" in self.file_axes else region
        voxels = np.empty([side.stop - side.start for side in region], self.dtype)
        flat = voxels.reshape(-1, *voxels.shape[len(region) - len(inner) :])
        wanted = [frame for row in self.frames[times] for frame in row[slices]]
        for place, frame in zip(flat, wanted, strict=True):
            place[...] = frame.file.read(frame.index)[tuple(inner)]
        return voxels

    def files_of(self, region: Region) -> tuple[Path, ...]:
        sides = dict(zip(self.axes, region, strict=True))
        rows = self.frames[sides.get("t", slice(None))]
        touched = {frame.file.path for row in rows for frame in row[sides["z"]]}
        return tuple(path for path in self.files if path in touched)


def _listed(path: str) -> Iterator[str]:
    """Files of a directory, or the file itself; none that is hidden, or in a directory in it."""
    if not os.path.isdir(path):
        check_file(path)
        yield path
        return
    with os.scandir(path) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and not entry.is_dir():
                check_kind(entry.path)
                if entry.is_file():
                    yield entry.path


def _is_dicom(file: str) -> bool:
    """Whether a file has the prefix of DICOM files (PS3.10 7.1)."""
    with open(file, "rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _read_headers(path: str, pydicom: Any) -> list[_File]:
    """All images of a directory, or of a file, in natural order."""
    if not os.path.exists(path):
        raise SourceError(f"{path}: there is no such file or directory")
    found = []
    file = path
    try:
        for file in sorted(_listed(path), key=natural):
            if _is_dicom(file):
                found += _read_header(file, pydicom)
            elif file.lower().endswith(DicomSource.suffixes):
                raise SourceError(f"{file}: not a DICOM file: DICM is not at byte 128")
    except OSError as error:
        raise SourceError(f"{file}: the file cannot be read ({error.strerror})") from None
    if not found:
        raise SourceError(f"{path}: no DICOM image is in it")
    return found


def _read_header(name: str, pydicom: Any) -> list[_File]:
    """The headers of a file; none where it holds no image.

    Raises
    ------
    SourceError
        It is damaged or cut short, or its voxels cannot be decoded.
    """
    with open(name, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        try:
            header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=_TAGS)
            meta = header.file_meta
            syntax = pydicom.uid.UID(meta.get("TransferSyntaxUID", ""))
            if not syntax:
                raise SourceError(f"{name}: cut short or damaged: it has no TransferSyntaxUID")
            kind = meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")
            # That of a file that is cut short may be, too: it then is no known one.
            is_known = kind and (kind.is_private or kind.name != kind)
            if "Rows" not in header and is_known and "Image Storage" not in kind.name:
                return []
            if syntax == pydicom.uid.DeflatedExplicitVRLittleEndian:
                raise SourceError(f"{name}: deflated, which is not supported; inflate it first")
            _check_image(name, header)
            options = pydicom.pixels.as_pixel_options(header)
            start, more = _check_voxels(name, stream, size, syntax, options)
        except (SourceError, OSError):
            raise
        except Exception as error:  # It has no base for what it raises on damaged files.
            raise SourceError(f"{name}: a damaged DICOM file ({error})") from None
    try:
        decoder = pydicom.pixels.get_decoder(syntax)
    except NotImplementedError:
        raise SourceError(f"{name}: its transfer syntax, {syntax.name}, is not supported") from None
    if not decoder.is_available:
        raise SourceError(
            f"{name}: to read {syntax.name}, more packages are needed: "
            "pip install 'neurozarr[dicom]'"
        )
    return [_File(Path(name), header, size, start, str(syntax), {**options, **more})]


def _check_image(name: str, header: Any) -> None:
    """Raise a SourceError where an image is of no kind that can be converted."""
    lacking = [tag for tag in ("Rows", "Columns", "BitsAllocated") if not header.get(tag)]
    if lacking:
        raise SourceError(f"{name}: cut short or damaged: it has no {', '.join(lacking)}")
    kind = header.get("PhotometricInterpretation", "MONOCHROME2")
    samples = int(header.get("SamplesPerPixel") or 1)
    if samples != (3 if kind in _COLOURS else 1) or kind not in _GREY + _COLOURS:
        raise SourceError(
            f"{name}: its PhotometricInterpretation is {kind}, of {samples} samples; "
            f"only {', '.join(_GREY + _COLOURS)} can be converted"
        )
    if int(header.BitsAllocated) not in (1, 8, 16, 32, 64):
        raise SourceError(f"{name}: BitsAllocated is {header.BitsAllocated}; allowed: 1, 8 to 64")
    shares_bytes = int(header.BitsAllocated) == 1 and header.Rows * header.Columns % 8
    if shares_bytes and int(header.get("NumberOfFrames") or 1) > 1:
        raise SourceError(
            f"{name}: voxels of 1 bit, in frames of {header.Rows} by {header.Columns}, which do "
            "not end at a whole byte; only such as do can be converted"
        )
    if "MOSAIC" in header.get("ImageType", ()):
        raise SourceError(
            f"{name}: a Siemens mosaic, of which one image holds all slices, side by side; "
            "convert it to NIfTI first, by dcm2niix"
        )


def _check_voxels(
    name: str, stream: BinaryIO, size: int, syntax: Any, options: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    """Where the voxels start (PS3.5 7.1, A.4), and what of it decodes them.

    Raises
    ------
    SourceError
        The file ends before they do.
    """
    order = "<" if syntax.is_little_endian else ">"
    short = SourceError(f"{name}: cut short: it has {size} bytes, and its voxels end after them")
    element = stream.read(8)
    if len(element) < 8:
        raise short
    more: dict[str, Any] = {"transfer_syntax_uid": syntax}
    if syntax.is_implicit_VR:
        *tag, length = struct.unpack(f"{order}HHL", element)
    else:
        *tag, vr, _ = struct.unpack(f"{order}HH2sH", element)
        (length,) = struct.unpack(f"{order}L", stream.read(4))
        more["pixel_vr"] = vr.decode("ascii")
    more["pixel_keyword"] = _VOXELS[tag[0], tag[1]]
    start = stream.tell()
    if not syntax.is_encapsulated:
        samples = 2 if options.get("photometric_interpretation") == "YBR_FULL_422" else None
        samples = samples or options.get("samples_per_pixel") or 1
        voxels = options["rows"] * options["columns"] * samples * options["number_of_frames"]
        needed = -(-voxels * options["bits_allocated"] // 8)
        if length == _UNDEFINED or length < needed:
            raise SourceError(
                f"{name}: damaged: its voxels have {length} bytes, but its header asks for {needed}"
            )
        if start + needed > size:
            raise short
        return start, more
    place = start
    while True:
        stream.seek(place)
        item = stream.read(8)
        if len(item) < 8:
            raise short
        *tag, length = struct.unpack("<HHL", item)
        if tuple(tag) == _END:
            return start, more
        if tuple(tag) != _ITEM:
            raise SourceError(f"{name}: damaged: no item of voxels is at byte {place}")
        place += 8 + length


def _pick(path: str, files: list[_File], dataset: str | None) -> list[_File]:
    """The files of one series.

    Raises
    ------
    SourceError
        There are several, and none of them is named, or not one alone.
    """
    series: dict[str, list[_File]] = {}
    for file in files:
        series.setdefault(str(file.header.get("SeriesInstanceUID", "")), []).append(file)
    picked = dict(series)
    if dataset is not None:
        picked = {uid: s for uid, s in series.items() if dataset in _names(s[0].header)}
    if len(picked) == 1:
        return next(iter(picked.values()))
    known = "; ".join(
        " ".join(filter(None, _names(s[0].header))) + f" ({len(s)} files)" for s in series.values()
    )
    said = "several series" if dataset is None else f"dataset is {dataset!r}, but it has the series"
    raise SourceError(
        f"{path}: {said}: {known}. Name one as dataset, by its number, description or UID"
    )


def _names(header: Any) -> tuple[str, ...]:
    """What a series can be named by."""
    tags = ("SeriesNumber", "SeriesDescription", "SeriesInstanceUID")
    return tuple(str(header.get(tag, "") or "") for tag in tags)


def _frames(file: _File) -> Iterator[_Frame]:
    """The frames of a file, in its order (PS3.3 C.7.6.16 for those of multi-frame files)."""
    header = file.header
    per_frame, shared = (header.get(group) or [] for group in _GROUPS)
    count = int(file.options["number_of_frames"])
    if per_frame and len(per_frame) != count:
        raise SourceError(
            f"{file.path}: NumberOfFrames is {count}, but {len(per_frame)} are described"
        )
    offsets = _floats(header.get("GridFrameOffsetVector"))
    for index in range(count):
        groups = [*per_frame[index : index + 1], *shared[:1]]

        def value(tag: str, groups: list[Any] = groups) -> Any:
            for group in groups:
                macro = group.get(_MACROS.get(tag, ""))
                found = macro[0].get(tag) if macro else None
                if found not in (None, ""):
                    return found
            return header.get(tag)

        position, cosines = map(
            _floats, (value("ImagePositionPatient"), value("ImageOrientationPatient"))
        )
        spacing = _floats(value("PixelSpacing"))
        place = orientation = None
        if len(position) == 3 and len(cosines) == 6 and (per_frame or count == 1 or offsets):
            orientation = np.reshape(cosines, (2, 3))
            place = np.array(position)
            if not per_frame and offsets:
                # PS3.3 C.8.8.3.2: relative to the first, or of each itself.
                place = place + np.cross(*orientation) * (offsets[index] - offsets[0])
        slope, inter = _floats(value("RescaleSlope")), _floats(value("RescaleIntercept"))
        tags: dict[str, Any] = {tag: _ordered(header, tag, value(tag)) for tag in _ORDERS}
        tags["ImageType"] = str(value("FrameType") or value("ImageType"))
        yield _Frame(
            file=file,
            index=index,
            position=place,
            orientation=orientation,
            spacing=spacing if len(spacing) == 2 and min(spacing) > 0 else (),
            thickness=next(iter(_floats(value("SliceThickness"))), 0.0),
            scale=(slope[0] if slope else 1.0, inter[0] if inter else 0.0),
            tags={tag: found for tag, found in tags.items() if found is not None},
        )


def _floats(value: Any) -> tuple[float, ...]:
    """Numbers of an element; none where it is missing or empty."""
    if value is None or value == "":
        return ()
    numbers = [value] if isinstance(value, str | int | float) else list(value)
    found = tuple(float(number) for number in numbers)
    if not np.isfinite(found).all():
        raise ValueError(f"{found} is not finite")
    return found


def _ordered(header: Any, tag: str, value: Any) -> float | None:
    """A value that slices may be put in order by: of times of the day and dates, in seconds."""
    if value is None or value == "":
        return None
    if tag == "AcquisitionTime":
        return _seconds(str(header.get("AcquisitionDate") or ""), str(value))
    if tag.endswith("DateTime"):
        return _seconds(str(value)[:8], str(value)[8:])
    return next(iter(_floats(value)), None)


def _seconds(date: str, time: str) -> float:
    """A date (PS3.5 6.2, DA) and a time (TM), without its zone, in seconds."""
    days = datetime.datetime.strptime(date, "%Y%m%d").toordinal() if date else 0
    time = time.replace(":", "").split("+")[0].split("-")[0].strip()
    hours, minutes = int(time[:2] or 0), int(time[2:4] or 0)
    return ((days * 24 + hours) * 60 + minutes) * 60 + float(time[4:] or 0)


def _sorted(
    path: str, frames: list[_Frame], axes: str | None
) -> tuple[str, tuple[tuple[_Frame, ...], ...], dict[str, Any]]:
    """Frames along t and z; the axis of those without positions; and what is known of where they
    lie.

    Raises
    ------
    SourceError
        They do not make up a volume, or several.
    """
    first = frames[0]
    _check_common(frames)
    known: dict[str, Any] = {}
    rows, columns = first.spacing or (1.0, 1.0)
    if first.position is None or first.orientation is None or not first.spacing:
        if len({frame.file.path for frame in frames}) > 1:
            raise SourceError(
                f"{first.file.path}: it has no ImagePositionPatient, ImageOrientationPatient or "
                "PixelSpacing, so that the order of the slices is unknown"
            )
        header = first.file.header
        if first.spacing:
            size = next(iter(_floats(header.get("SpacingBetweenSlices"))), 0.0)
            size = abs(size) or _thickness(first)
            known = {"voxel_size": (size, rows, columns), "space_unit": "millimeter"}
        is_time = header.get("FrameTime") or header.get("FrameTimeVector")
        if len(frames) > 1 and ("t" in axes if axes else is_time):
            time = next(iter(_floats(header.get("FrameTime"))), 0.0)
            known |= {"time_step": time, "time_unit": "millisecond"} if time > 0 else {}
            return "t", tuple((frame,) for frame in frames), known
        return "z", (tuple(frames),), known
    normal = np.cross(*first.orientation)
    if not np.allclose(first.orientation @ first.orientation.T, np.eye(2), atol=_TOLERANCE):
        raise SourceError(
            f"{first.file.path}: its ImageOrientationPatient, {first.orientation.ravel().tolist()},"
            " is not of two directions at a right angle"
        )
    normal /= np.linalg.norm(normal)
    levels = _levels(frames, normal, _TOLERANCE * min(rows, columns))
    counts = sorted({len(level) for level in levels})
    if len(counts) > 1:
        rare = min(levels, key=len)[0]
        raise SourceError(
            f"{path}: at {len(levels)} positions lie {counts[0]} to {counts[-1]} slices, but as "
            f"many must lie at each: slices are missing, or too many (near {_text(rare)})"
        )
    known = _timed(path, levels, counts[0])
    stacked = np.array([[frame.position for frame in level] for level in levels], float)
    places = stacked.mean(axis=1)
    beside = np.abs(stacked - places[:, None]).max(axis=(1, 2)) > 0.1 * min(rows, columns)
    if beside.any():
        one = levels[int(np.argmax(beside))][0]
        raise SourceError(f"{path}: slices lie side by side: {_text(one)}, and others")
    if len(levels) > 1:
        steps = np.diff(places, axis=0)
        distances = np.linalg.norm(steps, axis=1)
        median = np.argsort(distances)[(len(steps) - 1) // 2]
        uneven = np.linalg.norm(steps - steps[median], axis=1) > _TOLERANCE * distances[median]
        if uneven.any():
            gap = int(np.argmax(uneven))
            raise SourceError(
                f"{path}: {int(uneven.sum())} gaps: slices are {distances[median]:g} mm apart, but "
                f"{distances[gap]:g} mm between {_text(levels[gap][0])} and "
                f"{_text(levels[gap + 1][0])}"
            )
        step = (places[-1] - places[0]) / (len(places) - 1)
    else:
        step = normal * _thickness(first)
    # The first index is the column, along the direction of a row (PS3.3 C.7.6.2.1.1). DICOM's
    # coordinates are LPS+.
    affine = np.eye(4)
    affine[:3, :3] = np.array([first.orientation[0] * columns, first.orientation[1] * rows, step]).T
    affine[:3, 3] = places[0]
    known |= {
        "voxel_size": (float(np.linalg.norm(step)), rows, columns),
        "space_unit": "millimeter",
        "affine": np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine,
    }
    return "", tuple(zip(*levels, strict=True)), known


def _thickness(frame: _Frame) -> float:
    """Thickness of a slice that has no next one, in mm."""
    if frame.thickness > 0:
        return frame.thickness
    logger.warning(
        "%s: no distance to another slice, nor SliceThickness, is known: it is taken as 1 mm; give "
        "voxel_size",
        frame.file.path,
    )
    return 1.0


def _text(frame: _Frame) -> str:
    """A slice, to find it by."""
    position = frame.position if frame.position is not None else ()
    place = ", ".join(f"{coordinate:g}" for coordinate in position)
    return f"{frame.file.path.name} at ({place})"


def _check_common(frames: Sequence[_Frame]) -> None:
    """Raise a SourceError where slices differ in what must be the same."""
    first = frames[0]
    for frame in frames[1:]:
        if frame.file is not first.file:
            for tag in _COMMON:
                pair = [f.file.header.get(tag) for f in (first, frame)]
                if pair[0] != pair[1]:
                    raise SourceError(
                        f"{frame.file.path}: its {tag} is {pair[1]}, but {pair[0]} in "
                        f"{first.file.path.name}"
                    )
            if frame.file.dtype != first.file.dtype:
                raise SourceError(f"{frame.file.path}: its voxels are {frame.file.dtype}")
        for tag, ours, others in (
            ("ImagePositionPatient", frame.position is None, first.position is None),
            ("ImageOrientationPatient", frame.orientation, first.orientation),
            ("PixelSpacing", frame.spacing, first.spacing),
        ):
            if not _alike(ours, others):
                raise SourceError(
                    f"{frame.file.path}: the {tag} of frame {frame.index} is not that of "
                    f"{first.file.path.name}"
                )


def _alike(ours: Any, others: Any) -> bool:
    """Whether directions or sizes are the same, but for how they are rounded."""
    if ours is None or others is None:
        return ours is others
    if np.array_equal(ours, others):
        return True
    return np.shape(ours) == np.shape(others) and np.allclose(ours, others, rtol=1e-3, atol=1e-3)


def _levels(frames: list[_Frame], normal: np.ndarray, same: float) -> list[list[_Frame]]:
    """Frames by their height along the normal, from the lowest."""
    places = np.array([frame.position for frame in frames], float)
    heights = dict(zip(map(id, frames), (places @ normal).tolist(), strict=True))
    levels: list[list[_Frame]] = []
    for frame in sorted(frames, key=lambda frame: heights[id(frame)]):
        if levels and heights[id(frame)] - heights[id(levels[-1][0])] <= same:
            levels[-1].append(frame)
        else:
            levels.append([frame])
    return levels


def _timed(path: str, levels: list[list[_Frame]], count: int) -> dict[str, Any]:
    """Put the frames at each position in order; and the step and the unit of the time, if it is.

    One tag must do that at all positions alike, and none vary that is a dimension of its own.
    """
    if count == 1:
        return {}
    found = {tag: _different(levels, tag) for tag in (*_ORDERS, "ImageType")}
    mixed = [tag for tag in _DIMENSIONS if 1 < found[tag] < count]
    for tag in () if mixed or found["ImageType"] > 1 else _ORDERS:
        if not all(tag in frame.tags for level in levels for frame in level):
            continue
        times = np.array([sorted(frame.tags[tag] for frame in level) for level in levels])
        if (times.max(axis=0)[:-1] < times.min(axis=0)[1:]).all():
            for level in levels:
                level.sort(key=lambda frame, tag=tag: frame.tags[tag])  # type: ignore[misc]
            return _step(tag, times, levels[0][0].file.header)
    varying = ", ".join(f"{tag} ({number})" for tag, number in found.items() if number > 1)
    raise SourceError(
        f"{path}: {count} slices lie at each position, and no tag alone puts them in order; what "
        f"differs: {varying or 'nothing'}"
    )


def _different(levels: list[list[_Frame]], tag: str) -> int:
    """How many values a tag has at the same position, at the most."""
    return max(len({frame.tags.get(tag) for frame in level}) for level in levels)


def _step(tag: str, times: np.ndarray, header: Any) -> dict[str, Any]:
    """Step and unit of the time, where it is even; else what the header says of it."""
    steps = np.diff(times[0])
    if tag in _TIME_UNITS and np.ptp(steps) <= _TOLERANCE * np.median(steps):
        return {"time_step": float(np.median(steps)), "time_unit": _TIME_UNITS[tag]}
    resolution = _floats(header.get("TemporalResolution"))
    if tag in ("TemporalPositionIdentifier", "TemporalPositionIndex") and resolution:
        return {"time_step": resolution[0], "time_unit": "millisecond"}
    return {}
