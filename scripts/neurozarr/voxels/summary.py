"""Checksum and statistics of voxels, whichever blocks and sub-blocks they are written in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

from neurozarr.regions import Region, grid, regions, whole

#: Number of integers of up to 16 bits whose sum fits in a signed integer of 32 bits.
_VOXELS_OF_A_SUM = 2**15


@dataclass(frozen=True)
class Summary:
    """Checksum and statistics of voxels.

    Attributes
    ----------
    checksum
        Checksum of all voxels: see `checksum`.
    minimum, maximum, total, count
        Statistics of the finite voxels. All but the count are None if there are no finite voxels,
        and for complex numbers; the total is also None if it is too large for a float.
    """

    checksum: int
    minimum: float | None
    maximum: float | None
    total: float | None
    count: int


def checksum(
    voxels: np.ndarray, region: Region, write_chunk: Sequence[int], shape: Sequence[int]
) -> int:
    """Checksum of the voxels of a region of an array.

    It is the sum, modulo 2**64, of the checksums of the write chunks: XXH3 of their voxels in C
    order, with the number of the write chunk in the array as the seed. So the checksum of an array
    is the sum of those of its blocks.

    Parameters
    ----------
    voxels
        Voxels of the region, contiguous in C order.
    region
        Region of the array: whole write chunks.
    write_chunk, shape
        Shapes of a write chunk and of the array, in voxels.
    """
    counts = grid(shape, write_chunk)
    total = 0
    for inner in regions(whole(voxels.shape), write_chunk):
        index = [
            (side.start + place.start) // size
            for side, place, size in zip(inner, region, write_chunk, strict=True)
        ]
        number = int(np.ravel_multi_index(index, counts))
        total += xxhash.xxh3_64_intdigest(np.ascontiguousarray(voxels[inner]).data, seed=number)
    return total % 2**64


def summarize(voxels: np.ndarray, checksum: int) -> Summary:
    """The summary of voxels (contiguous in C order) whose checksum is given."""
    if voxels.dtype.kind in "fc":
        with np.errstate(all="ignore"):
            if not np.isfinite(voxels.sum(dtype=np.result_type(voxels, np.float64))):
                voxels = voxels[np.isfinite(voxels)]
    if voxels.dtype.kind == "c" or voxels.size == 0:
        return Summary(checksum, None, None, None, voxels.size)
    return Summary(checksum, voxels.min().item(), voxels.max().item(), _total(voxels), voxels.size)


def _total(voxels: np.ndarray) -> float:
    """Sum of finite voxels; exact for integers."""
    kind, itemsize = voxels.dtype.kind, voxels.dtype.itemsize
    if kind == "f":
        with np.errstate(over="ignore"):
            return float(voxels.sum(dtype=np.float64))
    if itemsize <= 2:
        # Sums of this many voxels fit in 32 bits, in which adding takes half the time.
        starts = np.arange(0, voxels.size, _VOXELS_OF_A_SUM)
        sums = np.add.reduceat(voxels.reshape(-1), starts, dtype=np.int32)
        return int(sums.sum(dtype=np.int64))
    if itemsize < 8:
        return int(voxels.sum(dtype=np.int64))
    low = int((voxels & 0xFFFFFFFF).sum(dtype=np.uint64))
    return (int((voxels >> 32).sum(dtype=voxels.dtype)) << 32) + low


def merge(summaries: Iterable[Summary]) -> Summary:
    """One summary of several regions, the same for any order of these."""
    found = list(summaries)
    totals = [one.total for one in found if one.total is not None]
    exact = all(isinstance(total, int) for total in totals)
    total = sum(totals) if exact else float(np.sum(sorted(totals)))
    return Summary(
        checksum=sum(one.checksum for one in found) % 2**64,
        minimum=min((one.minimum for one in found if one.minimum is not None), default=None),
        maximum=max((one.maximum for one in found if one.maximum is not None), default=None),
        total=total if totals and math.isfinite(total) else None,
        count=sum(one.count for one in found),
    )
