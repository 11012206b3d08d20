"""NIfTI-1 and -2, Analyze (plain, SPM99, SPM2) and FreeSurfer MGH/MGZ images, by nibabel."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import nibabel
import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, SpatialImage

from neurozarr import nifti
from neurozarr.chunks import Region
from neurozarr.errors import SourceError
from neurozarr.metadata import check_dtype
from neurozarr.sources.base import Source
from neurozarr.units import NIFTI_NAMES

#: Names of the axes by number of dimensions, in C order: NIfTI stores x, y, z, t, c, x fastest.
_AXES = {3: ("zyx",), 4: ("tzyx", "czyx"), 5: ("ctzyx",)}
_STORED_ORDER = "tczyx"
#: What damaged or vanished files raise when they are read.
_READ_ERRORS: Any = (OSError, EOFError, ValueError, zlib.error, IsalError)
#: NIfTI data types (NIfTI-Zarr 1.0.rc1, table 4.2) that no Zarr array has.
_TOO_WIDE = {1536: "float128", 2048: "complex256"}
_COMPRESSED = (".gz", ".bz2", ".zst", ".mgz")


@dataclass(frozen=True, kw_only=True, eq=False)
class NibabelSource(Source):
    """An image file that nibabel opens, without applying its scale factors."""

    suffixes = (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz", ".mgh", ".mgz", ".mgh.gz")

    stored: ArrayProxy | np.memmap[Any, Any]

    @classmethod
    def open(cls, path: Path, *, axes: str | None = None) -> Self:
        image = _load(path)
        shape = tuple(int(length) for length in image.shape)
        names = _AXES.get(len(shape), ())
        if not names or 0 in shape:
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
        _check_voxels(path, image)
        dtype = image.get_data_dtype().newbyteorder("=")
        if dtype.names is not None:
            file_axes, shape, dtype = _colours_as_channels(path, file_axes, shape, dtype)
        try:
            check_dtype(dtype)
        except TypeError as error:
            raise SourceError(f"{path}: {error}") from None
        lengths = dict(zip(file_axes, reversed(shape), strict=True))
        stored_axes = "".join(sorted(file_axes, key=_STORED_ORDER.index))
        files = {Path(holder.filename) for holder in image.file_map.values() if holder.filename}
        return cls(
            files=tuple(sorted(file for file in files if file.exists())),
            axes=stored_axes,
            shape=tuple(lengths[axis] for axis in stored_axes),
            dtype=dtype,
            nifti_header=_nifti_header(image),
            in_order=_is_compressed(image),
            stored=_open_voxels(image, shape),
            file_axes=file_axes,
            **_describe(image, stored_axes),
        )

    def read(self, region: Region) -> np.ndarray:
        slices = dict(zip(self.axes, region, strict=True))
        fortran = tuple(slices[axis] for axis in reversed(self.file_axes))
        try:
            voxels = np.asarray(self.stored[fortran])
        except _READ_ERRORS as error:
            raise SourceError(
                f"{self.files[0]}: the voxels cannot be read ({error}); the file may be cut short "
                "or damaged"
            ) from error
        # The transpose of an array with x fastest is in C order, with x last.
        order = [self.file_axes.index(axis) for axis in self.axes]
        return voxels.T.transpose(order).astype(self.dtype, copy=False)


def _load(path: Path) -> Any:
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file")
    try:
        image = nibabel.load(path)
    except FileNotFoundError as error:
        raise SourceError(f"{path}: {error.filename or error} is missing") from None
    except PermissionError:
        raise SourceError(f"{path}: the file cannot be read: permission denied") from None
    except (ImageFileError, HeaderDataError, *_READ_ERRORS) as error:
        if (name := _too_wide(path)) is not None:
            raise SourceError(f"{path}: its voxels are {name}, which Zarr cannot hold") from None
        raise SourceError(f"{path}: not an image that nibabel can open ({error})") from None
    if not isinstance(image, SpatialImage) or not isinstance(image.dataobj, ArrayProxy):
        raise SourceError(f"{path}: a {type(image).__name__} holds no volume on a grid of voxels")
    return image


def _too_wide(path: Path) -> str | None:
    """Name of the data type that a NIfTI file says it has, where neither NumPy nor Zarr has it."""
    try:
        code = int(nifti.fields(nifti.read_header(path))["datatype"])
    except _READ_ERRORS:
        return None
    return _TOO_WIDE.get(code)


def _is_compressed(image: Any) -> bool:
    return str(image.file_map["image"].filename).lower().endswith(_COMPRESSED)


def _open_voxels(image: Any, shape: tuple[int, ...]) -> ArrayProxy | np.memmap[Any, Any]:
    """The voxels as they are stored, without scale factors, the fastest axis first.

    An uncompressed file is mapped. A compressed one is kept open, so that the next region is read
    on from the last one; gzip by ISA-L, which takes half of zlib's time.
    """
    filename = str(image.file_map["image"].filename)
    dtype, offset = image.dataobj.dtype, image.dataobj.offset
    if dtype.names is not None:
        dtype = dtype[0]
    if not _is_compressed(image):
        return np.memmap(filename, dtype, "r", offset, shape, "F")
    stream = igzip.open(filename) if filename.lower().endswith((".gz", ".mgz")) else filename
    return ArrayProxy(stream, (shape, dtype, offset, 1.0, 0.0), keep_file_open=True)


def _check_voxels(path: Path, image: Any) -> None:
    """Raise a SourceError where the file of the voxels is missing or too short."""
    voxels = Path(image.file_map["image"].filename)
    if not voxels.is_file():
        raise SourceError(f"{path}: the file of its voxels, {voxels}, is missing")
    proxy = image.dataobj
    needed = proxy.offset + math.prod(map(int, proxy.shape)) * proxy.dtype.itemsize
    size = voxels.stat().st_size
    if not _is_compressed(image) and size < needed:
        raise SourceError(f"{voxels}: cut short: {size} bytes, but its header asks for {needed}")


def _describe(image: Any, axes: str) -> dict[str, Any]:
    """Voxel size, time step and their units; where the voxels lie; and how values are scaled."""
    zooms = [float(zoom) for zoom in image.header.get_zooms()]
    sizes = [abs(zoom) if math.isfinite(zoom) and zoom else 1.0 for zoom in zooms]
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
        "affine": image.affine,
        "slope": 1.0 if image.dataobj.slope is None else float(image.dataobj.slope),
        "inter": 0.0 if image.dataobj.inter is None else float(image.dataobj.inter),
    }


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


def _nifti_header(image: Any) -> bytes | None:
    """The header's bytes as they stand in the file, extensions included.

    nibabel changes a header when it loads it: the slope becomes NaN, among others.
    """
    if not isinstance(image, nibabel.Nifti1Pair):
        return None
    holder = image.file_map.get("header", image.file_map["image"])
    return nifti.read_header(str(holder.filename))
