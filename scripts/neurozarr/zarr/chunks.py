"""Names of the chunk files of an array, and their places in its grid, by its document."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from neurozarr.regions import Region, grid
from neurozarr.zarr.documents import Document


def file_shape(document: Document) -> tuple[int, ...]:
    """Shape of what is one file: a shard, or a chunk where there are no shards."""
    if document["zarr_format"] == 2:
        return tuple(document["chunks"])
    return tuple(document["chunk_grid"]["configuration"]["chunk_shape"])


def file_grid(document: Document) -> tuple[int, ...]:
    """How many files there are along each axis of a whole array."""
    return grid(document["shape"], file_shape(document))


def chunk_key(document: Document, index: Sequence[int]) -> str:
    """Name of a file of an array, by its place in the grid of them.

    Zarr v3, "Chunk key encoding"; Zarr v2, "Chunks".
    """
    prefix, separator = _key_encoding(document)
    return prefix + separator.join(str(i) for i in index)


def chunk_index(document: Document, key: str) -> tuple[int, ...] | None:
    """Place in the grid of a file, by its name; None where it is no file of the array."""
    prefix, separator = _key_encoding(document)
    parts = key.removeprefix(prefix).split(separator)
    counts = file_grid(document)
    if not key.startswith(prefix) or len(parts) != len(counts):
        return None
    index = tuple(int(part) if part.isdecimal() else -1 for part in parts)
    inside = all(0 <= i < count for i, count in zip(index, counts, strict=True))
    return index if inside and chunk_key(document, index) == key else None


def _key_encoding(document: Document) -> tuple[str, str]:
    """What the names of chunk files start with, and what separates their indices."""
    if document["zarr_format"] == 2:
        return "", document.get("dimension_separator", ".")
    encoding = document["chunk_key_encoding"]
    is_old = encoding["name"] == "v2"
    separator = encoding.get("configuration", {}).get("separator", "." if is_old else "/")
    return "" if is_old else f"c{separator}", separator


def chunk_keys(document: Document, region: Region) -> Iterator[str]:
    """Names of the files under a region, which is whole files."""
    sides = [
        range(side.start // size, -(-side.stop // size))
        for side, size in zip(region, file_shape(document), strict=True)
    ]
    return (chunk_key(document, index) for index in itertools.product(*sides))
