"""Shapes, names and grid positions of the chunks and write chunks of an array.

All functions take the array's document: the content of its ``.zarray`` or ``zarr.json``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from neurozarr.regions import Region, grid
from neurozarr.zarr.documents import Document


def write_chunk_shape(document: Document) -> tuple[int, ...]:
    """Shape of a write chunk, in voxels: a shard, or a chunk if there are no shards."""
    if document["zarr_format"] == 2:
        return tuple(document["chunks"])
    return tuple(document["chunk_grid"]["configuration"]["chunk_shape"])


def inner_chunk_shape(document: Document) -> tuple[int, ...] | None:
    """Shape of the chunks in a shard, in voxels; None if there are no shards."""
    for codec in document.get("codecs", ()):
        if codec["name"] == "sharding_indexed":
            return tuple(codec["configuration"]["chunk_shape"])
    return None


def write_chunk_grid(document: Document) -> tuple[int, ...]:
    """Number of write chunks along each axis of the array."""
    return grid(document["shape"], write_chunk_shape(document))


def chunk_key(document: Document, index: Sequence[int]) -> str:
    """Name of the file of a write chunk, from its index in the grid of write chunks.

    Follows Zarr v3, "Chunk key encoding", and Zarr v2, "Chunks".
    """
    prefix, separator = _key_encoding(document)
    return prefix + separator.join(str(i) for i in index)


def chunk_index(document: Document, key: str) -> tuple[int, ...] | None:
    """Index of a write chunk, from the name of its file; None if it is not one of the array."""
    prefix, separator = _key_encoding(document)
    parts = key.removeprefix(prefix).split(separator)
    counts = write_chunk_grid(document)
    if not key.startswith(prefix) or len(parts) != len(counts):
        return None
    index = tuple(int(part) if part.isdecimal() else -1 for part in parts)
    inside = all(0 <= i < count for i, count in zip(index, counts, strict=True))
    return index if inside and chunk_key(document, index) == key else None


def _key_encoding(document: Document) -> tuple[str, str]:
    """Prefix of the names of chunk files, and separator of their indices."""
    if document["zarr_format"] == 2:
        return "", document.get("dimension_separator", ".")
    encoding = document["chunk_key_encoding"]
    is_v2 = encoding["name"] == "v2"
    separator = encoding.get("configuration", {}).get("separator", "." if is_v2 else "/")
    return "" if is_v2 else f"c{separator}", separator


def chunk_keys(document: Document, region: Region) -> Iterator[str]:
    """Names of the files of a region, which consists of whole write chunks."""
    sides = [
        range(side.start // size, -(-side.stop // size))
        for side, size in zip(region, write_chunk_shape(document), strict=True)
    ]
    return (chunk_key(document, index) for index in itertools.product(*sides))
