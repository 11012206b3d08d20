"""Time and memory of the steps of a sample, from the benchmarks of its jobs.

A job of its own step has a file that Snakemake writes, such as ``write_base_0.tsv``. A sample that
was converted together with others has one file with a line for each step, ``convert.tsv``.
"""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurozarr.zarr.documents import write_text

#: File with the steps of a sample that was converted together with others.
TOGETHER = "convert.tsv"
_COLUMNS = ("step", "level", "block", "s", "max_rss")
#: Names of Snakemake's files: the step, the level and the block.
_NAMES = (
    r"(?P<step>create_array|pyramid_level|export_nifti)_(?P<level>\d+)(?:_(?P<block>\d+))?",
    r"(?P<step>write_base)_(?P<block>\d+)",
    r"(?P<step>ome_metadata|extend_metadata|nifti_header|verify_store)",
)
_MB = 2**20


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a step took.

    Attributes
    ----------
    step
        Name of the step.
    level, block
        Numbers of the level and the block; None if the step has none.
    seconds
        Its duration.
    megabytes
        Largest memory of its process until its end, in MiB; None if it was too short to be seen.
    """

    step: str
    level: int | None = None
    block: int | None = None
    seconds: float
    megabytes: float | None


def folder_of(log: Path, name: str) -> Path:
    """Directory of the benchmarks of a sample, from that of its logs.

    Parameters
    ----------
    log
        A log of one of its jobs, ``logs/NAME/STEP.log``, with what may precede it.
    name
        Name of the sample.
    """
    before, _, _ = str(log).rpartition(f"logs/{name}/")
    return Path(f"{before}benchmarks", name)


def read(folder: Path) -> list[Measured]:
    """Read the benchmarks of a sample; those that are missing or damaged are left out.

    If it was converted in both ways, only those of the later one are read.
    """
    files = {
        file: named
        for file in sorted(folder.glob("*.tsv"))
        for name in _NAMES
        if (named := re.fullmatch(name, file.stem))
    }
    together = folder / TOGETHER
    if together.exists() and all(_time(together) >= _time(file) for file in files):
        return list(_rows(together, {}))
    return [row for file, named in files.items() for row in _rows(file, named.groupdict())]


def _rows(file: Path, known: dict[str, str | None]) -> Iterator[Measured]:
    """The rows of a file that has what is not already known from its name."""
    text = file.read_text(errors="replace")
    for row in csv.DictReader(io.StringIO(text), delimiter="\t"):
        with suppress(KeyError, ValueError, TypeError):
            yield _measured({**row, **known})


def _time(file: Path) -> float:
    return file.stat().st_mtime


def _measured(row: dict[str, Any]) -> Measured:
    memory = row["max_rss"]
    return Measured(
        step=row["step"],
        level=int(row["level"]) if row.get("level") else None,
        block=int(row["block"]) if row.get("block") else None,
        seconds=float(row["s"]),
        megabytes=None if memory in ("", "NA", "-") else float(memory),
    )


class Stopwatch:
    """Measures the steps of a sample that one process does one after the other."""

    def __init__(self) -> None:
        self.measured: list[Measured] = []

    @contextmanager
    def step(self, name: str, level: int | None = None, block: int | None = None) -> Iterator[None]:
        """Measure a step, if it does not fail."""
        _forget_peak()
        start = time.monotonic()
        yield
        seconds = time.monotonic() - start
        self.measured.append(
            Measured(step=name, level=level, block=block, seconds=seconds, megabytes=_peak())
        )

    def write(self, folder: Path) -> None:
        """Write what was measured; steps that were not done this time keep their line."""
        if not self.measured:
            return
        before = read(folder) if (folder / TOGETHER).exists() else []
        lines = {(each.step, each.level, each.block): each for each in (*before, *self.measured)}
        stream = io.StringIO()
        table = csv.writer(stream, delimiter="\t", lineterminator="\n")
        table.writerow(_COLUMNS)
        for (step, level, block), each in lines.items():
            memory = "NA" if each.megabytes is None else f"{each.megabytes:.2f}"
            table.writerow((step, level, block, f"{each.seconds:.4f}", memory))
        write_text(folder / TOGETHER, stream.getvalue())


def _forget_peak() -> None:
    """Have the system measure the largest memory of this process from now on (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float | None:
    """Largest memory of this process since `_forget_peak`, in MiB; None if unknown."""
    with suppress(OSError):
        status = Path("/proc/self/status").read_text()
        if found := re.search(r"^VmHWM:\s+(\d+) kB$", status, re.M):
            return int(found[1]) * 1024 / _MB
    return None
