"""MINC, Philips PAR/REC and AFNI images, which may have several scale factors.

nibabel reads their headers and computes the real values. Their stored values are read here, because
nibabel reads a whole MINC 1 image into memory, and a whole REC file if its images are not sorted;
ignores the indices of a PAR file; takes the 32-bit complex numbers of AFNI for 64-bit ones; and
does not notice a damaged end of a compressed file.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from isal import igzip
from nibabel.brikhead import AFNIArrayProxy, AFNIHeader, parse_AFNI_header
from nibabel.externals.netcdf import netcdf_file
from nibabel.minc1 import Minc1File
from nibabel.minc2 import Minc2File
from nibabel.parrec import PARRECArrayProxy, PARRECError, PARRECHeader, parse_PAR_header

from neurozarr.errors import SourceError
from neurozarr.files import check_file
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Source
from neurozarr.sources.damage import as_source_errors
from neurozarr.sources.extras import library
from neurozarr.sources.hdf5 import check_dataset, check_links
from neurozarr.sources.library_warnings import caught_warnings
from neurozarr.sources.nibabel_image import NibabelSource, known_affine
from neurozarr.units import MAX_LENGTH, is_plausible, ome_unit

logger = logging.getLogger(__name__)

#: Reads a region along the axes of a file.
Read = Callable[[Region], np.ndarray[Any, Any]]

#: File name endings of headers and of voxels.
_HEADERS: dict[str, tuple[str, ...]] = {"par": (".PAR", ".par"), "afni": (".HEAD", ".head")}
_VOXELS: dict[str, tuple[str, ...]] = {
    "par": (".REC", ".rec"),
    "afni": (".BRIK", ".brik", ".BRIK.gz", ".brik.gz"),
}
#: Axes by names of dimensions (MINC 1 programmer's guide, "Image dimensions").
_DIMENSIONS = {"time": "t", "vector_dimension": "c", "zspace": "z", "yspace": "y", "xspace": "x"}
#: Variables with the real values of the smallest and the largest valid stored value.
_EXTREMES = ("image-min", "image-max")
#: Units of the time step (AFNI README.attributes, TAXIS_NUMS[2]); 77003 is hertz.
_AFNI_TIMES = {77001: "millisecond", 77002: "second"}
#: BRICK_TYPES of two 32-bit floats (AFNI README.attributes); nibabel assumes two 64-bit floats.
_AFNI_COMPLEX = 5
#: Attribute with the values and names of labels, which AFNI's 3drefit -labeltable writes.
_AFNI_LABELS = "VALUE_LABEL_DTABLE"


@dataclass(frozen=True, kw_only=True, eq=False)
class ScaledSource(Source):
    """An image with one pair of scale factors, or one for each slice or volume.

    With one slope and intercept, the stored values are kept, and the NIfTI header holds the scale
    factors. With several, the voxels are the real values, as nibabel computes them, in 64-bit
    floats, which represent all 32-bit integers exactly.

    Attributes
    ----------
    voxels
        Reads a region of the voxels.
    """

    suffixes: ClassVar[tuple[str, ...]] = (
        ".mnc", ".mnc.gz", ".par", ".rec", ".head", ".brik", ".brik.gz",
    )  # fmt: skip

    voxels: Read

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        check_file(path)
        with (
            as_source_errors(path, "its header cannot be read"),
            _warnings_logged(path),
            np.errstate(all="ignore"),
        ):
            fields = cls._fields(Path(path))
        return cls(**_with_axes(path, fields, layout.axes))

    @classmethod
    def _fields(cls, path: Path) -> dict[str, Any]:
        """Open a file; fields of the source."""
        name = path.name.lower()
        if name.endswith((".mnc", ".mnc.gz")):
            return _open_minc(path)
        return _open_par(path) if name.endswith((".par", ".rec")) else _open_afni(path)

    def read_file(self, region: Region) -> np.ndarray:
        return self.voxels(region)


@contextmanager
def _warnings_logged(path: str) -> Iterator[None]:
    """Log the warnings of nibabel."""
    with caught_warnings("always", UserWarning) as caught:
        yield
    for warning in caught:
        logger.warning("%s: %s", path, warning.message)


def _with_axes(path: str, fields: dict[str, Any], axes: str | None) -> dict[str, Any]:
    """Replace the axes of a source by those that the user gives: only t and c can be exchanged."""
    known = fields["file_axes"]
    if axes is None or axes == known:
        return fields
    other = known.translate(str.maketrans("tc", "ct"))
    if axes != other:
        allowed = " or ".join(dict.fromkeys((known, other)))
        raise SourceError(
            f"{path}: axes is {axes!r}; allowed for a file of shape {fields['file_shape']}: "
            f"{allowed}"
        )
    return fields | {"file_axes": axes, "time_step": 0.0, "time_unit": ""}


def scaling(
    dtype: np.dtype[Any],
    slopes: np.ndarray[Any, Any],
    inters: np.ndarray[Any, Any],
    stored: Read,
    real: Read,
) -> dict[str, Any]:
    """Voxels, their data type and scale factors, as fields of a source.

    One slope and intercept are kept if a NIfTI header can hold them, in 32-bit floats. Otherwise
    the voxels are the real values.
    """
    slope, inter = float(slopes.flat[0]), float(inters.flat[0])
    is_one = (slopes == slope).all() and (inters == inter).all()
    fits = np.finfo(np.float32).tiny <= abs(slope) < MAX_LENGTH and abs(inter) < MAX_LENGTH
    if is_one and fits:
        return {"dtype": dtype.newbyteorder("="), "slope": slope, "inter": inter, "voxels": stored}
    return {"dtype": np.result_type(dtype, np.float64), "voxels": real}


def _scaled_by(proxy: Any, stored: Read) -> Read:
    """The real values that a proxy of nibabel, x first, computes of stored values."""
    proxy._get_unscaled = lambda slicer: stored(slicer[::-1]).T
    return lambda region: proxy[region[::-1]].T


def sizes_of(zooms: Sequence[float]) -> tuple[float, ...]:
    """Convert voxel sizes along x, y and z to z, y and x; empty if one is not plausible."""
    sizes = tuple(abs(float(zoom)) for zoom in reversed(zooms))
    return sizes if all(is_plausible(size) for size in sizes) else ()


def time_of(step: Any, unit: str) -> dict[str, Any]:
    """A time step and its unit, as fields of a source; empty if the step is not plausible."""
    is_known = step is not None and is_plausible(abs(float(step)))
    return {"time_step": abs(float(step)), "time_unit": unit} if is_known else {}


def _pair(path: Path, kind: str) -> tuple[Path, Path]:
    """The header file and the voxel file of an image, by the path of either."""
    name = str(path)
    is_header = path.suffix.upper() in _HEADERS[kind]
    own, others = _HEADERS[kind], _VOXELS[kind]
    if not is_header:
        own, others = others, own
    ending = max(len(end) for end in own if name.lower().endswith(end.lower()))
    names = [name[:-ending] + other for other in others]
    found = next((Path(other) for other in names if os.path.lexists(other)), None)
    if found is None:
        what, known = "voxels" if is_header else "header", " or ".join(names[::2])
        raise SourceError(f"{path}: the file with its {what}, {known}, is missing")
    check_file(found)
    return (path, found) if is_header else (found, path)


def _open_par(path: Path) -> dict[str, Any]:
    par, rec = _pair(path, "par")
    with par.open(encoding="latin-1") as file:
        info, slices = parse_PAR_header(file)
    numbers, counts = np.unique(slices["slice number"], return_counts=True)
    if counts.min() < counts.max():
        short = ", ".join(map(str, numbers[counts < counts.max()]))
        raise SourceError(
            f"{par}: cut short: slice {short} occurs {counts.min()} times, others {counts.max()} "
            "times: export the whole scan"
        )
    try:
        # Without a strict sort, a volume could mix echoes or image types.
        header = PARRECHeader(info, slices, strict_sort=True)
    except PARRECError as error:
        raise SourceError(
            f"{par}: cut short or not supported ({error}): export the whole scan"
        ) from None
    shape = tuple(int(length) for length in reversed(header.get_data_shape()))
    indices = slices["index in REC file"]
    if sorted(indices) != list(range(len(slices))):
        # The indices refer to the REC file that this one was extracted from.
        indices = np.arange(len(slices))
    order = indices[header.get_sorted_slice_indices()].reshape(shape[:-2])
    dtype = header.get_data_dtype()
    voxels = NibabelSource.of_voxels(rec, "zyx", (len(slices), *shape[-2:]), dtype, 0)

    def stored(region: Region) -> np.ndarray[Any, Any]:
        planes = voxels.read_file((slice(0, len(slices)), *region[-2:]))
        return planes[order[region[:-2]]]

    slopes, inters = (factors.T for factors in header.get_data_scaling("dv"))
    times = info.get("repetition_time", ())
    is_series = list(header.get_volume_labels()) == ["dynamic scan number"] and len(times) == 1
    return {
        "files": (rec, par),
        "file_axes": "tzyx"[-len(shape) :],
        "file_shape": shape,
        "voxel_size": sizes_of(header.get_zooms()[:3]),
        "space_unit": "millimeter",
        "affine": known_affine(header.get_affine()),
        **(time_of(times[0] / 1000, "second") if is_series else {}),
        **scaling(dtype, slopes, inters, stored, _scaled_by(PARRECArrayProxy(rec, header), stored)),
    }


def _open_afni(path: Path) -> dict[str, Any]:
    head, brik = _pair(path, "afni")
    with head.open(encoding="latin-1") as file:
        header = AFNIHeader(parse_AFNI_header(file))
    shape = tuple(int(length) for length in reversed(header.get_data_shape()))
    dtype = header.get_data_dtype()
    if _AFNI_COMPLEX in np.atleast_1d(header.info["BRICK_TYPES"]):
        dtype = np.dtype(np.complex64).newbyteorder(dtype.byteorder)
    voxels = NibabelSource.of_voxels(brik, "tzyx", shape, dtype, 0)
    slopes = header.get_data_scaling()
    slopes = np.ones(1) if slopes is None else slopes
    real = _scaled_by(AFNIArrayProxy(str(brik), header), voxels.read_file)
    unit = _AFNI_TIMES.get(header.info.get("TAXIS_NUMS", (0, 0, 0))[2])
    return {
        "files": (brik, head),
        "file_axes": "tzyx",
        "file_shape": shape,
        "in_order": voxels.in_order,
        "voxel_size": sizes_of(header.get_zooms()[:3]),
        "space_unit": "millimeter",
        "affine": known_affine(header.get_affine()),
        "labels": _afni_labels(header.info.get(_AFNI_LABELS)),
        **(time_of(header.get_zooms()[3], unit) if unit else {}),
        **scaling(dtype, slopes, np.zeros_like(slopes), voxels.read_file, real),
    }


def _afni_labels(table: Any) -> dict[str, Any] | None:
    """Names of labels as properties of "image-label" metadata; None if there is no table."""
    if not isinstance(table, str):
        return None
    named = re.findall(r'"(\d{1,18})"\s+"([^"]*)"', table)
    properties = [{"label-value": int(value), "name": name} for value, name in named]
    return {"properties": properties} if properties else {}


class _Netcdf(netcdf_file):
    """A netCDF file; of its variables, only image-min and image-max are read.

    Attributes
    ----------
    image_shape, image_start
        Shape of the image, in voxels, and its start in the file, in bytes.
    """

    image_shape: tuple[int, ...]
    image_start: int

    def _read_var(self) -> Any:
        variable = super()._read_var()  # type: ignore[no-untyped-call]
        name, dimensions, shape, *rest, start, size = variable
        if name == "image":
            self.image_shape, self.image_start = shape, start
        if None in shape:
            raise ValueError(f"{name} has a dimension without a length")
        if name not in _EXTREMES:
            shape, start = (0,), self.fp.tell()
        return name, dimensions, shape, *rest, start, size


class _Image:
    """The image of a MINC 1 file, of which nibabel uses the shape and reads regions."""

    def __init__(self, shape: tuple[int, ...], read: Read) -> None:
        self.shape = shape
        self._read = read

    def __getitem__(self, region: Region) -> np.ndarray[Any, Any]:
        return self._read(region)


def _open_minc(path: Path) -> dict[str, Any]:
    opened: Any = igzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")
    with opened as file:
        magic = file.read(4)
        file.seek(0)
        if magic[:3] == b"CDF":
            return _open_minc1(path, file)
    if magic != b"\x89HDF":
        raise SourceError(f"{path}: neither MINC 1 (netCDF) nor MINC 2 (HDF5)")
    if path.name.lower().endswith(".gz"):
        raise SourceError(f"{path}: compressed MINC 2 is not supported: gunzip it first")
    return _open_minc2(path)


def _open_minc1(path: Path, file: Any) -> dict[str, Any]:
    netcdf = _Netcdf(file, mmap=False)  # type: ignore[no-untyped-call]
    minc = Minc1File(netcdf)
    variables = netcdf.variables
    image, shape = variables["image"], netcdf.image_shape
    axes = _axes_of(path, image.dimensions, shape)
    dtype = minc.get_data_dtype()
    voxels = NibabelSource.of_voxels(path, axes, shape, dtype, netcdf.image_start)
    image.data = _Image(shape, voxels.read_file)
    return {
        "files": (path,),
        "file_axes": axes,
        "file_shape": shape,
        "in_order": voxels.in_order,
        **_describe(minc, axes, [vars(variables[name]) for name in image.dimensions]),
        **_minc_scaling(minc, voxels.read_file, *(variables[name].data for name in _EXTREMES)),
    }


def _open_minc2(path: Path) -> dict[str, Any]:
    h5py = library("h5py", "hdf5", str(path))
    with ExitStack() as on_error:  # Else, the file would stay open as long as the error is kept.
        file = on_error.enter_context(h5py.File(path, "r"))
        files: tuple[Path, ...] = (path,)
        for name in ("image", *_EXTREMES):
            check_links(str(path), file, f"minc-2.0/image/0/{name}")
            if (found := file.get(f"minc-2.0/image/0/{name}")) is not None:
                files += check_dataset(str(path), found)
        minc = Minc2File(file)
        group = file["minc-2.0/image/0"]
        image = group["image"]
        names = _order(image)
        axes = _axes_of(path, names, image.shape)
        dimensions = [dict(file["minc-2.0/dimensions"][name].attrs) for name in names]
        fields = {
            "files": tuple(dict.fromkeys(files)),
            "file_axes": axes,
            "file_shape": image.shape,
            "file_native_chunk_shape": image.chunks,
            **_describe(minc, axes, dimensions),
            **_minc_scaling(minc, image.__getitem__, *(group[name][()] for name in _EXTREMES)),
        }
        on_error.pop_all()
    return fields


def _order(variable: Any) -> tuple[str, ...]:
    """Names of the dimensions of a MINC 2 variable; its attribute may list more than it has."""
    order = _text(variable.attrs.get("dimorder", b""))
    return tuple(order.split(",") if order else ())[: len(variable.shape)]


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _axes_of(path: Path, names: Sequence[str], shape: tuple[int, ...]) -> str:
    """Axes of a MINC image, by the names of its dimensions."""
    axes = "".join(_DIMENSIONS.get(name, "?") for name in names)
    if len(set(axes)) < len(shape) or set("xyz") - set(axes) or "?" in axes:
        raise SourceError(
            f"{path}: its dimensions are {', '.join(names) or 'not named'}, of shape {shape}; only "
            "xspace, yspace and zspace, with time or vector_dimension, can be converted"
        )
    return axes


def _describe(
    minc: Minc1File, axes: str, dimensions: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Voxel size, units, affine and time step of a MINC file, as fields of a source."""
    known = dict(zip(axes, dimensions, strict=True))
    spatial = [axis for axis in axes if axis in "xyz"]
    # The columns of nibabel's affine are in the order of the file's axes.
    affine = minc.get_affine()[:, [*(spatial.index(axis) for axis in "xyz"), 3]]
    units = {_unit(known[axis], "space", "mm") for axis in "xyz"}
    time = known.get("t", {})
    return {
        "voxel_size": sizes_of([known[axis].get("step", 0) for axis in "xyz"]),
        "space_unit": units.pop() if len(units) == 1 else "",
        "affine": known_affine(affine),
        **time_of(time.get("step"), _unit(time, "time", "")),
    }


