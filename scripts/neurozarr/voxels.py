"""Streaming voxels from a source, or from one level to the next, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import xxhash

from neurozarr import pyramid
from neurozarr.chunks import Region, grid
from neurozarr.errors import StoreError, reason
from neurozarr.plan import (
    piece,
    regions,
    regions_in_order,
    regions_of_grid,
    sub_block,
    sub_block_below,
    whole,
)

if TYPE_CHECKING:
    from neurozarr.abc import ZarrArray
    from neurozarr.sources import Source

#: A number that changes when, and only when, level 0 of a source gets other voxels than before.
COPY_VERSION = 1

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Summary:
    """What is known of voxels after they were written.

    Attributes
    ----------
    checksum
        Of all voxels: see `checksum`.
    minimum, maximum, total, count
        Of the finite voxels; all but the count are None where there are none, and for complex
        numbers, and the total where it is too large for a float.
    """

    checksum: int
    minimum: float | None
    maximum: float | None
    total: float | None
    count: int


def checksum(voxels: np.ndarray, part: Region, unit: Sequence[int], shape: Sequence[int]) -> int:
    """The checksum of voxels of an array, however they are divided into parts and summed up.

    That of every file's voxels, in C order, is their XXH3, seeded with the number of the file in
    the array; they are added up, modulo 2**64.

    Parameters
    ----------
    voxels
        Voxels in whole files, contiguous in C order.
    part
        Where in the array they are.
    unit, shape
        Shapes of what is one file, and of the array.
    """
    counts = grid(shape, unit)
    total = 0
    for inner in regions(whole(voxels.shape), unit):
        index = [
            (side.start + place.start) // size
            for side, place, size in zip(inner, part, unit, strict=True)
        ]
        number = int(np.ravel_multi_index(index, counts))
        total += xxhash.xxh3_64_intdigest(np.ascontiguousarray(voxels[inner]).data, seed=number)
    return total % 2**64


def summarize(voxels: np.ndarray, checksum: int) -> Summary:
    """The summary of some voxels, contiguous in C order, of a known checksum."""
    if voxels.dtype.kind in "fc":
        with np.errstate(all="ignore"):
            if not np.isfinite(voxels.sum(dtype=np.result_type(voxels, np.float64))):
                voxels = voxels[np.isfinite(voxels)]
    if voxels.dtype.kind == "c" or voxels.size == 0:
        return Summary(checksum, None, None, None, voxels.size)
    return Summary(checksum, voxels.min().item(), voxels.max().item(), _total(voxels), voxels.size)


def _total(voxels: np.ndarray) -> float:
    """The sum of finite voxels; exact for integers."""
    kind, itemsize = voxels.dtype.kind, voxels.dtype.itemsize
    if kind == "f":
        with np.errstate(over="ignore"):
            return float(voxels.sum(dtype=np.float64))
    if itemsize < 8:
        return int(voxels.sum(dtype=np.int64))
    low = int((voxels & 0xFFFFFFFF).sum(dtype=np.uint64))
    return (int((voxels >> 32).sum(dtype=voxels.dtype)) << 32) + low


def merge(summaries: Iterable[Summary]) -> Summary:
    """The summary of all sub-blocks together, in whatever order they come."""
    parts = list(summaries)
    totals = [part.total for part in parts if part.total is not None]
    exact = all(isinstance(total, int) for total in totals)
    total = sum(totals) if exact else float(np.sum(sorted(totals)))
    return Summary(
        checksum=sum(part.checksum for part in parts) % 2**64,
        minimum=min((part.minimum for part in parts if part.minimum is not None), default=None),
        maximum=max((part.maximum for part in parts if part.maximum is not None), default=None),
        total=total if totals and math.isfinite(total) else None,
        count=sum(part.count for part in parts),
    )


def write_base(
    source: Source,
    array: ZarrArray,
    *,
    region: Region | None = None,
    slab: Sequence[int] | None = None,
    threads: int = 1,
) -> Summary:
    """Copy voxels of a source into level 0.

    Parameters
    ----------
    source
        Where to read; its axes are those of the array.
    array
        Level 0, of the source's shape.
    region
        What to copy, in whole shards (chunks where there are none); None for all.
    slab
        Shape of what is read at once, in whole shards or chunks, while the last one is encoded;
        None where each thread reads what it encodes.
    threads
        How many sub-blocks are read and encoded at once; one more waits for its file, or to be
        encoded. As many more read a slab; one alone, of a source that can only be read in order.

    Returns
    -------
    Summary
        Of what was copied.
    """
    return _each_part(source, array, partial(_store, array), region, slab, threads)


def read_base(
    source: Source,
    array: ZarrArray,
    *,
    region: Region | None = None,
    slab: Sequence[int] | None = None,
    threads: int = 1,
) -> Summary:
    """Read what `write_base` would copy, and write nothing: its summary tells a changed source.

    Parameters and result are those of `write_base`.
    """
    return _each_part(source, array, lambda part, voxels: None, region, slab, threads)


def _each_part(
    source: Source,
    array: ZarrArray,
    use: Callable[[Region, np.ndarray], None],
    region: Region | None,
    slab: Sequence[int] | None,
    threads: int,
) -> Summary:
    """Use the voxels of a region of a source, as level 0 has them, part by part."""
    region = region or whole(array.shape)
    unit = array.shards or array.chunks
    box = sub_block(array.chunks, unit, array.dtype)

    def parts() -> Iterator[tuple[Region, np.ndarray | None]]:
        if slab is None:
            yield from ((part, None) for part in regions(region, box))
            return
        slabs = regions_in_order(region, slab, source.axes, source.file_axes)
        for outer, voxels in one_ahead(partial(read_slab, source, threads=threads), slabs):
            for part in regions(whole(voxels.shape), (*unit[:-2], *box[-2:])):
                yield _shift(part, outer), voxels[part]

    def summary_of(item: tuple[Region, np.ndarray | None]) -> Summary:
        part, voxels = item
        voxels = np.ascontiguousarray(source.read(part) if voxels is None else voxels, array.dtype)
        use(part, voxels)
        return summarize(voxels, checksum(voxels, part, unit, array.shape))

    return merge(for_each(summary_of, parts(), threads=threads + 1))


def read_slab(source: Source, region: Region, *, threads: int) -> np.ndarray:
    """Read a region, by several threads where the source is not read in order.

    Each of them reads a box of what can only be read together, so that nothing is read twice.
    """
    if source.in_order or source.read_shape is None:
        return source.read(region)
    voxels = np.empty([side.stop - side.start for side in region], source.dtype)

    def read(part: Region) -> None:
        inner = tuple(
            slice(side.start - outer.start, side.stop - outer.start)
            for side, outer in zip(part, region, strict=True)
        )
        voxels[inner] = source.read(part)

    box = piece(source.shape, source.read_shape, source.dtype)
    for_each(read, regions_of_grid(region, box), threads=threads)
    return voxels


def write_level(
    parent: ZarrArray,
    child: ZarrArray,
    *,
    region: Region | None = None,
    mode: pyramid.Mode = "mean",
    threads: int = 1,
) -> Summary:
    """Write voxels of a level from those of the last one.

    Parameters
    ----------
    parent, child
        Two successive levels.
    region
        What to write of the child, in whole shards (chunks where there are none); None for all.
    mode
        How a window of voxels becomes one (see `neurozarr.pyramid.downsample`).
    threads
        How many sub-blocks are made at once; one more waits for its file, or to be encoded.

    Returns
    -------
    Summary
        Of what was written.
    """
    pyramid.check_mode(mode, parent.dtype)
    unit = child.shards or child.chunks

    def write(part: Region) -> Summary:
        voxels = reduced(parent, child, part, mode)
        _store(child, part, voxels)
        return summarize(voxels, checksum(voxels, part, unit, child.shape))

    parts = regions(region or whole(child.shape), sub_block(child.chunks, unit, child.dtype))
    return merge(for_each(write, parts, threads=threads + 1))


def _store(array: ZarrArray, part: Region, voxels: np.ndarray) -> None:
    """Write voxels.

    Raises
    ------
    StoreError
        They cannot be: for want of room or of permission, say.
    """
    try:
        array[part] = voxels
    except (OSError, ValueError) as error:  # TensorStore has ValueErrors for everything.
        raise StoreError(
            f"{array.store_path}: voxels cannot be written ({reason(error)}). Run again when this "
            "is mended"
        ) from error


def reduced(parent: ZarrArray, child: ZarrArray, part: Region, mode: pyramid.Mode) -> np.ndarray:
    """What the voxels of a part of a level are, by those of the last one."""
    steps = pyramid.factors(parent.shape, child.shape)
    voxels = np.empty([side.stop - side.start for side in part], child.dtype)
    # What is read at once is as small as it can be, so that memory is used again at once.
    piece = sub_block_below(parent.chunks, steps, parent.dtype)
    for inner in regions(whole(voxels.shape), piece):
        above = parent[pyramid.window(_shift(inner, part), steps)]
        voxels[inner] = pyramid.downsample(above, steps, mode)
    return voxels


def _shift(inner: Region, outer: Region) -> Region:
    """A region that is given from the start of another one, from the start of the array."""
    return tuple(
        slice(side.start + part.start, side.start + part.stop)
        for side, part in zip(outer, inner, strict=True)
    )


def one_ahead(function: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
    """Each item with what a function returns for it, worked out while the last one is in use."""
    with ThreadPoolExecutor(1) as pool:
        ahead: list[tuple[T, Future[R]]] = []
        for item in items:
            ahead.append((item, pool.submit(function, item)))
            if len(ahead) > 1:
                last, future = ahead.pop(0)
                yield last, future.result()
        for last, future in ahead:
            yield last, future.result()


def for_each(function: Callable[[T], R], items: Iterable[T], *, threads: int) -> list[R]:
    """Call a function on every item, in several threads, and return what it returned.

    Items are drawn in this thread, in order, and no more than one is drawn ahead of the threads.
    The first error stops the drawing and is raised. Results come in no order.
    """
    results: list[R] = []
    with ThreadPoolExecutor(threads) as pool:
        running: set[Future[R]] = set()
        for item in items:
            running.add(pool.submit(function, item))
            if len(running) > threads:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                results += [future.result() for future in done]
        results += [future.result() for future in running]
    return results
