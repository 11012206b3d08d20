"""Checksum and statistics of voxels, whichever parts they are written in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

from neurozarr.regions import Region, grid, regions, whole


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
