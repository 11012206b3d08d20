"""Datasets in HDF5 files, read by h5py."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from neurozarr.axes import SPATIAL, STORED_ORDER
from neurozarr.errors import SourceError
from neurozarr.files import check_file, check_kind
from neurozarr.ome.reading import Grid
from neurozarr.regions import Region
from neurozarr.sources.arrays import choose_dataset, members, named_labels
from neurozarr.sources.base import Layout, Member, Source
from neurozarr.sources.columns import check_axes
from neurozarr.sources.coordinates import describe, of_axistags
from neurozarr.sources.damage import as_source_errors
from neurozarr.sources.extras import library
from neurozarr.units import is_plausible

#: Signature of HDF5 files, at byte 0, 512, 1024, 2048 or a higher power of 2 (HDF5 File Format
#: Specification 3.0, section II.A).
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Maximum number of links that lead to a dataset, and of nested virtual datasets.
_MAX_LINKS = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Hdf5Source(Source):
    """A dataset of an HDF5 file: the one that the user names, or the only one that can be meant.

    Without a name, candidates have 2 to 5 dimensions. If there are several, only those with two or
    more non-singleton axes count.

    Its axes are named by the labels of its dimensions (HDF5 Dimension Scale Specification), or by
    ilastik's attribute ``axistags``. By default they are y, x or z, y, x; for four or more, the
    user has to name them. The voxel size is the attribute ``element_size_um``: z, y, x in
    micrometers; or it is in ``axistags``, like the time step.

    Attributes
    ----------
    dataset
        Path of the dataset in the file.
    lock
        Held while the file is opened.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".hdf5", ".hdf", ".he5")
    takes = ("axes", "dataset")
    #: Default names of the axes, by their number.
    default_axes: ClassVar[Mapping[int, str]] = {2: "yx", 3: "zyx"}

    dataset: str
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        with opened(path) as file:
            name, dataset = cls._find(path, file, layout.dataset)
            check_filters(path, dataset)
            axes = cls._axes(path, dataset, layout.axes)
            return cls(
                files=check_dataset(path, dataset),
                file_axes=axes,
                file_shape=dataset.shape,
                dtype=cls.numbers(dataset).newbyteorder("="),
                file_native_chunk_shape=_native_chunk_shape(dataset),
                dataset=name,
                labels={} if cls._has_labels(name, dataset) else None,
                **_sizes(path, dataset, axes),
            )

    @classmethod
    def images(cls, path: str, layout: Layout) -> Sequence[Member]:
        with opened(path) as file:
            return members(path, cls._arrays(file))

    @cached_property
    def stored(self) -> Any:
        """The dataset; its file stays open."""
        return open_file(str(self.files[0]))[self.dataset]

    def read_file(self, region: Region) -> np.ndarray:
        with self.lock:
            stored = self.stored
        voxels = stored[region]
        return voxels if voxels.dtype.names is None else voxels.view(_numbers(voxels.dtype))

    @classmethod
    def numbers(cls, dataset: Any) -> Any:
        """Data type of the numbers in a dataset; None if it does not hold numbers."""
        try:
            return _numbers(dataset.dtype)
        except (TypeError, ValueError):  # HDF5 has types that NumPy lacks.
            return None

    @classmethod
    def _find(cls, path: str, file: Any, named: str | None) -> tuple[str, Any]:
        """Name and dataset that the user means; see the class."""
        h5py = library("h5py", "hdf5", path)
        check_links(path, file, named or "")
        try:
            found = None if named is None else file[named]
        except (KeyError, OSError):  # There is no such link, or it is broken.
            found = None
        if named is None or not isinstance(found, h5py.Dataset):
            name = choose_dataset(path, named, cls._arrays(file))
            return name, file[name]
        if not found.shape or len(found.shape) > len(STORED_ORDER) or cls.numbers(found) is None:
            raise SourceError(
                f"{path}: {named} has shape {found.shape} and type {_type_name(found)}; only "
                "arrays of numbers with 1 to 5 dimensions can be converted"
            )
        return named, found

    @classmethod
    def _arrays(cls, file: Any) -> dict[str, tuple[int, ...]]:
        """Shapes of the datasets that can be converted, by path."""
        found = {}

        def visit(_: str, item: Any) -> None:
            shape = getattr(item, "shape", None) or ()
            if 2 <= len(shape) <= len(STORED_ORDER) and cls.numbers(item) is not None:
                found[item.name] = shape

        file.visititems(visit)
        return found

    @classmethod
    def _has_labels(cls, name: str, dataset: Any) -> bool:
        """Whether a dataset of integers holds labels, by its path or by how ilastik shows it."""
        mode = dataset.attrs.get("display_mode")
        text = mode.decode(errors="replace") if isinstance(mode, bytes) else mode
        is_shown = isinstance(text, str) and text == "random-colortable"
        dtype = cls.numbers(dataset)
        return named_labels(name, dtype) or (is_shown and dtype.kind in "biu")

    @classmethod
    def _axes(cls, path: str, dataset: Any, given: str | None) -> str:
        axes = given or _labels(dataset) or cls.default_axes.get(dataset.ndim, "")
        if not axes:
            raise SourceError(
                f"{path}: {dataset.name} has shape {dataset.shape}, and its axes have no names: "
                f"give axes, slowest first, such as c{cls.default_axes[3]}"
            )
        check_axes(path, axes, dataset.shape)
        return axes


