"""Lines that tell how far a run is: one for each sample and step, a few more if it takes long."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from neurozarr import tables
from neurozarr.run import pace

#: Between two lines about a step that is not finished: at least these seconds, and this share of
#: its voxels or the longer time.
INTERVAL = 30.0
SHARE = 0.1
LONG_INTERVAL = 600.0


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


class _Step:
    """The jobs that share a step."""

    def __init__(self) -> None:
        self.count = self.finished = 0
        self.total = self.megabytes = 0.0
        self.running: set[int] = set()
        self.begun = self.told = 0.0
        self.told_share = 0.0


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
        self._steps: dict[str, _Step] = {}
        # Kept as numbers, because there may be thousands of steps.
        self._jobs_done, self._megabytes_done, self._total = 0, 0.0, 0.0
        self._begun: float | None = None
        #: What running jobs have written, in MB.
        self._parts: dict[int, float] = {}
        #: When voxels were written, and how many; and the most that were written at any time.
        self._written: deque[tuple[float, float]] = deque()
        self._most = 0.0
        self.add(jobs or {})

    @property
    def running(self) -> list[int]:
        """Numbers of the jobs that are running."""
        return list(self._parts)

    def add(self, jobs: Mapping[int, Job]) -> None:
        """Add the jobs of which it was not known before that the run has them."""
        new = {number: job for number, job in jobs.items() if number not in self._jobs}
        self._jobs |= new
        for job in new.values():
            step = self._steps.setdefault(job.step, _Step())
            step.count += 1
            step.total += job.megabytes
            self._total += job.megabytes

    def started(self, number: int) -> bool:
        """Note that a job has been started; return whether the job is known."""
        if number in self._jobs:
            now, step = self._clock(), self._steps[self._jobs[number].step]
            self._begun = now if self._begun is None else self._begun
            if not step.running and not step.finished:
                step.begun = step.told = now
            step.running.add(number)
            self._parts[number] = 0.0
        return number in self._jobs

    def stopped(self, number: int) -> None:
        """Note that a job has failed; it may be started again."""
        if self._parts.pop(number, None) is not None:
            self._steps[self._jobs[number].step].running.discard(number)

    def wrote(self, number: int, megabytes: float) -> None:
        """Note how much a running job has written until now, in MB."""
        if number in self._parts:
            self._parts[number] = max(0.0, min(megabytes, self._jobs[number].megabytes))
            self._note()

    def finished(self, number: int) -> str:
        """Note that a job has finished; return a line if it was the last of its step, or ""."""
        if number not in self._jobs:
            return ""
        if number not in self._parts:
            self.started(number)
        job = self._jobs[number]
        step = self._steps[job.step]
        del self._parts[number]
        step.running.discard(number)
        step.finished += 1
        step.megabytes += job.megabytes
        self._jobs_done += 1
        self._megabytes_done += job.megabytes
        self._note()
        if not job.step or step.finished < step.count:
            return ""
        return self._line(job.step)

    def due(self) -> list[str]:
        """Lines about steps that are not finished, if it is time for them."""
        now, lines = self._clock(), []
        for name, step in self._running_steps.items():
            if now - step.told < INTERVAL:
                continue
            share = self._share(step)
            if share - step.told_share >= SHARE or now - step.told >= LONG_INTERVAL:
                step.told, step.told_share = now, share
                lines.append(self._line(name))
        return lines

    def now(self) -> str:
        """How far the run is, and the steps that are running, in a line for a terminal."""
        running = self._running_steps.items()
        steps = [f"{name} ({self._share(step):.0%})" for name, step in running if step.total]
        said = [f"{self._jobs_done} of {len(self._jobs)} jobs"]
        if self._total:
            said.append(f"{self._megabytes:.1f} of {self._total:.1f} MB")
        if speed := self._speed():
            said.append(f"{tables.megabytes(speed)} MB/s")
        return f"{', '.join(said)}{self._left()}" + (f"; {', '.join(steps)}" if steps else "")

    @property
    def _running_steps(self) -> dict[str, _Step]:
        names = dict.fromkeys(self._jobs[number].step for number in self._parts)
        return {name: self._steps[name] for name in names if name}

    @property
    def _megabytes(self) -> float:
        """Size of the voxels that are written."""
        return self._megabytes_done + sum(self._parts.values())

    def _line(self, name: str) -> str:
        now, step = self._clock(), self._steps[name]
        said = [f"{step.finished} of {step.count} jobs"] if step.count > 1 else []
        if step.total:
            megabytes = step.megabytes + sum(self._parts[number] for number in step.running)
            speed = megabytes / max(now - step.begun, 0.001)
            of = f" of {step.total:.1f}" if step.finished < step.count else ""
            said.append(f"{megabytes:.1f}{of} MB of voxels, {tables.megabytes(speed)} MB/s")
        said.append(f"run: {self._jobs_done} of {len(self._jobs)} jobs{self._left()}")
        return f"{name}: {'; '.join(said)}"

    def _share(self, step: _Step) -> float:
        if not step.total:
            return step.finished / step.count
        parts = sum(self._parts[number] for number in step.running)
        return min(1.0, (step.megabytes + parts) / step.total)

    def _note(self) -> None:
        """Note when voxels were written; those of a job that failed were, too."""
        now, megabytes = self._clock(), self._megabytes
        if megabytes > self._most:
            more, self._most = megabytes - self._most, megabytes
            if self._written and now - self._written[-1][0] < 1:
                now, before = self._written.pop()
                more += before
            self._written.append((now, more))
        while len(self._written) > pace.EVENTS + 1 and self._written[0][0] < now - pace.WINDOW:
            self._written.popleft()

    def _speed(self) -> float:
        since = self._clock() if self._begun is None else self._begun
        return pace.speed(self._written, since=since, now=self._clock())

    def _left(self) -> str:
        """The time that the voxels which are not yet written take at the recent speed."""
        left = pace.seconds_left(self._total - self._megabytes, self._speed())
        return f", {pace.duration(left)} left" if left and left >= 0.5 else ""
