"""Datasets in HDF5 files, by h5py."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from neurozarr.axes import STORED_ORDER
from neurozarr.errors import SourceError
from neurozarr.files import check_file, check_kind
from neurozarr.regions import Region
from neurozarr.sources.base import Layout, Source, check_axes, library
from neurozarr.units import is_plausible

#: What every HDF5 file has at byte 0, or at 512, 1024, 2048 and so on (HDF5 File Format
#: Specification 3.0, section II.A).
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: How many arrays an error lists.
_LISTED = 20
#: How many links, and how many virtual datasets, may lead from one to the other.
_MOST_LINKS = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Hdf5Source(Source):
    """A dataset of an HDF5 file: the one that is named, or the only one of 2 to 5 dimensions.

    Where there are several, those of one number or one line of numbers do not count.

    Its axes are those that the labels of its dimensions name (HDF5 Dimension Scale Specification),
    or ilastik's attribute ``axistags``, or else y, x or z, y, x; four or more have to be told. Its
    voxel size is the attribute ``element_size_um``: z, y, x in micrometers.

    Attributes
    ----------
    dataset
        Its path in the file.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".hdf5", ".hdf", ".he5")
    takes = ("axes", "dataset")
    #: Names of its axes, by their number, where nothing else says them.
    usual_axes: ClassVar[Mapping[int, str]] = {2: "yx", 3: "zyx"}

    dataset: str
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        with opened(path) as file:
            name, dataset = cls._find(path, file, layout.dataset)
            check_filters(path, dataset)
            return cls(
                files=check_dataset(path, dataset),
                file_axes=cls._axes(path, dataset, layout.axes),
                file_shape=dataset.shape,
                dtype=cls.numbers(dataset).newbyteorder("="),
                file_native_chunk_shape=_read_shape(dataset),
                dataset=name,
                **_size(dataset),
            )

    @cached_property
    def stored(self) -> Any:
        """The dataset, in its file, which stays open."""
        return open_file(str(self.files[0]))[self.dataset]

    def read_file(self, region: Region) -> np.ndarray:
        with self.lock:
            stored = self.stored
        voxels = stored[region]
        return voxels if voxels.dtype.names is None else voxels.view(_numbers(voxels.dtype))

    @classmethod
    def numbers(cls, dataset: Any) -> Any:
        """Data type of the numbers in a dataset; None where it holds none."""
        try:
            return _numbers(dataset.dtype)
        except (TypeError, ValueError):  # HDF5 has types that NumPy lacks.
            return None

    @classmethod
    def _find(cls, path: str, file: Any, named: str | None) -> tuple[str, Any]:
        """Name and dataset: of the name that is given, or the only one that can be converted."""
        h5py = library("h5py", "hdf5", path)
        check_links(path, file, named or "")
        try:
            found = None if named is None else file[named]
        except (KeyError, OSError):  # No such link, or to nowhere.
            found = None
        if named is None or not isinstance(found, h5py.Dataset):
            name = choose(path, named, cls._arrays(file))
            return name, file[name]
        if not found.shape or len(found.shape) > len(STORED_ORDER) or cls.numbers(found) is None:
            raise SourceError(
                f"{path}: {named} has shape {found.shape} and type {_type_name(found)}; only "
                "arrays of numbers, of 1 to 5 dimensions, can be converted"
            )
        return named, found

    @classmethod
    def _arrays(cls, file: Any) -> dict[str, tuple[int, ...]]:
        """Shapes of the datasets that can be converted, by their paths."""
        found = {}

        def visit(_: str, item: Any) -> None:
            shape = getattr(item, "shape", None) or ()
            if 2 <= len(shape) <= len(STORED_ORDER) and cls.numbers(item) is not None:
                found[item.name] = shape

        file.visititems(visit)
        return found

    @classmethod
    def _axes(cls, path: str, dataset: Any, told: str | None) -> str:
        axes = told or _labels(dataset) or cls.usual_axes.get(dataset.ndim, "")
        if not axes:
            raise SourceError(
                f"{path}: {dataset.name} has shape {dataset.shape}, and its axes have no names: "
                f"give axes, slowest first, such as c{cls.usual_axes[3]}"
            )
        check_axes(path, axes, dataset.shape)
        return axes


def is_hdf5(path: str) -> bool:
    """Whether a file is there, and has the signature of HDF5."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            places = [0, *(2**power for power in range(9, size.bit_length()))]
            return any(file.seek(place) == place and file.read(8) == _SIGNATURE for place in places)
    except OSError:
        return False


def open_file(path: str) -> Any:
    """An h5py.File, without a lock: others may have it open.

    Raises
    ------
    SourceError
        It is missing, cannot be read, or is no HDF5 file.
    """
    h5py = library("h5py", "hdf5", path)
    check_file(path)
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise SourceError(f"{path}: not a file that HDF5 can open ({error})") from None


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """An h5py.File, while its headers are read; whatever is raised of them is a SourceError."""
    try:
        with open_file(path) as file:
            yield file
    except SourceError:
        raise
    except Exception as error:  # h5py has no base for what it raises on damaged files.
        raise SourceError(f"{path}: the file is damaged ({error})") from error


def choose(path: str, named: str | None, arrays: dict[str, tuple[int, ...]]) -> str:
    """The name of an array: the one that a user names, or the only one longer than 1 in two ways.

    Raises
    ------
    SourceError
        There is no such array, or not one alone; with all names and shapes.
    """
    if named in arrays:
        return named
    if named is None:
        planes = {n: shape for n, shape in arrays.items() if sum(side > 1 for side in shape) > 1}
        arrays = planes or arrays
        if len(arrays) == 1:
            return next(iter(arrays))
    listed = [f"{name} of shape {shape}" for name, shape in arrays.items()]
    if len(listed) > _LISTED:
        listed[_LISTED:] = [f"{len(listed) - _LISTED} more"]
    there = ", ".join(listed) or "no array of numbers of 2 to 5 dimensions"
    if named is not None:
        raise SourceError(f"{path}: dataset is {named!r}, but the file holds {there}")
    raise SourceError(f"{path}: the file holds {there}" + "; name one by dataset" * bool(listed))


def check_filters(path: str, dataset: Any) -> None:
    """Raise a SourceError where voxels went through a filter that is not installed."""
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
    """The data type as NumPy's plain one; that of complex numbers for pairs of floats."""
    if dtype.names == ("real", "imag"):  # h5py knows those named r and i.
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
    """Names of the axes by the labels of dimensions, or by axistags; "" where they name others."""
    tags = dataset.attrs.get("axistags", "")
    labels = [dimension.label for dimension in dataset.dims]
    if not any(labels) and isinstance(tags, str | bytes):
        try:
            labels = [axis["key"] for axis in json.loads(tags)["axes"]]
        except (ValueError, KeyError, TypeError):
            return ""
    known = len(set(labels)) == len(labels) == dataset.ndim and set(labels) <= set(STORED_ORDER)
    return "".join(labels) if known else ""


