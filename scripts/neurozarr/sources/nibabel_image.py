"""NIfTI-1 and -2, Analyze (plain, SPM99, SPM2) and FreeSurfer MGH/MGZ images, read by nibabel."""

from __future__ import annotations

import logging
import math
import mmap
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from isal import igzip

from neurozarr import nifti
from neurozarr.errors import SourceError
from neurozarr.files import check_kind
from neurozarr.nifti.nibabel_without_pydicom import nibabel
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Source, as_source_errors, check_size
from neurozarr.sources.mapping import populated
from neurozarr.units import MAX_LENGTH, NIFTI_NAMES, is_plausible

ArrayProxy = nibabel.arrayproxy.ArrayProxy
SpatialImage = nibabel.spatialimages.SpatialImage
logger = logging.getLogger(__name__)

#: Allowed names of the axes in C order, by their number; the first is the default. In NIfTI, x is
#: the fastest axis, then y, z, t and c.
_AXES = {3: ("zyx",), 4: ("tzyx", "czyx"), 5: ("ctzyx",)}
#: NIfTI data types (NIfTI-Zarr 1.0.rc1, table 4.2) that Zarr does not have.
_TOO_WIDE = {1536: "float128", 2048: "complex256"}
_COMPRESSED = (".gz", ".mgz")
#: Highest compression ratio of deflate (RFC 1951: 258 bytes from 2 bits).
_DEFLATE_RATIO = 1032
#: Maximum number of bytes read after the voxels of a compressed file, to verify its checksum.
_MAX_AFTER = 2**28
_READ_BYTES = 2**20


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
    """

    suffixes = (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz", ".mgh", ".mgz", ".mgh.gz")

    voxels: Path
    proxy: ArrayProxy
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
                f"{path}: the image has shape {shape}; only images with 3 to 5 dimensions that are "
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
        return cls(
            files=tuple(sorted(file for file in files if file.exists())),
            file_axes=file_axes,
            file_shape=shape[::-1],
            dtype=dtype,
            nifti_header=header,
            in_order=_is_compressed(voxels),
            voxels=voxels,
            proxy=image.dataobj,
            end=end,
            **_describe(image, file_axes),
        )

    @classmethod
    def of_voxels(
        cls, voxels: Path, axes: str, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int
    ) -> Self:
        """Open an array in a file without a header of its own, by the header that describes it.

        Parameters
        ----------
        voxels
            The file; it is compressed if its name ends in .gz.
        axes, shape
            Names and lengths of its axes, slowest first.
        dtype
            Data type of the stored voxels, with their byte order.
        offset
            Start of the array, in bytes.

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
        check_size(voxels, voxels.stat().st_size, end, _ratio(voxels))
        return cls(
            files=(voxels,),
            file_axes=axes,
            file_shape=shape,
            dtype=dtype.newbyteorder("="),
            in_order=_is_compressed(voxels),
            voxels=voxels,
            proxy=proxy,
            end=end,
        )

    @cached_property
    def _opened(self) -> tuple[ArrayProxy | np.ndarray[Any, Any], igzip.IGzipFile | mmap.mmap]:
        """The stored voxels, the fastest axis first, and their open file."""
        return _open_voxels(self.voxels, self.proxy, self.file_shape[::-1], self.end)

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

    def _verify_checksum(self, stream: igzip.IGzipFile) -> None:
        """Read a compressed file to its end, where gzip verifies the checksum."""
        while stream.read(_READ_BYTES):
            if stream.tell() > self.end + _MAX_AFTER:
                logger.warning(
                    "%s: more than %d bytes follow the voxels; the checksum is not verified",
                    self.voxels,
                    _MAX_AFTER,
                )
                return


