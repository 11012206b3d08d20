"""NIfTI-1 and -2, Analyze (plain, SPM99, SPM2) and FreeSurfer MGH/MGZ images, read by nibabel."""

from __future__ import annotations

import io
import logging
import math
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from isal import igzip

from neurozarr import nifti
from neurozarr.errors import SourceError
from neurozarr.files import check_file, check_kind
from neurozarr.nifti.nibabel_without_pydicom import nibabel
from neurozarr.regions import Region
from neurozarr.sources import freesurfer
from neurozarr.sources.base import Layout, Source
from neurozarr.sources.damage import as_source_errors, check_size
from neurozarr.sources.mapping import populated
from neurozarr.units import MAX_LENGTH, NIFTI_NAMES, is_plausible

ArrayProxy = nibabel.arrayproxy.ArrayProxy
#: A header of nibabel; each format has a class of its own.
Header = Any
#: A decompressed file: of gzip, or of other compressions.
Stream = igzip.IGzipFile | nibabel.openers.Opener | io.BufferedReader
logger = logging.getLogger(__name__)

#: Allowed names of the axes in C order, by their number; the first is the default. In NIfTI, x is
#: the fastest axis, then y, z, t and c.
_AXES = {1: ("x",), 2: ("yx",), 3: ("zyx",), 4: ("tzyx", "czyx"), 5: ("ctzyx",)}
#: NIfTI data types (NIfTI-Zarr 1.0.rc1, table 4.2) that Zarr does not have.
_TOO_WIDE = {1536: "float128", 2048: "complex256"}
#: Intent codes of CIFTI (CIFTI-2 specification, "File header").
_CIFTI = range(3000, 3100)
_MGH = (".mgh", ".mgz", ".mgh.gz")
_GZIP = (".gz", ".mgz")
_COMPRESSED = (*_GZIP, ".bz2", ".zst")
#: Highest compression ratio of deflate (RFC 1951: 258 bytes from 2 bits).
_DEFLATE_RATIO = 1032
#: How far from its end a file is searched for the end of its gzip stream, in bytes.
_MAX_TRAILING = 2**16
#: Maximum number of bytes read after the voxels of a compressed file, to verify its checksum.
_MAX_AFTER = 2**28
_READ_BYTES = 2**20
#: Maximum size of the parameters and tags that follow the voxels of an MGH image, in bytes.
_MAX_FOOTER = 2**24


