"""Base classes of both drivers: arrays and groups in a directory, except for the voxels.

They read and write the JSON documents, so that both drivers write the same ones. A driver adds
reading and writing of regions of an array.
"""

from __future__ import annotations

import os
import shutil
from abc import abstractmethod
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, Unpack

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from neurozarr.drivers import indexing
from neurozarr.drivers.image import ImageGroup
from neurozarr.drivers.indexing import Index
from neurozarr.durable import start_sync
from neurozarr.regions import Region
from neurozarr.zarr import chunks, documents, metadata
from neurozarr.zarr.abc import ZarrArray, ZarrArrayConfig, ZarrNode
from neurozarr.zarr.config import ZarrConfig, given
from neurozarr.zarr.documents import Document, read_json, write_json
from neurozarr.zarr.layout import array_layout

ARRAY, GROUP = "array", "group"
#: Other names of fields of `ZarrConfig`, which linc-convert's drivers and zarr-python use.
_ALIASES = {"chunks": "chunk", "shards": "shard", "compressor_opt": "compressor_options"}


def node_type(path: str | os.PathLike[str]) -> tuple[str, Literal[2, 3]] | None:
    """Type of the node in a directory, "array" or "group", and its Zarr version; or None."""
    path = Path(path)
    if (path / "zarr.json").is_file():
        return read_json(path / "zarr.json")["node_type"], 3
    if (path / ".zarray").is_file():
        return ARRAY, 2
    if (path / ".zgroup").is_file():
        return GROUP, 2
    return None


def remove(path: str | os.PathLike[str]) -> None:
    """Delete a node with its contents, if it exists.

    Raises
    ------
    FileExistsError
        The path is a file, or a directory that is neither Zarr nor empty.
    """
    path = Path(path)
    if not path.exists():
        return
    if not path.is_dir() or (node_type(path) is None and any(path.iterdir())):
        raise FileExistsError(f"{path} exists and is not Zarr: move it or delete it")
    shutil.rmtree(path)