def _size(dataset: Any) -> dict[str, Any]:
    """Voxel size and its unit, by element_size_um."""
    try:
        sizes = np.ravel(dataset.attrs.get("element_size_um", ())).astype(float)
    except (TypeError, ValueError):
        return {}
    if len(sizes) != 3 or not all(map(is_plausible, sizes)):
        return {}
    return {"voxel_size": tuple(sizes.tolist()), "space_unit": "micrometer"}


def check_links(path: str, group: Any, name: str, most: int = _MOST_LINKS) -> None:
    """Check the links to an object, before HDF5 follows them: it would open, and wait for, a pipe.

    Parameters
    ----------
    path
        The file that the group is in.
    group, name
        From where on, and the path of the object, which need not be there.
    most
        How many links may lead to it.

    Raises
    ------
    SourceError
        One leads to what is no file, or to no file of HDF5.
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
        if most == 0:
            raise SourceError(f"{path}: more than {_MOST_LINKS} links, or a circle, lead to {name}")
        target = links.get_val(part.encode())
        rest = "/".join(parts[number + 1 :])
        if kind == h5py.h5l.TYPE_SOFT:
            check_links(path, group, f"{target.decode()}/{rest}", most - 1)
        elif kind == h5py.h5l.TYPE_EXTERNAL:
            other, there = map(os.fsdecode, target)
            _check_external(path, other, f"/{there}/{rest}", most - 1)
        return


def _check_external(path: str, other: str, name: str, most: int) -> None:
    """Check a link to another file, which HDF5 looks for beside the first, and where it runs."""
    for place in (os.path.join(os.path.dirname(path), other), other):
        check_kind(place)
        if os.path.isfile(place):
            with opened(place) as file:
                check_links(place, file, name, most)
            return


def check_dataset(path: str, dataset: Any) -> tuple[Path, ...]:
    """The file, that of the dataset where it is linked to, and those of a virtual dataset.

    Raises
    ------
    SourceError
        One of them is missing or is no file; or the dataset leads to itself, which HDF5 follows
        until it crashes.
    """
    return tuple(dict.fromkeys((Path(path), *_files(path, dataset, {}))))


def _files(path: str, dataset: Any, seen: dict[tuple[str, str], bool]) -> Iterator[Path]:
    """The file of a dataset, and, where it is virtual, those of its sources, and of theirs.

    ``seen`` are datasets by the real paths of their files and their names: whether all that they
    lead to is known.
    """
    if dataset.external:
        raise SourceError(
            f"{path}: {dataset.name} lies in other files, such as {dataset.external[0][0]}: copy "
            "it into one by h5repack"
        )
    own = Path(dataset.file.filename)
    yield own
    this = (os.path.realpath(own), dataset.name)
    if this in seen or not dataset.is_virtual:
        return
    seen[this] = False
    if len(seen) - sum(seen.values()) > _MOST_LINKS:
        raise SourceError(f"{path}: more than {_MOST_LINKS} virtual datasets lie in each other")
    sources = dataset.virtual_sources()
    for source in dict.fromkeys((_source_file(own, part), part.dset_name) for part in sources):
        file, name = source
        check_kind(file)
        # HDF5 takes the voxels of a missing file for the fill value.
        if not file.is_file():
            raise SourceError(f"{path}: {dataset.name} lies in {file} also, which is missing")
        with opened(str(file)) as other:
            check_links(str(file), other, name)
            if name not in other:
                raise SourceError(
                    f"{path}: {dataset.name} lies in {name} of {file} also, which is missing"
                )
            found = other[name]
            if seen.get((os.path.realpath(found.file.filename), found.name)) is False:
                raise SourceError(
                    f"{path}: {dataset.name} is a virtual dataset that leads to itself, by {name} "
                    f"of {file}: it has no voxels"
                )
            yield from _files(path, found, seen)
    seen[this] = True


def _source_file(own: Path, source: Any) -> Path:
    """The file of a source of a virtual dataset, beside its own one."""
    return own if source.file_name == "." else own.parent / source.file_name


def _read_shape(dataset: Any) -> tuple[int, ...] | None:
    """Shape of a chunk; of a virtual dataset, that of its first source, along its last axes."""
    if not dataset.is_virtual:
        return dataset.chunks
    first = next(iter(dataset.virtual_sources()), None)
    if first is None:
        return None
    with opened(str(_source_file(Path(dataset.file.filename), first))) as file:
        chunks = file[first.dset_name].chunks
    return None if chunks is None else ((1,) * dataset.ndim + chunks)[-dataset.ndim :]
