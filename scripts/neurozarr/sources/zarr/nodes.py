"""Nodes (groups and arrays) of Zarr and N5 stores, in directories and at URLs."""

from __future__ import annotations

import importlib
import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import numpy as np

from neurozarr.errors import SourceError, reason
from neurozarr.files import check_kind, tensorstore_file
from neurozarr.regions import Region
from neurozarr.sources.extras import library
from neurozarr.sources.library_warnings import caught_warnings
from neurozarr.sources.paths import is_address
from neurozarr.sources.zarr import addresses
from neurozarr.sources.zarr.addresses import (
    MAX_BYTES,
    RETRIES,
    DeniedError,
    fetch,
    limit_tensorstore,
)
from neurozarr.zarr.chunks import chunk_keys
from neurozarr.zarr.documents import Document

#: Names of the files that mark a directory as an array or a group.
DOCUMENTS = ("zarr.json", ".zarray", ".zgroup", "attributes.json")

_DRIVERS = {2: "zarr", 3: "zarr3", "n5": "n5"}
#: What describes the voxels of an N5 array (N5 2.0 specification).
_N5_KEYS = ("dimensions", "blockSize", "dataType", "compression")
#: No cache, as every voxel is read once.
_CONTEXT = {"cache_pool": {"total_bytes_limit": 0}, "http_request_retries": RETRIES}


