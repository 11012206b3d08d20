"""NIfTI-1 and -2, Analyze (plain, SPM99, SPM2) and FreeSurfer MGH/MGZ images, by nibabel."""

from __future__ import annotations

import logging
import math
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from isal import igzip

from neurozarr import nifti
from neurozarr.errors import SourceError
from neurozarr.files import check_kind
from neurozarr.nifti.nibabel_without_pydicom import nibabel
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Source
from neurozarr.sources.mapping import fetched
from neurozarr.units import MAX_LENGTH, NIFTI_NAMES, is_plausible

ArrayProxy = nibabel.arrayproxy.ArrayProxy
SpatialImage = nibabel.spatialimages.SpatialImage
logger = logging.getLogger(__name__)

#: Names of the axes by number of dimensions, in C order: NIfTI stores x, y, z, t, c, x fastest.
_AXES = {3: ("zyx",), 4: ("tzyx", "czyx"), 5: ("ctzyx",)}
#: NIfTI data types (NIfTI-Zarr 1.0.rc1, table 4.2) that no Zarr array has.
_TOO_WIDE = {1536: "float128", 2048: "complex256"}
_COMPRESSED = (".gz", ".mgz")
_BOTH = ("header", "image")
#: How many bytes deflate can make of one (RFC 1951: 258 of 2 bits).
_DEFLATE_RATIO = 1032
#: How much is read after the voxels of a compressed file, for the checksum at its end, in bytes.
_MOST_AFTER = 2**28
_PIECE = 2**20