@dataclass(frozen=True, kw_only=True, eq=False)
class NibabelSource(Source):
    """An image that nibabel opens; its scale factors are not applied.

    Attributes
    ----------
    voxels
        The file of the voxels. It is opened when they are first read: of thousands of sources that
        are planned, none is kept open.
    proxy
        nibabel's array of the stored voxels, the fastest axis first.
    end
        Where the voxels end in the file, in bytes, after decompression.
    stream_end
        Where the gzip stream ends in the file, in bytes; None if it is not compressed by gzip.
    opener
        Opens the decompressed file, if its name does not say how; else None.
    """

    suffixes = (
        ".nii", ".nii.gz", ".nii.bz2", ".nii.zst", ".hdr", ".img", ".hdr.gz", ".img.gz", *_MGH,
    )  # fmt: skip

    voxels: Path
    proxy: ArrayProxy
    end: int
    stream_end: int | None
    opener: Callable[[], Stream] | None = None

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        return cls._open(Path(path), layout.axes)

    @classmethod
    def _open(cls, path: Path, axes: str | None) -> Self:
        header, affine, proxy, files, raw = _load(path)
        shape = tuple(map(int, proxy.shape))
        while len(shape) > max(_AXES) and shape[-1] == 1:
            shape = shape[:-1]
        if raw is not None and int(nifti.fields(raw)["intent_code"]) in _CIFTI:
            raise SourceError(
                f"{path}: a CIFTI file, whose values are not on a grid of voxels; export its "
                "volume, for example by wb_command -cifti-separate"
            )
        names = _AXES.get(len(shape), ())
        if not names or min(shape) < 1:
            raise SourceError(
                f"{path}: the image has shape {shape}; only images with up to 5 dimensions that "
                "are not empty can be converted"
            )
        if axes is not None and axes not in names:
            raise SourceError(
                f"{path}: axes is {axes!r}; allowed for a file of shape {shape}: "
                f"{' or '.join(names)}"
            )
        file_axes = axes or names[0]
        voxels = files["image"]
        end = _check_voxels(path, voxels, proxy, header)
        stream_end = _stream_end(voxels, end)
        dtype = proxy.dtype.newbyteorder("=")
        labels: dict[str, Any] | None = {} if raw is not None and nifti.has_labels(raw) else None
        if _is_mgh(header) and dtype.kind in "iu":
            labels = _freesurfer_labels(voxels, end, stream_end)
        if dtype.names is not None:
            file_axes, shape, dtype = _colours_as_channels(path, file_axes, shape, dtype)
        return cls(
            files=tuple(sorted({file for file in files.values() if file.exists()})),
            file_axes=file_axes,
            file_shape=shape[::-1],
            dtype=dtype,
            nifti_header=raw,
            labels=labels,
            affine=known_affine(affine),
            slope=1.0 if proxy.slope is None else float(proxy.slope),
            inter=0.0 if proxy.inter is None else float(proxy.inter),
            in_order=_is_compressed(voxels),
            voxels=voxels,
            proxy=proxy,
            stream_end=stream_end,
            end=end,
            **describe(header, file_axes),
        )

    @classmethod
    def of_voxels(
        cls,
        voxels: Path,
        axes: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        offset: int,
        opener: Callable[[], Stream] | None = None,
    ) -> Self:
        """Open an array in a file without a header of its own, by the header that describes it.

        Parameters
        ----------
        voxels
            The file; it is compressed if its name ends in .gz or .bz2.
        axes, shape
            Names and lengths of its axes, slowest first.
        dtype
            Data type of the stored voxels, with their byte order.
        offset
            Start of the array, in bytes.
        opener
            Opens the decompressed file, in which the array starts at ``offset``, if the name of the
            file does not say how it is compressed.

        Returns
        -------
        Self
            The source.

        Raises
        ------
        SourceError
            The file is too short or cannot be read, or the shape or the offset are invalid.
        """
        if offset < 0 or min(shape) < 0:
            raise SourceError(f"{voxels}: shape {shape} at byte {offset}: its header is damaged")
        proxy = ArrayProxy(str(voxels), (shape[::-1], dtype, offset))
        end = offset + math.prod(shape) * dtype.itemsize
        if opener is None:
            check_size(voxels, voxels.stat().st_size, end, _ratio(voxels))
        return cls(
            files=(voxels,),
            file_axes=axes,
            file_shape=shape,
            dtype=dtype.newbyteorder("="),
            in_order=opener is not None or _is_compressed(voxels),
            voxels=voxels,
            proxy=proxy,
            end=end,
            stream_end=None if opener is not None else _stream_end(voxels, end),
            opener=opener,
        )

    @cached_property
    def _opened(self) -> tuple[ArrayProxy | np.ndarray[Any, Any], Stream | mmap.mmap]:
        """The stored voxels, the fastest axis first, and their open file.

        An uncompressed file is memory-mapped: nibabel, which reads each run of voxels by itself,
        takes 3 to 20 times as long. A compressed one is kept open, so that decompression continues
        where the last region ended; ISA-L takes half of zlib's time.
        """
        shape, dtype, start = self.file_shape[::-1], self.proxy.dtype, self.proxy.offset
        dtype = dtype if dtype.names is None else dtype[0]
        try:
            if self.opener is not None:
                opened_stream = self.opener()
                return ArrayProxy(opened_stream, (shape, dtype, start, 1.0, 0.0)), opened_stream
            if _is_compressed(self.voxels):
                stream = _decompressed(self.voxels, self.stream_end)
                return ArrayProxy(stream, (shape, dtype, start, 1.0, 0.0)), stream
            with self.voxels.open("rb") as opened:
                mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
            check_size(self.voxels, mapped.size(), self.end)
        except OSError as error:
            reason = error.strerror
            raise SourceError(f"{self.voxels}: the voxels cannot be read ({reason})") from None
        return np.ndarray(shape, dtype, mapped, start, order="F"), mapped

    def read_file(self, region: Region) -> np.ndarray:
        stored, stream = self._opened
        if isinstance(stream, mmap.mmap):
            assert isinstance(stored, np.ndarray)
            # Reading a map beyond the end of its file would crash.
            check_size(self.voxels, stream.size(), self.end)
            return populated(stored, region[::-1], stream, self.voxels).T
        voxels = np.asarray(stored[region[::-1]])
        if all(side.stop == length for side, length in zip(region, self.file_shape, strict=True)):
            self._verify_checksum(stream)
        return voxels.T  # In C order, with x last.

    @property
    def _name(self) -> str:
        return str(self.voxels)

    def _verify_checksum(self, stream: Stream) -> None:
        """Read a compressed file to its end, where its checksum is verified."""
        while stream.read(_READ_BYTES):
            if stream.tell() > self.end + _MAX_AFTER:
                logger.warning(
                    "%s: more than %d bytes follow the voxels; the checksum is not verified",
                    self.voxels,
                    _MAX_AFTER,
                )
                return


