"""Encode a few chunks of a sample, to learn how large they become and how fast that is."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeVar

import numpy as np

from neurozarr.drivers import open_array
from neurozarr.drivers.local import LocalArray
from neurozarr.errors import SourceError
from neurozarr.plan.slabs import sub_block
from neurozarr.preview.places import places
from neurozarr.regions import Region, regions, whole
from neurozarr.samples.sample import Sample
from neurozarr.sources import Source
from neurozarr.voxels import kernels
from neurozarr.voxels.summary import checksum, summarize
from neurozarr.voxels.threads import for_each
from neurozarr.zarr.chunks import chunk_keys
from neurozarr.zarr.documents import FILES
from neurozarr.zarr.metadata import array_document

T = TypeVar("T")
R = TypeVar("R")

#: Least uncompressed size of a part of a coarse level that is encoded, in bytes.
MIN_BYTES = 2**13
#: Voxels of each region that are compressed by deflate, in bytes, and the ratio of a background.
_DEFLATED, _BACKGROUND = 2**18, 0.02
#: Limits of how much smaller or larger voxels become in whole chunks than in parts of them.
_LEAST, _MOST = 0.25, 1.5


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What a region became at one level, in bytes.

    Attributes
    ----------
    voxels, padding
        Uncompressed size of its voxels, and of what its chunks have beyond the edges.
    stored
        Size of its files.
    """

    voxels: int
    padding: int
    stored: float

    @property
    def bytes(self) -> int:
        """Uncompressed size of its chunks."""
        return self.voxels + self.padding


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What was learned from some regions of a sample.

    Attributes
    ----------
    levels
        What each region became at level 0 and at the coarser levels, as far as it is large enough.
    padding
        Bytes that are stored for each byte of a chunk beyond the edges of the image.
    share
        Share of the voxels of level 0 that were read.
    ratio_of_file
        Stored bytes for each byte of level 0 by the size of the source, of which only the start
        was read, because it is a compressed stream; None for other sources.
    read, reduced, encoded
        Speeds in bytes of voxels per second: of reading the source, of reducing a level to the
        next one, and of encoding.
    """

    levels: tuple[tuple[Encoded, ...], ...]
    padding: float
    share: float
    ratio_of_file: float | None
    read: float
    reduced: float
    encoded: float


def measure(sample: Sample, *, threads: int, seconds: float) -> Measurement:
    """Read some regions of the source of a sample, and encode them for each level.

    The driver and the compressor are those of the sample; files are temporary.

    Parameters
    ----------
    sample
        The sample, which has a plan.
    threads
        Number of threads that read, and that encode.
    seconds
        Time after which no more regions are read.

    Raises
    ------
    SourceError
        The source cannot be read.
    OSError
        No temporary files can be written.
    """
    # The source of levels that are added to an image is its last level.
    source, base = sample.source, sample.levels[max(sample.first - 1, 0)]
    chosen = places(
        base.shape,
        base.chunks,
        base.dtype,
        source.axes,
        native_chunk_shape=source.native_chunk_shape,
        file_axes=source.file_axes,
        in_order=source.in_order,
    )
    if not chosen.regions:
        raise SourceError(
            f"{sample.path}: its native chunks, of shape {source.native_chunk_shape}, are too "
            "large to decode some of them before a run"
        )
    deflated, reading = _Deflated(), _Timed()
    end = time.perf_counter() + seconds

    def read(batch: Sequence[Region]) -> list[np.ndarray]:
        with reading:
            if source.in_order:
                found = [source.read(region) for region in batch]
            else:
                found = _each(source.read, batch, threads)
        reading.bytes += sum(voxels.nbytes for voxels in found)
        return found

    with tempfile.TemporaryDirectory(prefix="neurozarr-") as folder:
        encoder = _Encoder(sample, chosen.tile, Path(folder), threads)
        padding, speeds = encoder.padding(), None
        enlarged = _Enlarged(zeros=padding, small_zeros=padding, scale=1.0)
        if chosen.timed:
            whole_chunks = _Encoder(sample, base.chunks, Path(folder, "whole"), threads)
            zeros, large = whole_chunks.padding(), read(chosen.timed)
            whole_chunks.encode(large)
            speeds = whole_chunks.speeds(reading)
            small = encoder.parts(large)
            enlarged = _Enlarged.of(whole_chunks.found[0], small, zeros, padding)
        waiting = iter(chosen.regions)
        while batch := list(itertools.islice(waiting, threads)):
            found = read(batch)
            encoder.encode(found)
            if source.in_order:
                deflated.add(found, encoder.found[0])
            if time.perf_counter() > end:
                break
    voxels = sum(region.voxels for region in encoder.found[0])
    share = voxels / (math.prod(base.shape) * base.dtype.itemsize)
    speeds = speeds or encoder.speeds(reading)
    return Measurement(
        levels=tuple(tuple(map(enlarged, level)) for level in encoder.found if level),
        padding=enlarged.zeros,
        share=share,
        ratio_of_file=deflated.ratio_of_file(source) if source.in_order and share < 1 else None,
        read=speeds[0],
        reduced=speeds[1],
        encoded=speeds[2],
    )


@dataclass
class _Timed:
    """The speed of what is done within its context, of so many bytes."""

    seconds: float = 0.0
    bytes: int = 0
    _start: float = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start

    @property
    def speed(self) -> float:
        return self.bytes / max(self.seconds, 1e-9)


class _Encoder:
    """Encodes regions of a sample in temporary arrays, and keeps their sizes and the time."""

    def __init__(self, sample: Sample, tile: tuple[int, ...], folder: Path, threads: int) -> None:
        self._sample, self._tile, self._folder = sample, tile, folder
        self._threads = threads
        self._numbers = itertools.count()
        self.found: list[list[Encoded]] = [[] for _ in sample.levels]
        self.reducing, self.encoding = _Timed(), _Timed()

    def encode(self, read: Sequence[np.ndarray]) -> None:
        """Encode voxels of level 0, and of each coarser level that they make."""
        parts = [np.ascontiguousarray(voxels, self._sample.dtype) for voxels in read]
        for level, found in zip(self._sample.levels, self.found, strict=True):
            if any(factor > 1 for factor in level.factors):
                with self.reducing:
                    reduced = _each(self._reduced(level.factors), parts, self._threads)
                self.reducing.bytes += sum(voxels.nbytes for voxels in parts)
                parts = [voxels for voxels in reduced if voxels.nbytes >= MIN_BYTES]
            found += self._store(parts)

    def parts(self, read: Sequence[np.ndarray]) -> list[Encoded]:
        """Encode voxels of level 0 alone, of which nothing is kept."""
        return self._store([np.ascontiguousarray(part, self._sample.dtype) for part in read])

    def speeds(self, reading: _Timed) -> tuple[float, float, float]:
        """Speeds of reading, reducing and encoding."""
        return reading.speed, self.reducing.speed, self.encoding.speed

    def padding(self) -> float:
        """Size of an encoded chunk of zeros, for each byte of its voxels."""
        zeros = np.zeros(self._tile, self._sample.dtype)
        (found,) = self._store([zeros])
        self.encoding = _Timed()  # The time of zeros does not count.
        return found.stored / zeros.nbytes

    def _reduced(self, factors: Sequence[int]) -> Callable[[np.ndarray], np.ndarray]:
        mode, edge = self._sample.mode, self._sample.zarr.edge
        return lambda voxels: kernels.downsample(voxels, factors, mode, edge=edge)

    def _store(self, parts: Sequence[np.ndarray]) -> list[Encoded]:
        """Encode voxels, each in an array of its own, which is then deleted."""
        arrays = list(map(self._array, parts))
        tiles = [
            (array, place, voxels[place])
            for array, voxels in zip(arrays, parts, strict=True)
            for place in regions(
                whole(voxels.shape), sub_block(array.chunks, array.chunks, array.dtype)
            )
        ]
        with self.encoding:
            for_each(_encode, tiles, threads=self._threads)
        self.encoding.bytes += sum(voxels.nbytes for voxels in parts)
        found = []
        for array, voxels in zip(arrays, parts, strict=True):
            keys = list(chunk_keys(array.document, whole(voxels.shape)))
            chunk = math.prod(array.chunks) * voxels.itemsize
            found.append(
                Encoded(
                    voxels=voxels.nbytes,
                    padding=len(keys) * chunk - voxels.nbytes,
                    stored=sum(Path(array.store_path, key).stat().st_size for key in keys),
                )
            )
            shutil.rmtree(array.store_path)
        return found

    def _array(self, voxels: np.ndarray) -> LocalArray:
        """An empty array of the shape of voxels, without shards."""
        config, folder = self._sample.zarr, self._folder / str(next(self._numbers))
        chunks = tuple(map(min, self._tile, voxels.shape))
        document = array_document(
            voxels.shape, voxels.dtype, chunks=chunks, shards=None, config=config
        )
        folder.mkdir(parents=True)
        (folder / FILES[config.zarr_version][0]).write_text(json.dumps(document))
        return open_array(folder, driver=config.driver, threads=self._threads)


@dataclass(frozen=True, kw_only=True)
class _Enlarged:
    """What regions become in whole chunks, if parts of chunks were encoded.

    Zeros become ``zeros`` bytes for each of theirs rather than ``small_zeros``, and what other
    voxels add to that is ``scale`` times as much.
    """

    zeros: float
    small_zeros: float
    scale: float

    @classmethod
    def of(
        cls, large: Sequence[Encoded], small: Sequence[Encoded], zeros: float, small_zeros: float
    ) -> Self:
        """Compare the same regions in whole chunks and in parts of them."""
        added = sum(region.stored - zeros * region.bytes for region in large)
        added_small = sum(region.stored - small_zeros * region.bytes for region in small)
        total = sum(region.bytes for region in small)
        is_background = added_small <= _BACKGROUND * small_zeros * total
        scale = 1.0 if is_background else min(max(added / added_small, _LEAST), _MOST)
        return cls(zeros=zeros, small_zeros=small_zeros, scale=scale)

    def __call__(self, region: Encoded) -> Encoded:
        added = max(region.stored - self.small_zeros * region.bytes, 0.0)
        return replace(region, stored=self.zeros * region.bytes + self.scale * added)


def _each(function: Callable[[T], R], items: Iterable[T], threads: int) -> list[R]:
    """Call a function on each item, in several threads, and return the results in order."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