class Attributes(MutableMapping[str, Any]):
    """The attributes of a node; every change is written to disk at once."""

    def __init__(self, node: LocalNode) -> None:
        self._node = node
        self._file = node._path / (".zattrs" if node.zarr_version == 2 else "zarr.json")
        self._key = None if node.zarr_version == 2 else "attributes"

    def _document(self) -> Document:
        return read_json(self._file) if self._file.exists() else {}

    def _read(self) -> Document:
        document = self._document()
        return document if self._key is None else document.get(self._key, {})

    def _write(self, attributes: Document) -> None:
        self._node.check_writable()
        if self._key is None:
            write_json(self._file, attributes)
        else:
            write_json(self._file, self._document() | {self._key: attributes})

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._write(self._read() | {key: value})

    def __delitem__(self, key: str) -> None:
        attributes = self._read()
        del attributes[key]
        self._write(attributes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Change several attributes and write them once."""
        self._write(self._read() | dict(*args, **kwargs))


class LocalNode(ZarrNode):
    """A node in a directory."""

    _kind: ClassVar[str]

    def __init__(self, store_path: str | os.PathLike[str], *, read_only: bool = False) -> None:
        super().__init__(os.fspath(store_path))
        self._path = Path(store_path)
        self._read_only = read_only
        found = node_type(self._path)
        if found is None or found[0] != self._kind:
            raise FileNotFoundError(f"there is no Zarr {self._kind} at {self._path}")
        self._zarr_version = found[1]

    @property
    def attrs(self) -> Attributes:
        return Attributes(self)

    @property
    def zarr_version(self) -> Literal[2, 3]:
        return self._zarr_version

    def check_writable(self) -> None:
        """Raise a PermissionError if this node was opened with mode "r"."""
        if self._read_only:
            raise PermissionError(f"{self._path} was opened with mode 'r': it cannot be changed")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path}>"


class LocalArray(LocalNode, ZarrArray):
    """An array in a directory; a driver adds reading and writing of voxels."""

    _kind = ARRAY

    def __init__(
        self,
        store_path: str | os.PathLike[str],
        *,
        read_only: bool = False,
        threads: int | None = None,
    ) -> None:
        super().__init__(store_path, read_only=read_only)
        self._threads = threads

    @property
    def document(self) -> Document:
        """Current content of ``.zarray`` or ``zarr.json``."""
        return read_json(self._path / documents.FILES[self._zarr_version][0])

    @cached_property
    def _layout(self) -> Document:
        """The document when first read: later, only attributes and dimension names may change."""
        return self.document

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._layout["shape"])

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        return metadata.dtype_of(self._layout).newbyteorder("=")

    @cached_property
    def chunks(self) -> tuple[int, ...]:
        return chunks.inner_chunk_shape(self._layout) or chunks.write_chunk_shape(self._layout)

    @cached_property
    def shards(self) -> tuple[int, ...] | None:
        is_sharded = chunks.inner_chunk_shape(self._layout) is not None
        return chunks.write_chunk_shape(self._layout) if is_sharded else None

    @property
    def dimension_names(self) -> tuple[str | None, ...] | None:
        names = self.document.get("dimension_names")
        return None if names is None else tuple(names)

    @dimension_names.setter
    def dimension_names(self, names: Sequence[str]) -> None:
        self.check_writable()
        if self._zarr_version == 2:
            raise ValueError(f"{self._path} is Zarr v2, in which dimensions have no names")
        if self.dimension_names != tuple(names):
            document = self.document | {"dimension_names": list(names)}
            write_json(self._path / "zarr.json", document)

    def __getitem__(self, key: Any) -> np.ndarray:
        indices = indexing.normalized(key, self.shape)
        if not any(isinstance(index, np.ndarray) for index in indices):
            return self._read(indices)
        block, inner = indexing.block_of(indices)
        return self._read(block)[inner]

    def __setitem__(self, key: Any, value: ArrayLike) -> None:
        self.check_writable()
        indices = indexing.normalized(key, self.shape)
        voxels = np.asarray(value, self.dtype)
        if any(isinstance(index, np.ndarray) for index in indices):
            indices, inner = indexing.block_of(indices)
            block = np.empty(indexing.block_shape(indices), self.dtype)
            block[inner] = voxels
            voxels = block
        self._write(indices, voxels)

    @abstractmethod
    def _read(self, indices: tuple[Index, ...]) -> np.ndarray:
        """Read what `indexing.normalized` or `indexing.block_of` returns."""

    @abstractmethod
    def _write(self, indices: tuple[Index, ...], voxels: np.ndarray) -> None:
        """Write voxels, in the dtype of the array, there; all is written when this returns."""

    def store(self, region: Region, voxels: np.ndarray) -> None:
        self._encode(region, voxels)
        for key in chunks.chunk_keys(self._layout, region):
            start_sync(self._path / key)

    def _encode(self, region: Region, voxels: np.ndarray) -> None:
        """Write voxels that nobody changes afterwards, so that a driver need not copy them."""
        self[region] = voxels


class LocalGroup(LocalNode, ImageGroup):
    """A group in a directory; a driver sets the class of its arrays."""

    _kind = GROUP
    array_type: ClassVar[type[LocalArray]]

    def __init__(self, store_path: str | os.PathLike[str], *, read_only: bool = False) -> None:
        super().__init__(store_path, read_only=read_only)
        self._config = ZarrConfig(zarr_version=self._zarr_version)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        mode: Literal["r", "r+", "a", "w", "w-"] = "a",
        zarr_version: Literal[2, 3] | None = None,
    ) -> Self:
        """Open or create the group at a path; see `neurozarr.open_group`."""
        if mode not in ("r", "r+", "a", "w", "w-"):
            raise ValueError(f'mode is {mode!r}; allowed: "r", "r+", "a", "w", "w-"')
        if mode == "w":
            remove(path)
        found = node_type(path)
        if found is None and mode in ("a", "w", "w-"):
            for name, document in documents.group_documents(zarr_version or 3, {}).items():
                write_json(Path(path) / name, document)
        elif mode == "w-":
            raise FileExistsError(f"{path} exists already")
        group = cls(path, read_only=mode == "r")
        check_version(group, zarr_version)
        return group

    @classmethod
    def from_config(
        cls,
        out: str | os.PathLike[str] | ZarrConfig | None = None,
        zarr_config: ZarrConfig | None = None,
    ) -> Self:
        path, config = given(out, zarr_config)
        group = cls.open(path, "w" if config.overwrite else "a", config.zarr_version)
        group._config = config
        return group

    def keys(self) -> Iterator[str]:
        names = [child.name for child in self._path.iterdir() if node_type(child) is not None]
        return iter(sorted(names, key=lambda name: (not name.isdigit(), len(name), name)))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and node_type(self._child(key)) is not None

    def __getitem__(self, key: str) -> LocalArray | Self:
        found = node_type(self._child(key))
        if found is None:
            raise KeyError(f"{key!r} is not in {self._path}")
        kind = self.array_type if found[0] == ARRAY else type(self)
        return kind(self._child(key), read_only=self._read_only)

    def __setitem__(self, key: str, value: ZarrNode) -> None:
        self.check_writable()
        if not isinstance(value, ZarrNode):
            raise TypeError(f"{value!r} is not an array or group of a Zarr store")
        if value.zarr_version != self._zarr_version:
            raise ValueError(
                f"{value.store_path} is Zarr v{value.zarr_version}, but {self._path} is Zarr "
                f"v{self._zarr_version}; both must have the same version"
            )
        target = self._child(key)
        temporary = target.with_name(target.name + ".tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(value.store_path, temporary)
        remove(target)
        os.replace(temporary, target)

    def __delitem__(self, key: str) -> None:
        self.check_writable()
        if key not in self:
            raise KeyError(f"{key!r} is not in {self._path}")
        shutil.rmtree(self._child(key))

    def create_group(self, name: str, overwrite: bool = False) -> Self:
        self.check_writable()
        return self.open(self._child(name), "w" if overwrite else "a", self._zarr_version)

    def create_array(
        self,
        name: str,
        shape: Sequence[int],
        dtype: DTypeLike,
        *,
        zarr_config: ZarrConfig | None = None,
        data: ArrayLike | None = None,
        overwrite: bool | None = None,
        **kwargs: Unpack[ZarrArrayConfig],
    ) -> LocalArray:
        config = configure(zarr_config or self._config, kwargs)
        replaces = config.overwrite if overwrite is None else overwrite
        if config.zarr_version != self._zarr_version:
            raise ValueError(
                f"zarr_version is {config.zarr_version}, but {self._path} is Zarr "
                f"v{self._zarr_version}"
            )
        if name in self and not replaces:
            raise FileExistsError(f"{self._child(name)} exists already: set overwrite or delete it")
        chunk, shard = array_layout(shape, np.dtype(dtype), config)
        document = metadata.array_document(
            shape, np.dtype(dtype), chunks=chunk, shards=shard, config=config
        )
        return self._create(name, document, data)

    def create_array_from_base(
        self,
        name: str,
        shape: Sequence[int],
        data: ArrayLike | None = None,
        **kwargs: Unpack[ZarrArrayConfig],
    ) -> LocalArray:
        base = self["0"]
        if not isinstance(base, LocalArray):
            raise KeyError(f"'0' in {self._path} is a group, not an array")
        document = metadata.with_shape(base.document, shape)
        if kwargs:
            document = self._vary(document, kwargs)
        return self._create(name, document, data)

    @staticmethod
    def _vary(document: Document, kwargs: Any) -> Document:
        """The document of an array with some options changed."""
        options = metadata.options(document)
        if kwargs.get("compressor", options["compressor"]) != options["compressor"]:
            options["compressor_options"] = {}
        config = configure(ZarrConfig(**options), kwargs)
        dtype = metadata.dtype_of(document)
        chunk, shard = array_layout(document["shape"], dtype, config)
        return metadata.array_document(
            document["shape"],
            dtype,
            chunks=chunk,
            shards=shard,
            config=config,
            dimension_names=document.get("dimension_names"),
        )

    def _create(self, name: str, document: Document, data: ArrayLike | None = None) -> LocalArray:
        self.check_writable()
        # Read before the array is replaced, from which they may come.
        voxels = None if data is None else np.asarray(data, metadata.dtype_of(document))
        if voxels is not None and voxels.shape != tuple(document["shape"]):
            raise ValueError(
                f"data has shape {voxels.shape}, but the array {name!r} has shape "
                f"{tuple(document['shape'])}"
            )
        remove(self._child(name))
        write_json(self._child(name) / documents.FILES[self._zarr_version][0], document)
        array = self.array_type(self._child(name))
        if voxels is not None:
            array[...] = voxels
        return array

    def _child(self, name: str) -> Path:
        if not name or name.startswith(("/", ".")) or ".." in name.split("/"):
            raise KeyError(f"{name!r} is not an allowed name of an array or a group")
        return self._path / name


def configure(config: ZarrConfig, options: Any) -> ZarrConfig:
    """A configuration with some fields of `ZarrArrayConfig` changed; TypeError for others."""
    for alias, name in _ALIASES.items():
        if alias in options:
            if name in options:
                raise TypeError(f"{alias} and {name} are one option: give one of them")
            options = {name: options[alias]} | {k: v for k, v in options.items() if k != alias}
    known = ZarrArrayConfig.__annotations__.keys() & {field.name for field in fields(ZarrConfig)}
    if unknown := options.keys() - known:
        raise TypeError(
            f"unknown option {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}"
        )
    if options.get("compressor", config.compressor) != config.compressor:
        options = {"compressor_options": {}} | options
    return replace(config, **options)


def check_version(node: ZarrNode, zarr_version: int | None) -> None:
    """Raise a ValueError if a node does not have the given Zarr version (None: any)."""
    if zarr_version not in (None, node.zarr_version):
        raise ValueError(
            f"zarr_version is {zarr_version}, but {node.store_path} is Zarr v{node.zarr_version}"
        )