def _load(path: Path) -> tuple[Header, Any, ArrayProxy, dict[str, Path], bytes | None]:
    """Header, affine and voxels of an image, its files, and the bytes of its NIfTI header, if any.

    nibabel changes a NIfTI header when it loads it, for example the slope to NaN, does not limit
    the size of its extensions, and refuses a quaternion that is a little too long.
    """
    check_file(path)
    with as_source_errors(path, "not an image that nibabel can open"), np.errstate(all="ignore"):
        files = _files(path)
        for file in files.values():
            check_kind(file)
        if "header" in files:
            single = files["header"] == files["image"]
            raw = nifti.read_header(files["header"], single=single)
            if single or nifti.fields(raw)["magic"].item()[:2] in (b"n+", b"ni"):
                header = _nifti_header(path, raw, single=single)
                proxy = ArrayProxy(str(files["image"]), header)
                return header, header.get_best_affine(), proxy, files, raw
        image: Any
        if path.name.lower().endswith(_MGH):
            # nibabel.load does not know .mgh.gz.
            holder = nibabel.fileholders.FileHolder(str(path))
            image = nibabel.MGHImage.from_file_map({"image": holder})
        else:
            image = nibabel.load(path)
        if not isinstance(image.dataobj, ArrayProxy):
            raise SourceError(
                f"{path}: a {type(image).__name__} holds no volume on a grid of voxels"
            )
        return image.header, image.affine, image.dataobj, files, None


def _nifti_header(path: Path, raw: bytes, *, single: bool) -> nibabel.Nifti1Header:
    """The header of a NIfTI image, as nibabel reads it."""
    record = nifti.fields(raw)
    if (code := int(record["datatype"])) in _TOO_WIDE:
        raise SourceError(f"{path}: its voxels are {_TOO_WIDE[code]}, which Zarr cannot hold")
    if not 1 <= record["dim"][0] <= 7:
        raise SourceError(
            f"{path}: its header is damaged: it has {record['dim'][0]} dimensions, in the byte "
            f"order of its sizeof_hdr, {nifti.byte_order(raw)!r}; allowed: 1 to 7"
        )
    return nifti.load(raw, single=single)


def _files(path: Path) -> dict[str, Path]:
    """The files of an image, by nibabel's names: "header", "image" and "mat", if it has them."""
    name = path.name.lower().removesuffix(".gz")
    if not name.endswith((".hdr", ".img")):
        return {"image": path} | ({} if name.endswith((".mgh", ".mgz")) else {"header": path})
    holders = nibabel.Spm99AnalyzeImage.filespec_to_file_map(path)
    return {what: Path(str(holder.filename)) for what, holder in holders.items()}


def _check_voxels(path: Path, voxels: Path, proxy: ArrayProxy, header: Header) -> int:
    """Where the voxels end in their file, in bytes; a SourceError if it is too short."""
    if not voxels.is_file():
        raise SourceError(f"{path}: the file with its voxels, {voxels}, is missing")
    header_size = header.sizeof_hdr if getattr(header, "is_single", False) else 0
    if proxy.offset < header_size:
        raise SourceError(
            f"{path}: damaged: its voxels start at byte {proxy.offset}, within its header of "
            f"{header_size} bytes"
        )
    end = proxy.offset + math.prod(map(int, proxy.shape)) * proxy.dtype.itemsize
    check_size(voxels, voxels.stat().st_size, end, _ratio(voxels))
    return int(end)


def _ratio(voxels: Path) -> float:
    """Highest compression ratio of a file: bzip2 and Zstandard have no limit that would help."""
    if voxels.name.lower().endswith(_GZIP):
        return _DEFLATE_RATIO
    return math.inf if _is_compressed(voxels) else 1


def _is_compressed(voxels: Path) -> bool:
    return voxels.name.lower().endswith(_COMPRESSED)


class _Start(io.FileIO):
    """The first ``length`` bytes of a file."""

    length: int

    def readinto(self, buffer: Any) -> int | None:
        left = max(self.length - self.tell(), 0)
        return super().readinto(memoryview(buffer)[:left])