def is_hdf5(path: str) -> bool:
    """Whether a file exists and has the signature of HDF5."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            starts = [0, *(2**power for power in range(9, size.bit_length()))]
            return any(file.seek(start) == start and file.read(8) == _SIGNATURE for start in starts)
    except OSError:
        return False


def open_file(path: str) -> Any:
    """Open an h5py.File without locking it, as another process may be writing to it.

    Raises
    ------
    SourceError
        The file is missing, unreadable or not an HDF5 file.
    """
    h5py = library("h5py", "hdf5", path)
    check_file(path)
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise SourceError(f"{path}: HDF5 cannot open the file ({error})") from None


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """Open an h5py.File to read its headers; errors in the block become SourceErrors."""
    with as_source_errors(path, "its headers cannot be read"), open_file(path) as file:
        yield file


def check_filters(path: str, dataset: Any) -> None:
    """Raise a SourceError if a filter of a dataset is not installed."""
    h5py = library("h5py", "hdf5", path)
    created = dataset.id.get_create_plist()
    for number in range(created.get_nfilters()):
        code, _, _, name = created.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            raise SourceError(
                f"{path}: {dataset.name} is compressed by filter {code} "
                f"({name.decode(errors='replace') or 'without a name'}), which is not installed: "
                "set HDF5_PLUGIN_PATH to the directory of its plugin"
            )


def _numbers(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """The NumPy data type of numbers; a compound of two floats is a complex number."""
    if dtype.names == ("real", "imag"):  # h5py itself converts fields named r and i.
        real = dtype["real"]
        if real == dtype["imag"] and real.str[1:] in ("f4", "f8"):
            return np.dtype(f"{real.str[0]}c{dtype.itemsize}")
    return np.dtype(dtype.str) if dtype.kind in "biufc" else None


def _type_name(dataset: Any) -> str:
    try:
        return str(dataset.dtype)
    except (TypeError, ValueError) as error:
        return f"unknown ({error})"


def _labels(dataset: Any) -> str:
    """Names of the axes from the labels of dimensions or from axistags; "" if not all are valid."""
    labels = [dimension.label for dimension in dataset.dims]
    if not any(labels):
        tags = of_axistags(dataset.attrs, dataset.ndim)
        return (tags.axes or "") if tags else ""
    known = len(set(labels)) == len(labels) == dataset.ndim and set(labels) <= set(STORED_ORDER)
    return "".join(labels) if known else ""


def _sizes(path: str, dataset: Any, axes: str) -> dict[str, Any]:
    """Voxel size, time step and units, as fields of a source, by the letters of the axes."""
    try:
        sizes = np.ravel(dataset.attrs.get("element_size_um", ())).astype(float)
    except (TypeError, ValueError):
        sizes = np.empty(0)
    if len(sizes) == len(SPATIAL) and all(map(is_plausible, sizes)):
        # They belong to the dimensions of the array, whatever letters the user gives these.
        spatial = [axis for axis in axes if axis in SPATIAL]
        size = dict(zip(spatial if len(spatial) == len(sizes) else SPATIAL, sizes, strict=True))
        return {
            "voxel_size": tuple(float(size[axis]) for axis in SPATIAL),
            "space_unit": "micrometer",
        }
    return describe(path, axes, of_axistags(dataset.attrs, dataset.ndim) or Grid())


def check_links(path: str, group: Any, name: str, max_links: int = _MAX_LINKS) -> None:
    """Check the links to an object before HDF5 follows them: it would hang on a pipe.

    Parameters
    ----------
    path
        The file of the group.
    group
        The group to start from.
    name
        Path of the object in the group; it need not exist.
    max_links
        How many links may lead to the object.

    Raises
    ------
    SourceError
        A link leads to something that is not a file, or not an HDF5 file, or the links are too
        many.
    """
    h5py = library("h5py", "hdf5", path)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    group = group["/"] if name.startswith("/") else group
    for number, part in enumerate(parts):
        links = group.id.links if isinstance(group, h5py.Group) else None
        if links is None or not links.exists(part.encode()):
            return
        kind = links.get_info(part.encode()).type
        if kind == h5py.h5l.TYPE_HARD:
            group = group[part]
            continue
        if max_links == 0:
            raise SourceError(f"{path}: more than {_MAX_LINKS} links, or a circle, lead to {name}")
        target = links.get_val(part.encode())
        rest = "/".join(parts[number + 1 :])
        if kind == h5py.h5l.TYPE_SOFT:
            check_links(path, group, f"{target.decode()}/{rest}", max_links - 1)
        elif kind == h5py.h5l.TYPE_EXTERNAL:
            other, other_name = map(os.fsdecode, target)
            _check_external(path, other, f"/{other_name}/{rest}", max_links - 1)
        return


def _check_external(path: str, other: str, name: str, max_links: int) -> None:
    """Check an external link: HDF5 looks beside the file, then in the working directory."""
    for place in (os.path.join(os.path.dirname(path), other), other):
        check_kind(place)
        if os.path.isfile(place):
            with opened(place) as file:
                check_links(place, file, name, max_links)
            return


def check_dataset(path: str, dataset: Any) -> tuple[Path, ...]:
    """Find all files of a dataset, and check that HDF5 can read it without crashing or hanging.

    Parameters
    ----------
    path
        The file that was opened.
    dataset
        The dataset in it.

    Returns
    -------
    tuple[Path, ...]
        The file, the file that an external link leads to, and the sources of a virtual dataset.

    Raises
    ------
    SourceError
        A source is missing or not a file, or a virtual dataset contains itself.
    """
    return tuple(dict.fromkeys((Path(path), *_files(path, dataset, {}))))


def _files(path: str, dataset: Any, seen: dict[tuple[str, str], bool]) -> Iterator[Path]:
    """Files of a dataset, and of the sources of a virtual one, recursively.

    ``seen`` has the virtual datasets so far, by real path of the file and name; False while the
    sources of one are followed.
    """
    if dataset.external:
        raise SourceError(
            f"{path}: {dataset.name} is stored in raw files, such as {dataset.external[0][0]}: "
            "copy it into the HDF5 file with h5repack"
        )
    own = Path(dataset.file.filename)
    yield own
    this = (os.path.realpath(own), dataset.name)
    if this in seen or not dataset.is_virtual:
        return
    seen[this] = False
    if len(seen) - sum(seen.values()) > _MAX_LINKS:
        raise SourceError(f"{path}: more than {_MAX_LINKS} virtual datasets are nested")
    sources = dataset.virtual_sources()
    for source in dict.fromkeys((_source_file(own, part), part.dset_name) for part in sources):
        file, name = source
        check_kind(file)
        # HDF5 reads the fill value from a missing file.
        if not file.is_file():
            raise SourceError(f"{path}: {file}, a source of {dataset.name}, is missing")
        with opened(str(file)) as other:
            check_links(str(file), other, name)
            if name not in other:
                raise SourceError(
                    f"{path}: {name} in {file}, a source of {dataset.name}, is missing"
                )
            found = other[name]
            if seen.get((os.path.realpath(found.file.filename), found.name)) is False:
                raise SourceError(
                    f"{path}: the virtual dataset {dataset.name} contains itself, through {name} "
                    f"in {file}: it has no voxels"
                )
            yield from _files(path, found, seen)
    seen[this] = True


def _source_file(own: Path, source: Any) -> Path:
    """The file of a source of a virtual dataset; its name is relative to the dataset's file."""
    return own if source.file_name == "." else own.parent / source.file_name


def _native_chunk_shape(dataset: Any) -> tuple[int, ...] | None:
    """Shape of a chunk, in voxels; for a virtual dataset, of a chunk of its first source."""
    if not dataset.is_virtual:
        return dataset.chunks
    first = next(iter(dataset.virtual_sources()), None)
    if first is None:
        return None
    with opened(str(_source_file(Path(dataset.file.filename), first))) as file:
        chunks = file[first.dset_name].chunks
    return None if chunks is None else ((1,) * dataset.ndim + chunks)[-dataset.ndim :]
