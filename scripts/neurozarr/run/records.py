"""Records of runs, for those who look on: what each run has to do, and whether it goes on.

A run has two files in ``.state/runs``: its plan, which is written when it starts, with all samples;
and ``<name>-now.json``, which it writes every few seconds, so that others notice when it is killed.
Nothing that a run does depends on them. The plan says what the receipts will be: a receipt is of
this run if it is not older than the plan, by the clock of the file system.
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from neurozarr.errors import NeurozarrError
from neurozarr.regions import grid
from neurozarr.run.paths import Place, StorePaths
from neurozarr.run.processes import is_alive, start_of_process, this_machine
from neurozarr.zarr.documents import Document, read_json, write_text

logger = logging.getLogger(__name__)

#: Version of the files. Later ones may add entries, which others ignore.
FORMAT = 1
#: Seconds between two times that a run says that it goes on, and after which it is taken for ended:
#: other machines may see what is on a network file system a minute later.
PULSE = 10.0
LOST = 180.0

RunState = Literal["active", "well", "badly", "gone"]

_NOW = "-now.json"


@dataclass(frozen=True, kw_only=True)
class PlannedLevel:
    """A level of a sample, and what a run has to do for it.

    Attributes
    ----------
    number
        Number of the level.
    shape, block
        Shapes of the level and of its blocks, in voxels.
    todo
        Blocks that the run writes, as the first and the last of consecutive numbers.
    """

    number: int
    shape: tuple[int, ...]
    block: tuple[int, ...]
    todo: tuple[tuple[int, int], ...]

    @cached_property
    def blocks(self) -> int:
        """Number of its blocks."""
        return math.prod(self._grid)

    @cached_property
    def _grid(self) -> tuple[int, ...]:
        return grid(self.shape, self.block)

    def voxels(self, block: int) -> int:
        """Number of voxels of a block; blocks are numbered in C order."""
        count = 1
        for length, size, along in zip(
            reversed(self.shape), reversed(self.block), reversed(self._grid), strict=True
        ):
            block, index = divmod(block, along)
            count *= min(size, length - index * size)
        return count

    def is_todo(self, block: int) -> bool:
        """Whether the run writes a block."""
        return any(first <= block <= last for first, last in self.todo)


@dataclass(frozen=True, kw_only=True)
class PlannedSample:
    """A sample, and what a run has to do for it.

    Attributes
    ----------
    bytes_per_voxel
        Size of a stored voxel.
    levels
        Its levels, finest first, but for those that an image of others had; empty if they are not
        known yet.
    ends
        Names of the receipts that the run writes last for it; none if it has nothing to do.
    label
        End of the name of a label, ``/labels/NAME``; "" if it is an image.
    in_place
        Whether levels are added to an image of others where it is.
    """

    bytes_per_voxel: int
    levels: tuple[PlannedLevel, ...]
    ends: tuple[str, ...]
    label: str = ""
    in_place: bool = False

    @property
    def is_todo(self) -> bool:
        """Whether the run writes any block of it."""
        return any(level.todo for level in self.levels)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run and its plan.

    Attributes
    ----------
    directory, logs
        Working directory, and directory of the logs of its jobs.
    nii, zarr_version
        Kind of its stores.
    samples
        Its samples, by name.
    host, machine, process
        Name of the machine; an identifier of it, which changes when it is restarted, or "" if
        unknown; and the number and the time of start of the process.
    began
        When its files were first written, by the clock of the file system; 0 if they were not
        written again since.
    name
        Name of its files.
    """

    directory: str
    logs: str
    nii: bool
    zarr_version: Literal[2, 3]
    samples: dict[str, PlannedSample]
    host: str = field(default_factory=socket.gethostname)
    machine: str = field(default_factory=this_machine)
    process: tuple[int, str] = field(
        default_factory=lambda: (os.getpid(), start_of_process(os.getpid()))
    )
    began: float = 0.0
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    def paths(self, sample: str, output: str) -> StorePaths:
        """Paths of the receipts of a sample below the output directory, by its name."""
        planned = self.samples[sample]
        return StorePaths(
            output=output,
            sample=sample.removesuffix(planned.label),
            nii=self.nii and not planned.in_place,
            zarr_version=self.zarr_version,
            label=planned.label,
            # Where the image is matters only to its jobs.
            place=Place(group="", names=("0",)) if planned.in_place else None,
        )


@dataclass(frozen=True, kw_only=True)
class Now:
    """What a run says of itself.

    Attributes
    ----------
    ended
        "" while it goes on, and then "well" or "badly".
    failed
        Logs of jobs that failed, with the names of the samples that they are about.
    """

    ended: str = ""
    failed: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FoundRun:
    """A record that was read.

    Attributes
    ----------
    record, now
        What its files say.
    began
        When it was written, by the clock of the file system.
    state
        "active"; "well" or "badly", as it ended; or "gone" if it was killed.
    """

    record: RunRecord
    now: Now
    began: float
    state: RunState


def folder(output: str) -> Path:
    """Directory of the records below an output directory."""
    return Path(output, ".state", "runs")