def _unit(dimension: Mapping[str, Any], kind: str, default: str) -> str:
    try:
        return ome_unit(_text(dimension.get("units", default)), kind)
    except ValueError:
        return ""


def _minc_scaling(minc: Minc1File, stored: Read, lows: Any, highs: Any) -> dict[str, Any]:
    """Voxels, their data type and scale factors, as fields of a source.

    Integers in the valid range are mapped to image-min to image-max of their slice or volume (MINC
    1 programmer's guide, "Pixel values and real values"). Floats are real values already.
    """
    dtype = minc.get_data_dtype()
    # nibabel checks the valid range and the dimensions when it reads.
    minc.get_scaled_data((slice(0, 1),) * len(minc.get_data_shape()))
    if dtype.kind == "f":
        return {"dtype": dtype.newbyteorder("="), "voxels": stored}
    limits = minc._get_valid_range()
    if limits[0] >= limits[1] or (limits % 1).any():
        return {"dtype": np.dtype(np.float64), "voxels": minc.get_scaled_data}
    low, high = np.asarray(lows, np.float64), np.asarray(highs, np.float64)
    slopes = (high - low) / (limits[1] - limits[0])
    least, most = limits.astype(dtype.newbyteorder("="))

    def clipped(region: Region) -> np.ndarray[Any, Any]:
        return np.clip(stored(region), least, most)

    return scaling(dtype, slopes, low - limits[0] * slopes, clipped, minc.get_scaled_data)
