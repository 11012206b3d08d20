"""The nodes of a Zarr or N5 store, in a directory or at an address."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import warnings
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
from neurozarr.sources.base import library
from neurozarr.sources.paths import is_address
from neurozarr.sources.zarr import addresses
from neurozarr.sources.zarr.addresses import (
    MOST_BYTES,
    RETRIES,
    DeniedError,
    fetch,
    limit_tensorstore,
)
from neurozarr.zarr.chunks import chunk_keys
from neurozarr.zarr.documents import Document

#: Names of the files that make a directory an array or a group.
DOCUMENTS = ("zarr.json", ".zarray", ".zgroup", "attributes.json")

_DRIVERS = {2: "zarr", 3: "zarr3", "n5": "n5"}
#: Every voxel is read once.
_CONTEXT = {"cache_pool": {"total_bytes_limit": 0}, "http_request_retries": RETRIES}


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
            "kvstore": self._kvstore(node.path),
            "context": _CONTEXT,
        }
        limit_tensorstore()
        timeout = addresses.TIMEOUT if self.is_address else None
        try:
            array = tensorstore.open(spec, open=True, read=True).result(timeout)
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
        # The first axis of N5 is the fastest.
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
        """An array that TensorStore cannot open, and why."""
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
            with warnings.catch_warnings():
                # Of codecs and data types that Zarr v3 has no specification of.
                warnings.simplefilter("ignore")
                array = zarr.open_array(store, mode="r", zarr_format=node.version)
        except Exception as error:  # Each codec has its own.
            raise SourceError(
                f"{self.address(node.path)}: the array cannot be opened by TensorStore ({why}), "
                f"nor by zarr-python ({error})"
            ) from None

        def read(region: Region) -> np.ndarray:
            self._check_chunks(node, region)
            return np.asarray(array[region])

        return Array(shape=array.shape, dtype=array.dtype, chunks=array.chunks, read=read)

    def _check_chunks(self, node: Node, region: Region) -> None:
        """Raise a SourceError where a chunk under a region is no file, before it is waited for."""
        if not self.is_address:
            for name in _chunk_files(node, region):
                check_kind(self.address(join(node.path, name)))

    def _kvstore(self, path: str) -> Document:
        if self.is_address:
            url = urlsplit(self.root)
            base = f"{url.scheme}://{url.netloc}"
            below = f"{path}/" if path else ""
            # TensorStore quotes the path.
            return {"driver": "http", "base_url": base, "path": f"{unquote(url.path)}/{below}"}
        return tensorstore_file(self.address(path))

    def _read(self, path: str, name: str) -> Document | None:
        """A document; None where there is none."""
        where = self.address(join(path, name))
        try:
            content = fetch(self.root, join(path, name)) if self.is_address else _content(where)
        except DeniedError as error:
            self.denied = f" ({error})"
            return None
        if content is None:
            return None
        try:
            document = json.loads(content)
        except ValueError as error:
            raise SourceError(f"{where}: damaged: no JSON ({error})") from None
        except RecursionError:
            raise SourceError(f"{where}: damaged: JSON that is nested too deep") from None
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


def _content(path: str) -> bytes | None:
    """All of a file that is a document; None where there is none."""
    check_kind(path)
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SourceError(f"{path}: it cannot be read ({error.strerror})") from None
    if len(content) > MOST_BYTES:
        raise SourceError(f"{path}: damaged: more than {MOST_BYTES} bytes, which no document has")
    return content


def _chunk_files(node: Node, region: Region) -> Iterator[str]:
    """Names of the files of an array that a region, in C order, lies in, there or not."""
    document = node.document
    if node.version == "n5":
        sides = [
            range(side.start // size, -(-side.stop // size))
            for side, size in zip(region[::-1], document["blockSize"], strict=True)
        ]
        yield from ("/".join(map(str, index)) for index in itertools.product(*sides))
    elif node.version == 2 or document["chunk_grid"]["name"] == "regular":
        yield from chunk_keys(document, region)