def _load(path: Path) -> tuple[Any, bytes | None]:
    """Open an image, and read the bytes of its NIfTI header; None if it has none.

    nibabel changes a header when it loads it, for example the slope to NaN.
    """
    if not os.path.exists(path):
        raise SourceError(f"{path}: there is no such file")
    raw = None
    with as_source_errors(path, "not an image that nibabel can open"):
        files = _files(path)
        for file in {path, *files.values()}:
            check_kind(file)
        if "header" in files:
            # This limits the size of extensions, which nibabel does not.
            raw = nifti.read_header(files["header"], single=files["header"] == files["image"])
            if (code := int(nifti.fields(raw)["datatype"])) in _TOO_WIDE:
                raise SourceError(
                    f"{path}: its voxels are {_TOO_WIDE[code]}, which Zarr cannot hold"
                )
        with np.errstate(all="ignore"):
            image = nibabel.load(path)
    if not isinstance(image, SpatialImage) or not isinstance(image.dataobj, ArrayProxy):
        raise SourceError(f"{path}: a {type(image).__name__} holds no volume on a grid of voxels")
    if raw is None or not isinstance(image, nibabel.Nifti1Pair):
        return image, None
    order, size = nifti.byte_order(raw), nifti.header_type(raw).template_dtype.itemsize
    if (image.header.endianness, image.header.template_dtype.itemsize) != (order, size):
        raise SourceError(
            f"{path}: its header is damaged: sizeof_hdr is {size}, in byte order {order!r}, but "
            f"dim or magic are of a {type(image).__name__} in {image.header.endianness!r}"
        )
    return image, raw


def _files(path: Path) -> dict[str, Path]:
    """The files of an image, by nibabel's names: "header", "image" and "mat", if it has them."""
    name = path.name.lower().removesuffix(".gz")
    if not name.endswith((".hdr", ".img")):
        return {"image": path} | ({} if name.endswith((".mgh", ".mgz")) else {"header": path})
    holders = nibabel.Spm99AnalyzeImage.filespec_to_file_map(path)
    return {what: Path(str(holder.filename)) for what, holder in holders.items()}


def _check_voxels(path: Path, image: Any) -> tuple[Path, int]:
    """The file of the voxels, and where they end, in bytes; a SourceError if it is too short."""
    voxels = Path(image.file_map["image"].filename)
    if not voxels.is_file():
        raise SourceError(f"{path}: the file with its voxels, {voxels}, is missing")
    proxy = image.dataobj
    header_size = image.header.sizeof_hdr if isinstance(image, nibabel.Nifti1Image) else 0
    if proxy.offset < header_size:
        raise SourceError(
            f"{path}: damaged: its voxels start at byte {proxy.offset}, within its header of "
            f"{header_size} bytes"
        )
    end = proxy.offset + math.prod(map(int, proxy.shape)) * proxy.dtype.itemsize
    check_size(voxels, voxels.stat().st_size, end, _ratio(voxels))
    return voxels, end


def _ratio(voxels: Path) -> int:
    return _DEFLATE_RATIO if _is_compressed(voxels) else 1


def _is_compressed(voxels: Path) -> bool:
    return voxels.name.lower().endswith(_COMPRESSED)


def _open_voxels(
    voxels: Path, proxy: ArrayProxy, shape: tuple[int, ...], end: int
) -> tuple[ArrayProxy | np.ndarray[Any, Any], igzip.IGzipFile | mmap.mmap]:
    """Open the stored voxels, the fastest axis first, and their file.

    An uncompressed file is memory-mapped. A compressed one is kept open, so that decompression
    continues where the last region ended; ISA-L takes half of zlib's time.
    """
    dtype = proxy.dtype if proxy.dtype.names is None else proxy.dtype[0]
    try:
        if _is_compressed(voxels):
            stream = igzip.open(voxels)
            return ArrayProxy(stream, (shape, dtype, proxy.offset, 1.0, 0.0)), stream
        with voxels.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        check_size(voxels, mapped.size(), end)
    except OSError as error:
        raise SourceError(f"{voxels}: the voxels cannot be read ({error.strerror})") from None
    return np.ndarray(shape, dtype, mapped, proxy.offset, order="F"), mapped


def _describe(image: Any, axes: str) -> dict[str, Any]:
    """Voxel size, time step, units, affine and scale factors, as fields of a source."""
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
