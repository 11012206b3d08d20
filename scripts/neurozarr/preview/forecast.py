"""How much a run will write and how long it will take, from what was measured: pure functions."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neurozarr.preview.measure import Encoded, Measurement
from neurozarr.preview.work import LevelWork, Work

#: Most bytes by which a chunk that cannot be compressed grows.
_CHUNK_BYTES = 64
#: Bytes of the metadata of a store, and of its receipts for a level and for a file.
_STORE_BYTES, _LEVEL_BYTES, _FILE_BYTES = 20_000, 4_000, 40
#: Files and directories of a store beside those of chunks, and those of a level.
_STORE_FILES, _LEVEL_FILES = 12, 5
#: Relative error of an estimate from all of an image, from a part of it, and from the start of a
#: compressed file; and of one for a sample of which nothing alike was measured.
_LEAST_ERROR, _PART_ERROR, _START_ERROR, _OTHER_ERROR = 0.02, 0.05, 0.4, 0.6
#: Ratio of regions below which they are an empty background.
_BACKGROUND = 0.02
#: Ratio of encoded zeros above which chunks are not compressed at all.
_STORED = 0.5
#: Error of the size of a chunk beside that of its voxels, in bytes.
_CHUNK_ERROR = 40
#: What adds to the error at a coarse level, of which smaller chunks were encoded than it will have;
#: and at one that was too small.
_COARSE_ERROR, _SMALL_ERROR = 0.1, 1.5
#: Standard errors that an estimate may be off.
_STANDARD_ERRORS = 2.0
#: What an unplanned DICOM sample may need for each byte of its files: the image that dcm2niix
#: makes, which is deleted later, and its levels.
_DICOM_BYTES = 2.2


@dataclass(frozen=True, kw_only=True)
class Size:
    """What will be written, in bytes: an estimate, and between which numbers it is."""

    low: float
    about: float
    high: float

    def __add__(self, other: Size) -> Size:
        return Size(
            low=self.low + other.low, about=self.about + other.about, high=self.high + other.high
        )


NOTHING = Size(low=0.0, about=0.0, high=0.0)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What is known of the chunks of samples of one kind.

    Attributes
    ----------
    ratios
        Stored bytes for each byte of voxels, at each level that was measured.
    padding
        Stored bytes for each byte of a chunk beyond the edges of the image.
    error
        Relative error of the ratios.
    unseen
        How much larger they may be because of regions of a kind that was not read.
    seconds
        Seconds for each byte of voxels, with as many threads as were measured: of reading the
        source, of reducing a level to the next one, and of encoding.
    """

    ratios: tuple[float, ...]
    padding: float
    error: float
    unseen: float
    seconds: tuple[float, float, float]


def rates_of(measured: Sequence[Measurement], samples: int) -> Rates:
    """Combine measurements of samples of one kind.

    Parameters
    ----------
    measured
        One or more measurements.
    samples
        Number of samples of this kind.
    """
    padding = statistics.fmean(one.padding for one in measured)
    levels: dict[int, list[Encoded]] = defaultdict(list)
    for one in measured:
        for number, regions in enumerate(one.levels):
            levels[number] += regions
    share = sum(one.share for one in measured) / samples
    ratios = [_ratio(regions, padding) for _, regions in sorted(levels.items())]
    of_files = [one.ratio_of_file for one in measured if one.ratio_of_file is not None]
    error, unseen = _LEAST_ERROR, 0.0
    if of_files and padding < _STORED:
        scale = statistics.fmean(of_files) / ratios[0]
        ratios, error = [scale * ratio for ratio in ratios], _START_ERROR
    elif share < 1 - 1e-9:
        error = _PART_ERROR + _error(levels[0], padding) * math.sqrt(1 - share)
        largest = max(_ratio([region], padding) for region in levels[0])
        unseen = (1 - share) * (largest if largest > _BACKGROUND else 1) / (len(levels[0]) + 2)
    speeds = ("read", "reduced", "encoded")
    seconds = [
        statistics.fmean(1 / max(getattr(one, name), 1.0) for one in measured) for name in speeds
    ]
    return Rates(
        ratios=tuple(ratios),
        padding=padding,
        error=error,
        unseen=unseen,
        seconds=(seconds[0], seconds[1], seconds[2]),
    )