@dataclass(frozen=True, kw_only=True)
class Node:
    """An array or a group.

    Attributes
    ----------
    path
        Path in the store; "" for the root.
    version
        Zarr format, or "n5".
    is_array
        Whether it is an array.
    document, attributes
        Metadata document and attributes; in N5, these are the same.
    files
        Names of the files that these are read from.
    """

    path: str
    version: Literal[2, 3, "n5"]
    is_array: bool
    document: Document
    attributes: Document
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Array:
    """An open array, with axes in C order.

    Attributes
    ----------
    shape, dtype
        Shape, in voxels, and data type of the array.
    chunks
        Shape of a chunk, not of a shard, in voxels.
    read
        Reads a region.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    read: Callable[[Region], np.ndarray]


class Store:
    """A directory or URL with a node, and all nodes below it."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") or "/"
        self.is_address = is_address(root)
        self.node = cache(self._node)
        #: The server's answer when it last denied a document, for errors.
        self.denied = ""

    def address(self, path: str) -> str:
        """The file system path or URL of a path in the store."""
        return join(self.root, path)

    @cached_property
    def is_n5(self) -> bool:
        """Whether the store is N5, in which groups need no document."""
        found = next((name for name in DOCUMENTS if self._read("", name) is not None), None)
        return found == "attributes.json" or (found is None and self.root.lower().endswith(".n5"))

    def outer(self) -> tuple[Store, str] | None:
        """The directory or URL that contains the store, and the store's name in it."""
        if not self.is_address:
            outer, name = os.path.split(os.path.abspath(self.root))
            return (Store(outer), name) if name else None
        outer, _, name = self.root.rpartition("/")
        return None if outer.endswith("/") else (Store(outer), name)

    def _node(self, path: str) -> Node | None:
        """The array or group at a path; None if there is none.

        Raises
        ------
        SourceError
            Its document cannot be read, or is not a JSON object.
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
        if document is None and not (self.is_n5 and self._may_exist(path)):
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
        """Names of possible members of a group; at a URL, of those in its consolidated metadata.

        Raises
        ------
        SourceError
            The group cannot be listed.
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
            consolidated = node.document.get("consolidated_metadata") or {}
        else:
            consolidated = self._read(node.path, ".zmetadata") or {}
        paths = (path.split("/") for path in consolidated.get("metadata", {}))
        return sorted({first for first, *rest in paths if rest or node.version == 3})

    def open(self, node: Node) -> Array:
        """Open an array by TensorStore or, if that lacks the codec or data type, by zarr-python.

        Raises
        ------
        SourceError
            Neither can open it.
        """
        tensorstore = importlib.import_module("tensorstore")
        spec = {
            "driver": _DRIVERS[node.version],
            "kvstore": self._kvstore(node.path),
            "context": _CONTEXT,
        }
        if node.version == "n5":
            # TensorStore would refuse names and units of axes in other forms than its own.
            spec["metadata"] = {key: node.document[key] for key in _N5_KEYS}
        limit_tensorstore()
        timeout = addresses.TIMEOUT if self.is_address else None
        try:
            opened = tensorstore.open(
                spec, open=True, read=True, assume_metadata=node.version == "n5"
            )
            array = opened.result(timeout)
        except TimeoutError:
            raise SourceError(
                f"{self.address(node.path)}: the server does not answer within {timeout:g} s"
            ) from None
        except ValueError as error:
            if node.version == "n5":
                raise SourceError(
                    f"{self.address(node.path)}: the array cannot be opened ({reason(error)})"
                ) from None
            return self._by_zarr_python(node, reason(error))
        # In N5, the first axis is the fastest.
        array = array.T if node.version == "n5" else array

        def read(region: Region) -> np.ndarray:
            self._check_chunks(node, region)
            try:
                return array[region].read().result()
            except ValueError as error:
                raise ValueError(reason(error)) from None

        chunks = array.chunk_layout.read_chunk.shape
        return Array(shape=array.shape, dtype=array.dtype.numpy_dtype, chunks=chunks, read=read)

    def _by_zarr_python(self, node: Node, why: str) -> Array:
        """Open an array by zarr-python; ``why`` says why TensorStore cannot."""
        store: Any = self.address(node.path)
        zarr = importlib.import_module("zarr")
        if self.is_address:
            for name in ("fsspec", "aiohttp"):
                library(name, "http", store)
            timeout = importlib.import_module("aiohttp").ClientTimeout(
                total=None, sock_connect=addresses.TIMEOUT, sock_read=addresses.TIMEOUT
            )
            options = {"client_kwargs": {"timeout": timeout}}
            store = zarr.storage.FsspecStore.from_url(
                store, storage_options=options, read_only=True
            )
        try:
            # It warns about codecs and data types that are not in the Zarr v3 specification.
            with caught_warnings("ignore"):
                array = zarr.open_array(store, mode="r", zarr_format=node.version)
        except Exception as error:  # Codecs have no common base class of errors.
            raise SourceError(
                f"{self.address(node.path)}: the array cannot be opened by TensorStore ({why}), "
                f"nor by zarr-python ({error})"
            ) from None

        def read(region: Region) -> np.ndarray:
            self._check_chunks(node, region)
            return np.asarray(array[region])

        return Array(shape=array.shape, dtype=array.dtype, chunks=array.chunks, read=read)

    def _check_chunks(self, node: Node, region: Region) -> None:
        """Raise a SourceError if a chunk of a region is not a file: reading a pipe would hang."""
        if not self.is_address:
            for name in chunk_files(node, region):
                check_kind(self.address(join(node.path, name)))

    def _kvstore(self, path: str) -> Document:
        if self.is_address:
            url = urlsplit(self.root)
            base = f"{url.scheme}://{url.netloc}"
            below = f"{path}/" if path else ""
            # TensorStore quotes the path.
            return {"driver": "http", "base_url": base, "path": f"{unquote(url.path)}/{below}"}
        return tensorstore_file(self.address(path))

    def content(self, path: str) -> bytes | None:
        """The content of a file in the store that is not a chunk; None if there is none.

        Raises
        ------
        SourceError
            It cannot be read, or is larger than `MAX_BYTES`.
        """
        try:
            return fetch(self.root, path) if self.is_address else _content(self.address(path))
        except DeniedError as error:
            self.denied = f" ({error})"
            return None

    def _read(self, path: str, name: str) -> Document | None:
        """Read a document of a node; None if there is none."""
        file = self.address(join(path, name))
        content = self.content(join(path, name))
        if content is None:
            return None
        try:
            document = json.loads(content)
        except ValueError as error:
            raise SourceError(f"{file}: damaged: not JSON ({error})") from None
        except RecursionError:
            raise SourceError(f"{file}: damaged: JSON nested too deep") from None
        if not isinstance(document, dict):
            raise SourceError(f"{file}: damaged: not a JSON object")
        return document

    def _may_exist(self, path: str) -> bool:
        """Whether there may be an N5 group without a document at a path."""
        return self.is_address or Path(self.address(path)).is_dir()


def is_below(path: str) -> bool:
    """Whether a path stays below a group: no name in it is "", "." or ".."."""
    return not {"", ".", ".."} & set(path.split("/"))


def join(*parts: str) -> str:
    """Join parts of a path in a store; empty parts are ignored."""
    return "/".join(part for part in parts if part)


def _content(path: str) -> bytes | None:
    """Read the file of a document; None if it does not exist."""
    check_kind(path)
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SourceError(f"{path}: it cannot be read ({error.strerror})") from None
    if len(content) > MAX_BYTES:
        raise SourceError(f"{path}: damaged: a document of more than {MAX_BYTES} bytes")
    return content


def chunk_files(node: Node, region: Region) -> Iterator[str]:
    """Paths of the chunks (or shards) of a region in C order, whether they exist or not."""
    document = node.document
    if node.version == "n5":
        sides = [
            range(side.start // size, -(-side.stop // size))
            for side, size in zip(region[::-1], document["blockSize"], strict=True)
        ]
        yield from ("/".join(map(str, index)) for index in itertools.product(*sides))
    elif node.version == 2 or document["chunk_grid"]["name"] == "regular":
        yield from chunk_keys(document, region)
