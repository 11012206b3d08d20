"""Bundles: samples that are too small for jobs of their own, converted many to a job."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from neurozarr.plan import BASE_MEMORY_MB, MAX_THREADS, MIN_MINUTES
from neurozarr.samples import estimates
from neurozarr.samples.sample import Sample

Redo = Literal["nothing", "verify", "all"]

#: Time that a bundle may take on a slow node, in seconds, unless one sample takes more.
MAX_SECONDS = 120.0
#: Time that a sample takes beside its voxels, in seconds: documents, receipts and syncs.
SAMPLE_SECONDS = 0.1
#: Time that dcm2niix takes for an MB of DICOM files, in seconds.
DICOM_SECONDS_PER_MB = 0.1
#: Time that the page of a sample takes, in seconds.
PAGE_SECONDS = 2.0
#: Part of the name of a bundle whose job makes pages, too.
_PAGES = "pages"
#: Memory of dcm2niix, which holds a whole image, for each byte of DICOM files.
DICOM_MEMORY = 3
#: Bundles for each processor, so that none waits long for the last one.
BUNDLES_PER_CORE = 2


@dataclass(frozen=True)
class Bundle:
    """Consecutive samples of a run. One job converts those that are small and not yet converted.

    Attributes
    ----------
    start, stop
        Index of the first sample, and one more than that of the last, among all samples of the run.
    digest
        Checksum of their names. A job on a cluster reads the configuration again, and
        notices by it that the list of samples has changed.
    redo
        Which finished steps are repeated: "nothing", "verify" or "all".
    pages
        Whether pages are made, too.
    """

    start: int
    stop: int
    digest: str
    redo: Redo
    pages: bool = False

    @classmethod
    def of(
        cls, names: Sequence[str], start: int, stop: int, *, redo: Redo, pages: bool = False
    ) -> Bundle:
        """Return the bundle of ``names[start:stop]``, of the names of all samples of a run."""
        return cls(start, stop, _digest(names[start:stop]), redo, pages)

    @classmethod
    def from_name(cls, name: str) -> Bundle:
        """Return the bundle of a given name."""
        start, stop, digest, *more = name.split("-")
        redo = next((word for word in more if word != _PAGES), "nothing")
        return cls(int(start), int(stop), digest, cast("Redo", redo), _PAGES in more)

    @property
    def name(self) -> str:
        """Name that contains all attributes."""
        redo = "" if self.redo == "nothing" else f"-{self.redo}"
        pages = f"-{_PAGES}" if self.pages else ""
        return f"{self.start}-{self.stop}-{self.digest}{redo}{pages}"

    def names(self, *lists: Sequence[str]) -> list[str]:
        """Return the names of its samples, from the lists of which it may be a part.

        Raises
        ------
        ValueError
            The samples have changed since the run was planned.
        """
        for names in lists:
            found = list(names[self.start : self.stop])
            if _digest(found) == self.digest:
                return found
        raise ValueError("the samples are not those that the run was planned with")


def is_bundled(sample: Sample, *, small: bool) -> bool:
    """Whether a sample is converted in a bundle.

    Parameters
    ----------
    sample
        The sample. A DICOM sample always is, because dcm2niix converts only whole images.
    small
        Whether samples are bundled if each of their levels is a single block.
    """
    return sample.conversion is not None or (small and max(sample.blocks) <= 1)


def seconds(sample: Sample) -> float:
    """Estimate the time, in seconds, that one thread on a slow node takes to convert a sample."""
    total = SAMPLE_SECONDS
    if sample.conversion is not None:
        total += DICOM_SECONDS_PER_MB * sample.megabytes
    if sample.is_planned:
        levels = sample.levels
        total += sum(level.seconds(b, 1) for level in levels for b in range(level.blocks))
    return total


def divide(
    names: Sequence[str],
    work: Mapping[str, float],
    *,
    cores: int | None,
    redo: Redo = "nothing",
    pages: bool = False,
) -> list[Bundle]:
    """Divide samples into bundles of nearly the same work.

    Parameters
    ----------
    names
        All samples of the run, in order.
    work
        Seconds of work of those to be bundled, by their names.
    cores
        Number of processors that convert them, where they share one machine; None on a cluster.
    redo
        Which finished steps are repeated: "nothing", "verify" or "all".
    pages
        Whether pages are made, too.

    Returns
    -------
    list[Bundle]
        Enough to use all processors, none longer than `MAX_SECONDS` but for a single sample.
    """
    total = sum(work.values())
    count = max(math.ceil(total / MAX_SECONDS), min(len(work), (cores or 0) * BUNDLES_PER_CORE))
    if not count:
        return []
    found: list[Bundle] = []
    members: list[int] = []
    before = 0.0
    for place, name in enumerate(names):
        if name not in work:
            continue
        # The middle of its work says in which share it is.
        share = int(count * (before + work[name] / 2) / total)
        before += work[name]
        if members and share > len(found):
            bundle = Bundle.of(names, members[0], place, redo=redo, pages=pages)
            found.append(bundle)
            members = []
        members.append(place)
    last = Bundle.of(names, members[0], members[-1] + 1, redo=redo, pages=pages)
    found.append(last)
    return found


def consecutive(names: Sequence[str], some: Iterable[str]) -> list[list[str]]:
    """Divide those of the names that are among some into runs without others in between."""
    wanted = set(some)
    groups = itertools.groupby(names, wanted.__contains__)
    return [list(group) for is_wanted, group in groups if is_wanted]


def threads(samples: Sequence[Sample], *, bundles: int, cores: int | None) -> int:
    """Return the number of threads of a bundle's job.

    Parameters
    ----------
    samples
        The samples of the bundle.
    bundles
        Number of bundles of the run.
    cores
        Number of processors that all bundles share; None on a cluster.
    """
    if cores is None:
        cores = MAX_THREADS if len(samples) == 1 else 1
    finest = [sample.levels[sample.first :][:1] for sample in samples if sample.is_planned]
    planned = [level.threads(0) for levels in finest for level in levels]
    most = max(planned, default=MAX_THREADS)
    return max(1, min(most, cores // max(bundles, 1)))


def memory_mb(samples: Iterable[Sample], verify: str, threads: int, *, pages: bool) -> int:
    """Return the memory of a bundle's job, in MB: that of the sample which needs most."""
    needed = []
    for sample in samples:
        memory = BASE_MEMORY_MB
        if sample.is_planned:
            levels = range(len(sample.levels))
            memory = max(estimates.block_memory_mb(sample, level, threads) for level in levels)
            memory = max(memory, estimates.verify_memory_mb(sample, verify, threads))
        if pages:
            memory = max(memory, estimates.report_memory_mb(sample))
        if sample.conversion is not None:
            memory += DICOM_MEMORY * sample.megabytes
        needed.append(memory)
    return max(needed, default=BASE_MEMORY_MB)


def minutes(samples: Sequence[Sample], *, pages: bool) -> int:
    """Return the time limit of a bundle's job, in minutes: what it takes on a slow node."""
    total = sum(map(seconds, samples)) + (PAGE_SECONDS * len(samples) if pages else 0)
    return MIN_MINUTES + math.ceil(2 * total / 60)


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:8]