def consecutive(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Say numbers as the first and the last of consecutive ones."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


def start(output: str, record: RunRecord) -> float:
    """Write the record of a run, and delete those of others that have ended and tell nothing more.

    Returns
    -------
    float
        When it was written, by the clock of the file system.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    place = folder(output)
    tell(output, record, Now())
    write(output, record)
    for other in find(output):
        known = other.record
        tells_more = known.samples.keys() - record.samples.keys()
        if known.name != record.name and other.state != "active" and not tells_more:
            (place / f"{known.name}.json").unlink(missing_ok=True)
            (place / f"{known.name}{_NOW}").unlink(missing_ok=True)
    for file in place.parent.glob("bundle-*.partial.json"):  # Of killed jobs.
        with suppress(FileNotFoundError):
            if time.time() - file.stat().st_mtime > LOST:
                file.unlink()
    return (place / f"{record.name}.json").stat().st_mtime


def write(output: str, record: RunRecord) -> None:
    """Write the plan of a run.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    # Without indentation, because there may be thousands of samples.
    text = json.dumps({"format": FORMAT} | asdict(record), ensure_ascii=False)
    write_text(folder(output) / f"{record.name}.json", f"{text}\n")


def tell(output: str, record: RunRecord, now: Now) -> None:
    """Say that a run goes on, or how it has ended.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    text = json.dumps(asdict(now), ensure_ascii=False)
    write_text(folder(output) / f"{record.name}{_NOW}", f"{text}\n")


def find(output: str) -> list[FoundRun]:
    """Read the records below an output directory, the oldest first; those that are damaged not.

    Runs may write and delete them at any moment.
    """
    try:
        names = [name for name in os.listdir(folder(output)) if name.endswith(".json")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [_read(folder(output) / name) for name in names if not name.endswith(_NOW)]
    return sorted((run for run in found if run is not None), key=lambda run: run.began)


def _read(file: Path) -> FoundRun | None:
    try:
        document, began = read_json(file), file.stat().st_mtime
        record = _record(file.stem, document)
        began = record.began or began
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        logger.warning("%s: not a record that this version knows (%r)", file, error)
        return None
    # Before what it says: it may end meanwhile.
    is_here = bool(record.machine) and record.machine == this_machine()
    goes_on = is_alive(record.machine, record.process)
    told = file.with_name(f"{file.stem}{_NOW}")
    now, age = Now(), math.inf
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        said = read_json(told)
        now = Now(ended=str(said["ended"]), failed=dict(said["failed"]))
        age = time.time() - told.stat().st_mtime
    state: RunState = "active" if goes_on or (not is_here and age < LOST) else "gone"
    if now.ended:
        state = "well" if now.ended == "well" else "badly"
    return FoundRun(record=record, now=now, began=began, state=state)


def _record(name: str, document: Document) -> RunRecord:
    number, began = document["process"]
    samples = {
        sample: PlannedSample(
            bytes_per_voxel=int(planned["bytes_per_voxel"]),
            levels=tuple(
                PlannedLevel(
                    number=int(level["number"]),
                    shape=tuple(level["shape"]),
                    block=tuple(level["block"]),
                    todo=tuple((int(first), int(last)) for first, last in level["todo"]),
                )
                for level in planned["levels"]
            ),
            ends=tuple(planned["ends"]),
            label=str(planned["label"]),
            in_place=bool(planned["in_place"]),
        )
        for sample, planned in document["samples"].items()
    }
    return RunRecord(
        directory=str(document["directory"]),
        logs=str(document["logs"]),
        nii=bool(document["nii"]),
        zarr_version=document["zarr_version"],
        samples=samples,
        host=str(document["host"]),
        machine=str(document["machine"]),
        process=(int(number), str(began)),
        began=float(document["began"]),
        name=name,
    )


class Pulse:
    """Says every few seconds that a run goes on, which of its jobs failed, and what it has to do.

    Parameters
    ----------
    output
        Output directory.
    record
        The run, of which the record is written.
    began
        What `start` has returned.
    """

    def __init__(self, output: str, record: RunRecord, began: float) -> None:
        self._output, self._record = output, replace(record, began=began)
        self._failed: dict[str, list[str]] = {}
        self._told = time.monotonic()
        self._changed = self._has_more = False

    def failed(self, log: str, samples: Sequence[str]) -> None:
        """Note that a job failed, by its log."""
        self._failed = self._failed | {log: list(samples)}
        self._changed = True

    def started(self, log: str) -> None:
        """Note that a job, which may have failed before, was started."""
        if log in self._failed:
            self._failed = {other: of for other, of in self._failed.items() if other != log}
            self._changed = True

    def plan(self, samples: Mapping[str, PlannedSample]) -> None:
        """Note samples of which it was not known before what the run has to do."""
        known = self._record.samples
        self._record = replace(self._record, samples={**known, **samples})
        self._has_more = True

    def beat(self) -> None:
        """Say so, if it is time to; called often."""
        if self._has_more or self._changed or time.monotonic() - self._told >= PULSE:
            self._tell("")

    def end(self, how: Literal["well", "badly"]) -> None:
        """Say that the run has ended."""
        self._tell(how)

    def _tell(self, ended: str) -> None:
        has_more, self._told = self._has_more, time.monotonic()
        self._has_more = self._changed = False
        try:
            if has_more:
                write(self._output, self._record)
            tell(self._output, self._record, Now(ended=ended, failed=self._failed))
        except NeurozarrError as error:  # It is no reason to stop the run.
            logger.warning("%s", error)
