"""Streaming voxels from a source, or from one level to the next, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from neurozarr import pyramid
from neurozarr.plan import Region, base_unit, regions

if TYPE_CHECKING:
    from neurozarr.abc import ZarrArray
    from neurozarr.sources import Source

T = TypeVar("T")


def write_base(source: Source, array: ZarrArray, *, threads: int = 1) -> None:
    """Copy the voxels of a source into level 0.

    Parameters
    ----------
    source
        Where to read; its axes are those of the array.
    array
        Level 0, of the source's shape.
    threads
        How many regions are encoded at once. Regions are read in order, one at a time: whole
        shards (chunks where there are none), or the planes of a row of them where the source can
        only be read in order.
    """
    unit = base_unit(array.shape, array.shards or array.chunks, source.in_order)

    def write(item: tuple[Region, np.ndarray]) -> None:
        region, voxels = item
        array[region] = voxels

    for_each(write, ((r, source.read(r)) for r in regions(array.shape, unit)), threads=threads)


def write_level(
    parent: ZarrArray, child: ZarrArray, *, mode: pyramid.Mode = "mean", threads: int = 1
) -> None:
    """Write all voxels of a level from those of the last one.

    Parameters
    ----------
    parent, child
        Two successive levels.
    mode
        How a window of voxels becomes one (see `neurozarr.pyramid.downsample`).
    threads
        How many shards (chunks where there are none) are made at once.
    """
    pyramid.check_mode(mode, parent.dtype)
    steps = pyramid.factors(parent.shape, child.shape)

    def shrink(region: Region) -> np.ndarray:
        window = tuple(
            slice(side.start * step, side.stop * step)
            for side, step in zip(region, steps, strict=True)
        )
        return pyramid.downsample(parent[window], steps, mode)

    def write(region: Region) -> None:
        if child.shards is None:
            child[region] = shrink(region)
            return
        # A shard is written at once, but made chunk by chunk: eight times less memory.
        shard = np.empty([side.stop - side.start for side in region], child.dtype)
        for chunk in regions(shard.shape, child.chunks):
            shard[chunk] = shrink(
                tuple(
                    slice(side.start + inner.start, side.start + inner.stop)
                    for side, inner in zip(region, chunk, strict=True)
                )
            )
        child[region] = shard

    for_each(write, regions(child.shape, child.shards or child.chunks), threads=threads)


def for_each(function: Callable[[T], None], items: Iterable[T], *, threads: int) -> None:
    """Call a function on every item, in several threads.

    Items are drawn in this thread, in order, and no more than one is drawn ahead of the threads.
    The first error stops the drawing and is raised.
    """
    with ThreadPoolExecutor(threads) as pool:
        running: set[Future[None]] = set()
        for item in items:
            running.add(pool.submit(function, item))
            if len(running) > threads:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
        for future in running:
            future.result()