def _ratio(regions: Sequence[Encoded], padding: float) -> float:
    stored = sum(region.stored - padding * region.padding for region in regions)
    return max(stored, 1.0) / sum(region.voxels for region in regions)


def _error(regions: Sequence[Encoded], padding: float) -> float:
    """Relative error of the mean ratio of some regions, from how much they differ."""
    if len(regions) < 2:
        return 0.5
    ratios = [_ratio([region], padding) for region in regions]
    deviation = statistics.stdev(ratios) / math.sqrt(len(ratios))
    # Few regions show too little of how much they differ.
    return (_STANDARD_ERRORS + 4 / len(ratios)) * deviation / statistics.fmean(ratios)


def other_rates(known: Mapping[str, Rates]) -> Rates | None:
    """What is assumed of samples of which none alike was measured; None if nothing was."""
    if not known:
        return None
    rates = list(known.values())
    return Rates(
        ratios=(statistics.fmean(one.ratios[0] for one in rates),),
        padding=statistics.fmean(one.padding for one in rates),
        error=_OTHER_ERROR,
        unseen=0.0,
        seconds=max(one.seconds for one in rates),
    )


def most(work: Work) -> float:
    """Most bytes that a sample can need, if nothing can be compressed."""
    if not work.levels:
        return 0.0 if work.is_done else _DICOM_BYTES * work.source_bytes
    return _beside(work) + sum(map(_most_of, work.levels))


def _most_of(level: LevelWork) -> float:
    stored = (level.voxels + level.padding) * level.itemsize
    return stored + level.chunks_left * _CHUNK_BYTES + level.index


def _beside(work: Work) -> int:
    """Metadata of the store, and receipts."""
    if work.is_done:
        return 0
    levels = sum(level.blocks > 0 for level in work.levels)
    return _STORE_BYTES + _LEVEL_BYTES * levels + _FILE_BYTES * files(work)


def files(work: Work) -> int:
    """Number of files of chunks or shards that are to be written."""
    return sum(level.files for level in work.levels)


def inodes(work: Work) -> int:
    """Number of files and directories that are to be written, nearly."""
    levels = sum(level.blocks > 0 for level in work.levels)
    return 0 if work.is_done else files(work) + _STORE_FILES + _LEVEL_FILES * levels


def level_size(level: LevelWork, number: int, rates: Rates | None) -> Size:
    """Size of what is to be written of a level.

    Parameters
    ----------
    level
        The level.
    number
        Its number.
    rates
        What is known of its chunks; None if nothing is.
    """
    limit = _most_of(level)
    if not level.voxels:
        return NOTHING
    if rates is None:
        return Size(low=0.0, about=limit, high=limit)
    ratio = rates.ratios[min(number, len(rates.ratios) - 1)]
    stored = ratio * level.voxels + rates.padding * level.padding
    about = min(stored * level.itemsize + level.index, limit)
    error = rates.error + _COARSE_ERROR * (number > 0)
    error += _SMALL_ERROR * (number >= len(rates.ratios))
    wrong = error * about + _CHUNK_ERROR * level.chunks_left
    high = about + wrong + rates.unseen * level.voxels * level.itemsize
    return Size(low=max(0.0, about - wrong), about=about, high=min(high, limit))


def size(work: Work, rates: Rates | None) -> Size:
    """Size of all that is to be written for a sample."""
    if not work.levels:
        return Size(low=0.0, about=most(work), high=most(work))
    beside = float(_beside(work))
    total = Size(low=beside / 2, about=beside, high=beside)
    for number, level in enumerate(work.levels):
        total += level_size(level, number, rates)
    return total


def seconds(work: Work, rates: Rates, *, verify: str) -> list[float]:
    """Seconds that each level takes, written with as many threads as were measured.

    Parameters
    ----------
    work
        What is left of a sample.
    rates
        What is known of its chunks.
    verify
        How the store is verified: "full" reads the source and reduces all levels again.
    """
    read, reduced, encoded = rates.seconds
    times = 2 if verify == "full" else 1
    found = []
    for number, level in enumerate(work.levels):
        size = level.voxels * level.itemsize
        above = size
        if number:
            parent = work.levels[number - 1]
            above = level.voxels * parent.whole_bytes // max(math.prod(level.shape), 1)
        found.append(times * (reduced if number else read) * above + encoded * size)
    return found
