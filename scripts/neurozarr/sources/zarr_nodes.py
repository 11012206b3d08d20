"""The nodes of a Zarr or N5 store, in a directory or at an address."""

from __future__ import annotations

import importlib
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import numpy as np

from neurozarr.chunks import Region
from neurozarr.documents import Document
from neurozarr.errors import SourceError, reason
from neurozarr.sources.base import library
from neurozarr.sources.paths import is_address

#: Names of the files that make a directory an array or a group.
DOCUMENTS = ("zarr.json", ".zarray", ".zgroup", "attributes.json")

_DRIVERS = {2: "zarr", 3: "zarr3", "n5": "n5"}
#: Every voxel is read once; a server that does not answer is asked again for some seconds.
_CONTEXT = {
    "cache_pool": {"total_bytes_limit": 0},
    "http_request_retries": {"max_retries": 5, "initial_delay": "250ms", "max_delay": "8s"},
}
#: What a server without a listing answers, where nothing is: as S3 does.
_DENIED = ("PERMISSION_DENIED", "UNAUTHENTICATED")


@dataclass(frozen=True, kw_only=True)
class Node:
    """An array or a group.

    Attributes
    ----------
    path
        Where in the store it is; "" for the store itself.
    version
        Version of Zarr, or "n5".
    is_array
        Whether it is an array.
    document, attributes
        What describes it, and its attributes; the same in N5.
    files
        Names of the files that these are in.
    """

    path: str
    version: Literal[2, 3, "n5"]
    is_array: bool
    document: Document
    attributes: Document
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Array:
    """An array that is read by regions, in C order.

    Attributes
    ----------
    shape, dtype
        Its own.
    chunks
        Shape of what is decoded together: of the chunks in a shard, where there are shards.
    read
        Returns a region.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    read: Callable[[Region], np.ndarray]


class Store:
    """A directory, or an address, with all that is below it."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") or "/"
        self.is_address = is_address(root)
        self.node = cache(self._node)
        #: What the server said that would not give a document.
        self.denied = ""

    def address(self, path: str) -> str:
        """The whole path, or address, of what is in the store."""
        return join(self.root, path)

    @cached_property
    def is_n5(self) -> bool:
        """Whether it is N5, in which a group need not have a document."""
        found = next((name for name in DOCUMENTS if self._read("", name) is not None), None)
        return found == "attributes.json" or (found is None and self.root.lower().endswith(".n5"))

    def outer(self) -> tuple[Store, str] | None:
        """What the store itself is in, and its name there."""
        if not self.is_address:
            outer, name = os.path.split(os.path.abspath(self.root))
            return (Store(outer), name) if name else None
        outer, _, name = self.root.rpartition("/")
        return None if outer.endswith("/") else (Store(outer), name)

    def _node(self, path: str) -> Node | None:
        """The array or the group at a path; None where there is none.

        Raises
        ------
        SourceError
            It cannot be read, or is no JSON.
        """
        if (document := self._read(path, "zarr.json")) is not None:
            return Node(
                path=path,
                version=3,
                is_array=document["node_type"] == "array",
                document=document,
                attributes=document.get("attributes") or {},
                files=("zarr.json",),
            )
        for name in (".zarray", ".zgroup"):
            if (document := self._read(path, name)) is not None:
                attributes = self._read(path, ".zattrs")
                return Node(
                    path=path,
                    version=2,
                    is_array=name == ".zarray",
                    document=document,
                    attributes=attributes or {},
                    files=(name,) if attributes is None else (name, ".zattrs"),
                )
        document = self._read(path, "attributes.json")
        if document is None and not (self.is_n5 and self._may_be(path)):
            return None
        return Node(
            path=path,
            version="n5",
            is_array={"dimensions", "dataType"} <= (document or {}).keys(),
            document=document or {},
            attributes=document or {},
            files=() if document is None else ("attributes.json",),
        )

    def names(self, node: Node) -> list[str]:
        """Names in a group that may be arrays or groups; of an address, those consolidated.

        Raises
        ------
        SourceError
            They cannot be listed.
        """
        if not self.is_address:
            try:
                entries = list(os.scandir(self.address(node.path)))
            except OSError as error:
                raise SourceError(
                    f"{self.address(node.path)}: the group cannot be listed ({error.strerror})"
                ) from None
            return sorted(entry.name for entry in entries if entry.is_dir())
        if node.version == 3:
            listed = node.document.get("consolidated_metadata") or {}
        else:
            listed = self._read(node.path, ".zmetadata") or {}
        paths = (path.split("/") for path in listed.get("metadata", {}))
        return sorted({first for first, *rest in paths if rest or node.version == 3})

    def open(self, node: Node) -> Array:
        """Open an array: by TensorStore or, where it has no such codec or data type, zarr-python.

        Raises
        ------
        SourceError
            Neither can.
        """
        tensorstore = importlib.import_module("tensorstore")
        spec = {
            "driver": _DRIVERS[node.version],
            "kvstore": self._kvstore(f"{node.path}/" if node.path else ""),
            "context": _CONTEXT,
        }
        try:
            array = tensorstore.open(spec, open=True, read=True).result()
        except ValueError as error:
            if node.version == "n5":
                raise SourceError(
                    f"{self.address(node.path)}: the array cannot be opened ({reason(error)})"
                ) from None
            return self._by_zarr_python(node, reason(error))
        # The first axis of N5 is the fastest.
        array = array.T if node.version == "n5" else array

        def read(region: Region) -> np.ndarray:
            try:
                return array[region].read().result()
            except ValueError as error:
                raise ValueError(reason(error)) from None

        chunks = array.chunk_layout.read_chunk.shape
        return Array(shape=array.shape, dtype=array.dtype.numpy_dtype, chunks=chunks, read=read)

    def _by_zarr_python(self, node: Node, why: str) -> Array:
        """An array that TensorStore cannot open, and why."""
        store: Any = self.address(node.path)
        zarr = importlib.import_module("zarr")
        if self.is_address:
            for name in ("fsspec", "aiohttp"):
                library(name, "http", store)
            store = zarr.storage.FsspecStore.from_url(store, read_only=True)
        try:
            with warnings.catch_warnings():
                # Of codecs and data types that Zarr v3 has no specification of.
                warnings.simplefilter("ignore")
                array = zarr.open_array(store, mode="r", zarr_format=node.version)
        except Exception as error:  # Each codec has its own.
            raise SourceError(
                f"{self.address(node.path)}: the array cannot be opened by TensorStore ({why}), "
                f"nor by zarr-python ({error})"
            ) from None
        return Array(
            shape=array.shape, dtype=array.dtype, chunks=array.chunks, read=array.__getitem__
        )

    def _kvstore(self, path: str) -> Document:
        if self.is_address:
            url = urlsplit(self.root)
            base = f"{url.scheme}://{url.netloc}"
            # TensorStore quotes the path.
            return {"driver": "http", "base_url": base, "path": f"{unquote(url.path)}/{path}"}
        return {"driver": "file", "path": f"{self.root.rstrip('/')}/{path}"}

    @cached_property
    def _documents(self) -> Any:
        kvstore = importlib.import_module("tensorstore").KvStore
        return kvstore.open(self._kvstore("") | {"context": _CONTEXT}).result()

    def _read(self, path: str, name: str) -> Document | None:
        """A document; None where there is none."""
        where = self.address(join(path, name))
        try:
            found = self._documents.read(join(path, name)).result()
        except ValueError as error:
            if self.is_address and str(error).startswith(_DENIED):
                self.denied = f" ({reason(error)})"
                return None
            raise SourceError(f"{where}: it cannot be read ({reason(error)})") from None
        if found.state == "missing":
            return None
        try:
            document = json.loads(found.value)
        except ValueError as error:
            raise SourceError(f"{where}: damaged: no JSON ({error})") from None
        if not isinstance(document, dict):
            raise SourceError(f"{where}: damaged: no JSON object")
        return document

    def _may_be(self, path: str) -> bool:
        """Whether there may be a group without a document."""
        return self.is_address or Path(self.address(path)).is_dir()


def is_below(path: str) -> bool:
    """Whether a path leads to what is below a group: no name in it is "", . or .. ."""
    return not {"", ".", ".."} & set(path.split("/"))


def join(*parts: str) -> str:
    """Parts of a path in a store, some of them "", as one."""
    return "/".join(part for part in parts if part)
