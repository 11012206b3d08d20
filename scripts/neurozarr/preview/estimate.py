"""Measure a few samples of a run, and estimate the size and the time of all of them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from neurozarr.errors import NeurozarrError
from neurozarr.preview import forecast
from neurozarr.preview.forecast import NOTHING, Rates, Size
from neurozarr.preview.measure import Measurement, measure
from neurozarr.preview.work import Work
from neurozarr.samples.sample import Sample

#: Most kinds of samples that are measured, those with most voxels, and most samples of each kind.
MAX_KINDS, MAX_SAMPLES = 12, 3
#: Seconds that a job takes to start, and that a sample of a bundle takes beside its voxels.
JOB_SECONDS, SAMPLE_SECONDS = 1.0, 0.05


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What was measured.

    Attributes
    ----------
    rates
        What is known of each kind of samples that was measured.
    measured
        The measurements, by the name of their sample.
    failed
        Why samples could not be measured, by their names.
    threads
        Number of threads of the measurements.
    """

    rates: dict[str, Rates]
    measured: dict[str, Measurement]
    failed: dict[str, str]
    threads: int

    def rates_of(self, work: Work) -> Rates | None:
        """What is known of a sample, or of others if nothing alike was measured."""
        return self.rates.get(work.kind) or forecast.other_rates(self.rates)

    def size(self, work: Work) -> Size:
        """Size of what is to be written for a sample."""
        return forecast.size(work, self.rates_of(work))

    def total(self, works: Sequence[Work]) -> Size:
        """Size of what is to be written for some samples."""
        return sum(map(self.size, works), NOTHING)

    def seconds(self, works: Sequence[Work], *, bundles: int, cores: int, verify: str) -> float:
        """Time that a run takes on one machine, in seconds.

        Parameters
        ----------
        works
            What is left to be done.
        bundles
            Number of jobs that convert several samples.
        cores
            Number of processors.
        verify
            How stores are verified.
        """
        total = longest = 0.0
        for work in works:
            if (rates := self.rates_of(work)) is None or work.is_done:
                continue
            each = forecast.seconds(work, rates, verify=verify)
            total += self.threads * sum(each)
            at_once = max(cores // self.threads, 1)
            longest = max(
                longest,
                sum(
                    seconds / max(min(level.blocks, at_once), 1)
                    for seconds, level in zip(each, work.levels, strict=True)
                ),
            )
        jobs = bundles + sum(sum(work.jobs.values()) for work in works)
        small = sum(work.is_bundled and not work.is_done for work in works)
        total += JOB_SECONDS * jobs + SAMPLE_SECONDS * small
        return max(total / cores, longest + JOB_SECONDS * min(jobs, 6))


def to_measure(works: Sequence[Work]) -> dict[str, list[str]]:
    """Choose samples of each kind: the first, the middle and the last, by kind."""
    kinds: dict[str, list[Work]] = defaultdict(list)
    for work in works:
        if work.kind and forecast.files(work):
            kinds[work.kind].append(work)
    largest = sorted(kinds, key=lambda kind: -sum(map(forecast.most, kinds[kind])))
    chosen = {}
    for kind in largest[:MAX_KINDS]:
        names = [work.name for work in kinds[kind]]
        places = sorted({0, len(names) // 2, len(names) - 1})
        chosen[kind] = [names[place] for place in places]
    return chosen


def estimate(
    works: Sequence[Work],
    sample: Callable[[str], Sample],
    *,
    threads: int,
    seconds: float,
) -> Estimate:
    """Encode chunks of some of the samples that are not converted.

    Parameters
    ----------
    works
        What is left to be done.
    sample
        Returns a sample that `to_measure` has chosen, by its name.
    threads
        Number of threads that read, and that encode.
    seconds
        Time for all samples together. After it, no more regions are read.
    """
    chosen = to_measure(works)
    end = time.perf_counter() + seconds
    rates, measured, failed = dict[str, Rates](), dict[str, Measurement](), dict[str, str]()
    left = sum(map(len, chosen.values()))
    for kind, names in chosen.items():
        found: list[Measurement] = []
        for name in names:
            share = max(end - time.perf_counter(), 0.0) / left
            left -= 1
            if not share and (found or rates):
                break
            try:
                measured[name] = measure(sample(name), threads=threads, seconds=share)
                found.append(measured[name])
            except (NeurozarrError, OSError) as error:
                failed[name] = str(error)
        if found:
            alike = sum(work.kind == kind for work in works)
            rates[kind] = forecast.rates_of(found, alike)
    return Estimate(rates=rates, measured=measured, failed=failed, threads=threads)
