"""Lines that tell how far a run is: one for each sample and step, more if a step takes long."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: Seconds between two lines about a step that is not finished.
INTERVAL = 10.0


@dataclass(frozen=True)
class Job:
    """A job of a run.

    Attributes
    ----------
    step
        What it does, such as "sub-01: level 0"; several jobs may share a step. "" for jobs of which
        nothing is told.
    megabytes
        Size of the voxels that it writes, in MB; 0 if it writes none.
    """

    step: str
    megabytes: float = 0.0


class Progress:
    """Follows the jobs of a run.

    Parameters
    ----------
    jobs
        The jobs that are known when the run starts, by their numbers.
    clock
        Returns the time in seconds.
    """

    def __init__(
        self, jobs: Mapping[int, Job] | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._jobs: dict[int, Job] = {}
        self._clock = clock
        self._count: Counter[str] = Counter()
        self._total = 0.0
        self._finished: Counter[str] = Counter()
        self._megabytes: dict[str, float] = defaultdict(float)
        self._begun: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self.add(jobs or {})

    def add(self, jobs: Mapping[int, Job]) -> None:
        """Add the jobs of which it was not known before that the run has them."""
        new = {number: job for number, job in jobs.items() if number not in self._jobs}
        self._jobs |= new
        self._count.update(job.step for job in new.values())
        self._total += sum(job.megabytes for job in new.values())

    def started(self, number: int) -> bool:
        """Note that a job has been started; return whether the job is known."""
        if number in self._jobs:
            self._begun.setdefault(self._jobs[number].step, self._clock())
        return number in self._jobs

    def finished(self, number: int) -> str:
        """Note that a job has finished, and return the line to be printed; "" if there is none."""
        job = self._jobs.get(number)
        if job is None:
            return ""
        now, step = self._clock(), job.step
        begun = self._begun.setdefault(step, now)
        self._finished[step] += 1
        self._megabytes[step] += job.megabytes
        done, count = self._finished[step], self._count[step]
        if not step or (done < count and now - self._told.get(step, begun) < INTERVAL):
            return ""
        self._told[step] = now
        said = [f"{done} of {count} jobs"] if count > 1 else []
        if megabytes := self._megabytes[step]:
            speed = megabytes / max(now - begun, 0.001)
            said.append(f"{megabytes:.1f} MB of voxels, {speed:.1f} MB/s")
        left = self._left(now)
        said.append(f"run: {sum(self._finished.values())} of {len(self._jobs)} jobs{left}")
        return f"{step}: {'; '.join(said)}"

    def _left(self, now: float) -> str:
        """The time that the voxels which are not yet written will take, if they take it as well."""
        written = sum(self._megabytes.values())
        if not 0 < written < self._total:
            return ""
        seconds = (now - min(self._begun.values())) / written * (self._total - written)
        return f", {seconds:.0f} s left" if seconds < 120 else f", {seconds / 60:.0f} min left"