def _decompressed(voxels: Path, stream_end: int | None) -> Stream:
    """Open a compressed file, of which a gzip stream ends at ``stream_end``, in bytes."""
    if stream_end is None:
        return nibabel.openers.Opener(str(voxels))
    file = _Start(voxels)
    file.length = stream_end
    stream = igzip.IGzipFile(fileobj=file)
    stream.myfileobj = file  # Closed with the stream, as if it had opened it.
    return stream


def _freesurfer_labels(voxels: Path, end: int, stream_end: int | None) -> dict[str, Any] | None:
    """Names and colours of labels that follow the voxels of an MGH image; None if there are none.

    To get there, a compressed file is read from its start, as nibabel does when it opens it.
    """
    with as_source_errors(voxels, "what follows its voxels cannot be read"):
        is_compressed = _is_compressed(voxels)
        opened: Any = _decompressed(voxels, stream_end) if is_compressed else voxels.open("rb")
        with opened as file:
            file.seek(end)
            after = file.read(_MAX_FOOTER)
    try:
        return freesurfer.labels(after)
    except ValueError as error:
        logger.warning(
            "%s: labels get no names and colours, because its colour table is damaged (%s)",
            voxels,
            error,
        )
        return None


def _is_mgh(header: Header) -> bool:
    return isinstance(header, nibabel.freesurfer.mghformat.MGHHeader)


def _stream_end(voxels: Path, end: int) -> int | None:
    """Find the end of a gzip stream, in bytes; a warning says what follows it, as gzip does.

    RFC 1952, section 2.3.1: a stream ends with its length, which is that of the voxels and what is
    before them, in bytes. What follows, without another member, is zeros or garbage.
    """
    if not voxels.name.lower().endswith(_GZIP):
        return None
    length = (end % 2**32).to_bytes(4, "little")
    size = voxels.stat().st_size
    with as_source_errors(voxels, "the voxels cannot be read"), voxels.open("rb") as file:
        file.seek(max(size - len(length), 0))
        if file.read() == length:
            return size
        file.seek(max(size - _MAX_TRAILING, 0))
        last = file.read()
    place = last.rfind(length)
    trailing = last[place + len(length) :] if place >= 0 else b""
    if not trailing or b"\x1f\x8b\x08" in trailing:
        return size
    logger.warning(
        "%s: %d bytes of %s follow the gzip stream; they are ignored",
        voxels,
        len(trailing),
        "garbage" if any(trailing) else "zeros",
    )
    return size - len(trailing)


def describe(header: Header, axes: str) -> dict[str, Any]:
    """Voxel size, time step and units of a nibabel header, as fields of a source."""
    is_mgh = _is_mgh(header)
    zooms = list(header.get_zooms() if is_mgh else header["pixdim"][1:5])
    sizes = [abs(float(zoom)) if is_plausible(abs(float(zoom))) else 1.0 for zoom in zooms]
    space_unit, time_unit = "millimeter", ""
    if isinstance(header, nibabel.Nifti1Header):
        xyzt_units = int(header["xyzt_units"])
        space_unit = NIFTI_NAMES.get(xyzt_units & 0x07, "")
        time_unit = NIFTI_NAMES.get(xyzt_units & 0x38, "")
    elif is_mgh:
        time_unit = "millisecond"
    is_timed = "t" in axes and len(zooms) > 3 and is_plausible(abs(float(zooms[3])))
    return {
        "voxel_size": tuple(reversed(sizes[:3])),
        "time_step": sizes[3] if is_timed else 0.0,
        "space_unit": space_unit,
        "time_unit": time_unit,
    }


def known_affine(found: Any) -> np.ndarray[Any, Any] | None:
    """The affine of nibabel; None if it is invalid because the header or .mat file is damaged."""
    if np.shape(found) != (4, 4) or found.dtype.kind != "f":
        return None
    is_sane = (np.abs(found) < MAX_LENGTH).all() and nifti.has_inverse(found)
    return found if is_sane else None


def _colours_as_channels(
    path: Path, file_axes: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> tuple[str, tuple[int, ...], np.dtype[Any]]:
    """Axes, shape (fastest axis first) and dtype of an image of RGB or RGBA voxels.

    The colours become channels, the fastest axis of the file.
    """
    colours = dtype.names or ()
    if "c" in file_axes:
        raise SourceError(
            f"{path}: the voxels are {''.join(colours)}, in an image of shape {shape}; colours can "
            "only be converted in images without another channel axis"
        )
    return f"{file_axes}c", (len(colours), *shape), np.dtype(np.uint8)