@dataclass(frozen=True, kw_only=True, eq=False)
class NibabelSource(Source):
    """An image file that nibabel opens, without applying its scale factors."""

    suffixes = (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz", ".mgh", ".mgz", ".mgh.gz")

    #: The voxels as they are stored, without scale factors, the fastest axis first.
    stored: ArrayProxy | np.ndarray[Any, Any]
    #: The file that they are in, its name, and where in it (uncompressed) they end, in bytes.
    stream: igzip.IGzipFile | mmap.mmap
    voxels: Path
    end: int

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        return cls._open(Path(path), layout.axes)

    @classmethod
    def _open(cls, path: Path, axes: str | None) -> Self:
        image, header = _load(path)
        shape = tuple(int(length) for length in image.shape)
        names = _AXES.get(len(shape), ())
        if not names or min(shape) < 1:
            raise SourceError(
                f"{path}: the image has shape {shape}; only images of 3 to 5 dimensions that are "
                "not empty can be converted"
            )
        if axes is not None and axes not in names:
            raise SourceError(
                f"{path}: axes is {axes!r}; allowed for a file of shape {shape}: "
                f"{' or '.join(names)}"
            )
        file_axes = axes or names[0]
        voxels, end = _check_voxels(path, image)
        dtype = image.get_data_dtype().newbyteorder("=")
        if dtype.names is not None:
            file_axes, shape, dtype = _colours_as_channels(path, file_axes, shape, dtype)
        files = {Path(holder.filename) for holder in image.file_map.values() if holder.filename}
        stored, stream = _open_voxels(voxels, image.dataobj, shape)
        return cls(
            files=tuple(sorted(file for file in files if file.exists())),
            file_axes=file_axes,
            file_shape=shape[::-1],
            dtype=dtype,
            nifti_header=header,
            in_order=_is_compressed(voxels),
            stored=stored,
            stream=stream,
            voxels=voxels,
            end=end,
            **_describe(image, file_axes),
        )

    @classmethod
    def of_voxels(
        cls, voxels: Path, axes: str, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int
    ) -> Self:
        """The array in a file, in C order, from a byte on; compressed where its name says so.

        Raises
        ------
        SourceError
            The file is too short for it, or cannot be read; or there is no such array.
        """
        if offset < 0 or min(shape) < 0:
            raise SourceError(f"{voxels}: shape {shape} at byte {offset}: its header is damaged")
        proxy = ArrayProxy(str(voxels), (shape[::-1], dtype, offset))
        end = offset + math.prod(shape) * dtype.itemsize
        _check_size(voxels, voxels.stat().st_size, end)
        stored, stream = _open_voxels(voxels, proxy, shape[::-1])
        return cls(
            files=(voxels,),
            file_axes=axes,
            file_shape=shape,
            dtype=dtype.newbyteorder("="),
            in_order=_is_compressed(voxels),
            stored=stored,
            stream=stream,
            voxels=voxels,
            end=end,
        )

    def read_file(self, region: Region) -> np.ndarray:
        if isinstance(self.stream, mmap.mmap):
            # To read a map beyond the end of its file is not an error, but a crash.
            _check_size(self.voxels, self.stream.size(), self.end)
        voxels = np.asarray(self.stored[region[::-1]])
        if isinstance(self.stream, mmap.mmap):
            voxels = fetched(voxels, self.stream, self.voxels)
        if all(side.stop == length for side, length in zip(region, self.file_shape, strict=True)):
            self._read_to_the_end()
        # The transpose of an array with x fastest is in C order, with x last.
        return voxels.T

    @property
    def _name(self) -> str:
        return str(self.voxels)

    def _read_to_the_end(self) -> None:
        """Have what was read of a compressed file compared with the checksum at its end."""
        if isinstance(self.stream, mmap.mmap):
            return
        while self.stream.read(_PIECE):
            if self.stream.tell() > self.end + _MOST_AFTER:
                logger.warning(
                    "%s: more than %d bytes follow the voxels: its checksum is not looked at",
                    self.voxels,
                    _MOST_AFTER,
                )
                return


def _load(path: Path) -> tuple[Any, bytes | None]:
    """An image, and its NIfTI header, byte by byte, where it has one.

    nibabel changes a header when it loads it: the slope becomes NaN, among others.
    """
    if not os.path.exists(path):
        raise SourceError(f"{path}: there is no such file")
    raw = None
    try:
        files = _files(path)
        for file in (path, *files.values()):
            check_kind(file)
        if "header" in files:
            # nibabel reads extensions of any size that it is told.
            raw = nifti.read_header(files["header"], single=files["header"] == files["image"])
        with np.errstate(all="ignore"):
            image = nibabel.load(path)
    except SourceError:
        raise
    except FileNotFoundError as error:
        raise SourceError(f"{path}: {error.filename or error} is missing") from None
    except PermissionError:
        raise SourceError(f"{path}: the file cannot be read: permission denied") from None
    except Exception as error:  # It has no base for what it raises on damaged files.
        if raw and (code := int(nifti.fields(raw)["datatype"])) in _TOO_WIDE:
            raise SourceError(
                f"{path}: its voxels are {_TOO_WIDE[code]}, which Zarr cannot hold"
            ) from None
        reason = f"unknown code {error}" if isinstance(error, KeyError) else error
        raise SourceError(f"{path}: not an image that nibabel can open ({reason})") from None
    if not isinstance(image, SpatialImage) or not isinstance(image.dataobj, ArrayProxy):
        raise SourceError(f"{path}: a {type(image).__name__} holds no volume on a grid of voxels")
    if raw is None or not isinstance(image, nibabel.Nifti1Pair):
        return image, None
    order, size = nifti.byte_order(raw), nifti.header_type(raw).template_dtype.itemsize
    if (image.header.endianness, image.header.template_dtype.itemsize) != (order, size):
        raise SourceError(
            f"{path}: its header is damaged: sizeof_hdr is {size}, in byte order {order!r}, but "
            f"dim or magic are those of a {type(image).__name__} in {image.header.endianness!r}"
        )
    return image, raw


def _files(path: Path) -> dict[str, Path]:
    """The files that an image would be read from, by what they hold; not all need be there."""
    name = path.name.lower().removesuffix(".gz")
    if not name.endswith((".hdr", ".img")):
        return {"image": path} if name.endswith((".mgh", ".mgz")) else dict.fromkeys(_BOTH, path)
    holders = nibabel.Spm99AnalyzeImage.filespec_to_file_map(path)
    return {what: Path(str(holder.filename)) for what, holder in holders.items()}


def _check_voxels(path: Path, image: Any) -> tuple[Path, int]:
    """The file of the voxels, and where in it they end; a SourceError where it is too short."""
    voxels = Path(image.file_map["image"].filename)
    if not voxels.is_file():
        raise SourceError(f"{path}: the file of its voxels, {voxels}, is missing")
    proxy = image.dataobj
    before = image.header.sizeof_hdr if isinstance(image, nibabel.Nifti1Image) else 0
    if proxy.offset < before:
        raise SourceError(
            f"{path}: its voxels start at byte {proxy.offset} by its header, which has {before}"
        )
    end = proxy.offset + math.prod(map(int, proxy.shape)) * proxy.dtype.itemsize
    _check_size(voxels, voxels.stat().st_size, end)
    return voxels, end


def _check_size(voxels: Path, size: int, end: int) -> None:
    """Raise a SourceError where a file of so many bytes cannot hold voxels up to their end."""
    if size * (_DEFLATE_RATIO if _is_compressed(voxels) else 1) < end:
        compressed = ", compressed" if _is_compressed(voxels) else ""
        raise SourceError(
            f"{voxels}: cut short: {size} bytes{compressed}, but its header asks for {end}"
        )


def _is_compressed(voxels: Path) -> bool:
    return voxels.name.lower().endswith(_COMPRESSED)


def _open_voxels(
    voxels: Path, proxy: ArrayProxy, shape: tuple[int, ...]
) -> tuple[ArrayProxy | np.ndarray[Any, Any], igzip.IGzipFile | mmap.mmap]:
    """The voxels as they are stored, without scale factors, the fastest axis first; and their file.

    An uncompressed file is mapped. A compressed one is kept open, so that the next region is read
    on from the last one; gzip by ISA-L, which takes half of zlib's time.
    """
    dtype = proxy.dtype if proxy.dtype.names is None else proxy.dtype[0]
    try:
        if _is_compressed(voxels):
            stream = igzip.open(voxels)
            return ArrayProxy(stream, (shape, dtype, proxy.offset, 1.0, 0.0)), stream
        with voxels.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise SourceError(f"{voxels}: the voxels cannot be read ({error.strerror})") from None
    return np.ndarray(shape, dtype, mapped, proxy.offset, order="F"), mapped


def _describe(image: Any, axes: str) -> dict[str, Any]:
    """Voxel size, time step and their units; where the voxels lie; and how values are scaled."""
    zooms = [float(zoom) for zoom in image.header.get_zooms()]
    sizes = [abs(zoom) if is_plausible(abs(zoom)) else 1.0 for zoom in zooms]
    space_unit, time_unit = "millimeter", ""
    if isinstance(image, nibabel.Nifti1Pair):
        xyzt_units = int(image.header["xyzt_units"])
        space_unit = NIFTI_NAMES.get(xyzt_units & 0x07, "")
        time_unit = NIFTI_NAMES.get(xyzt_units & 0x38, "")
    elif isinstance(image, nibabel.MGHImage):
        time_unit = "millisecond"
    return {
        "voxel_size": tuple(reversed(sizes[:3])),
        "time_step": sizes[3] if "t" in axes and len(sizes) > 3 else 1.0,
        "space_unit": space_unit,
        "time_unit": time_unit,
        "affine": known_affine(image.affine),
        "slope": 1.0 if image.dataobj.slope is None else float(image.dataobj.slope),
        "inter": 0.0 if image.dataobj.inter is None else float(image.dataobj.inter),
    }


def known_affine(found: Any) -> np.ndarray[Any, Any] | None:
    """The affine that nibabel found, which may be that of a damaged header, or of any .mat file."""
    if np.shape(found) != (4, 4) or found.dtype.kind != "f":
        return None
    is_sane = (np.abs(found) < MAX_LENGTH).all() and nifti.has_inverse(found)
    return found if is_sane else None


def _colours_as_channels(
    path: Path, file_axes: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> tuple[str, tuple[int, ...], np.dtype[Any]]:
    """Axes, shape and dtype of an image of RGB or RGBA voxels, of which each colour is a channel.

    The colours of a voxel lie side by side: channels are the fastest axis of the file.
    """
    colours = dtype.names or ()
    if "c" in file_axes:
        raise SourceError(
            f"{path}: the voxels are {''.join(colours)}, in an image of shape {shape}; only images "
            "without another axis of channels can be converted"
        )
    return f"{file_axes}c", (len(colours), *shape), np.dtype(np.uint8)