def _encode(tile: tuple[LocalArray, Region, np.ndarray]) -> None:
    """Do what a job does with the voxels of a chunk."""
    array, place, voxels = tile
    voxels = np.ascontiguousarray(voxels)
    array.store(place, voxels)
    summarize(voxels, checksum(voxels, place, array.chunks, array.shape))


class _Deflated:
    """Voxels at the start of a compressed file, to compare their sizes with that of the file."""

    def __init__(self) -> None:
        self._deflated = self._stored = 0.0

    def add(self, read: Sequence[np.ndarray], found: Sequence[Encoded]) -> None:
        """Compress some of the voxels of the last regions as most programs do.

        Those of an empty background say nothing of others.
        """
        for voxels, region in zip(read, found[-len(read) :], strict=True):
            raw = voxels.tobytes()[:_DEFLATED]
            ratio = len(zlib.compress(raw)) / len(raw)
            if ratio > _BACKGROUND:
                self._deflated += ratio * region.voxels
                self._stored += region.stored

    def ratio_of_file(self, source: Source) -> float:
        """Stored bytes for each byte of voxels, if all are as much larger as those compared."""
        size = sum(file.stat().st_size for file in source.files)
        ratio = size / (math.prod(source.shape) * source.dtype.itemsize)
        return ratio * (self._stored / self._deflated if self._deflated else 1.0)
