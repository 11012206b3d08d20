"""Runs of the workflow, as programs of their own."""

import atexit
import hashlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml
import zarr

from .programs import PATIENCE


@dataclass
class Run:
    """What one call of snakemake printed and did."""

    code: int
    output: str

    @property
    def jobs(self) -> set[str]:
        """The jobs it ran (or would run), such as "pyramid_level/1", targets apart."""
        found = re.findall(
            r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?: {4}.*\n)*)", self.output, re.M
        )
        jobs = set()
        for rule, body in found:
            level = re.search(r"wildcards: .*level=(\d+)", body)
            jobs.add(f"{rule}/{level[1]}" if level else rule)
        return jobs - {"all"}

    @property
    def rules(self) -> set[str]:
        """The rules of which it ran (or would run) jobs, targets too."""
        return set(re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):\n", self.output, re.M))

    @property
    def message(self) -> str:
        """The lines that it printed about an error."""
        start = re.search(r"^\w*(Error|Exception)\b", self.output, re.M)
        return self.output[start.start() :] if start else ""


@cache
def forks() -> subprocess.Popen[str]:
    """The program `forks.py`, which runs until the tests end."""
    program = subprocess.Popen(
        [sys.executable, "-P", str(Path(__file__).with_name("forks.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(program.communicate)
    return program


def tell(command: dict[str, object]) -> int:
    """Give `forks.py` a command and return its answer."""
    program = forks()
    assert program.stdin
    assert program.stdout
    print(json.dumps(command), file=program.stdin, flush=True)
    return int(program.stdout.readline())


class Started:
    """A run that goes on while something else is done, in a session of its own."""

    def __init__(
        self,
        arguments: list[str],
        directory: Path,
        environment: dict[str, str],
        terminal: str = "",
    ) -> None:
        self._output = tempfile.NamedTemporaryFile("r", encoding="utf-8")  # noqa: SIM115
        run = {"arguments": arguments, "directory": str(directory), "environment": environment}
        self.pid = tell({"start": run | {"output": terminal or self._output.name}})
        self._end = os.pidfd_open(self.pid)
        self._done: Run | None = None

    def has_ended(self, seconds: float = 0) -> bool:
        """Whether it has ended, or does so within some seconds."""
        return self._done is not None or bool(select.select([self._end], [], [], seconds)[0])

    def wait(self) -> Run:
        """Wait for its end."""
        if not self.has_ended(PATIENCE):
            self.signal(signal.SIGKILL)
            raise TimeoutError(self.wait().output)
        if self._done is None:
            self._done = Run(tell({"wait": self.pid}), self._output.read())
            self._output.close()
            os.close(self._end)
        return self._done

    def kill(self) -> None:
        """Kill Snakemake, but not its jobs."""
        os.kill(self.pid, signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Send a signal to Snakemake and its jobs."""
        os.killpg(self.pid, number)


def wait_until(condition: Callable[[], bool], process: Started, *, interval: float = 0.002) -> None:
    """Wait for a condition while a run goes on; look again after each interval, in seconds."""
    has_ended = False
    while not condition():
        assert not has_ended, f"it ended too early: {process.wait().output}"
        has_ended = process.has_ended(interval)  # Both may come true between two looks.


def job_processes(session: int) -> list[int]:
    """Processes of a session that run the script of a job."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes()
            its_session = int((path / "stat").read_text().rpartition(")")[2].split()[3])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if its_session == session and b".snakemake/scripts/" in b"".join(command.split(b"\0")[1:2]):
            found.append(int(path.name))
    return found


@dataclass
class Workflow:
    """The workflow, run in a directory of its own with a configuration file."""

    root: Path
    directory: Path
    config: dict = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    #: Whether small samples are bundled; else each step of theirs is a job to look at.
    bundle: bool = False
    #: Whether it prints what it does for users.
    screen: bool = False
    #: Name of a terminal to which it prints, if it does to one.
    terminal: str = ""

    def _start(self, *args: str) -> Started:
        resources = {"bundle": self.bundle} | self.config.get("resources", {})
        config = self.config | {"resources": resources}
        (self.directory / "config.yaml").write_text(yaml.safe_dump(config))
        options = ("--snakefile", str(self.root / "Snakefile"), "--configfile", "config.yaml")
        # With --quiet, Snakemake prints what it does itself, which tells all about each job.
        quiet = () if self.screen else ("--quiet", "host")
        arguments = [*quiet, *options, "--cores", "2", *args]
        return Started(arguments, self.directory, self.environment, self.terminal)

    def __call__(self, *args: str, check: bool = True) -> Run:
        done = self._start(*args).wait()
        assert not check or done.code == 0, done.output
        return done

    @contextmanager
    def started(self, *args: str) -> Iterator[Started]:
        """It runs while something else is done; the end awaits it."""
        process = self._start(*args)
        try:
            yield process
        except BaseException:
            if not process.has_ended():
                process.signal(signal.SIGKILL)
            raise
        finally:
            process.wait()

    def kill_when(
        self, condition: Callable[[], bool], victim: str = "all", options: Sequence[str] = ()
    ) -> None:
        """Start it with options, kill it as soon as a condition holds, and take its locks away.

        Killed are "all" its processes, "snakemake" alone, or the "job" that runs then or next, if
        one does.
        """
        with self.started(*options) as process:
            wait_until(condition, process)
            if victim == "job":
                jobs: list[int] = []
                while not jobs and not process.has_ended(0.01):
                    jobs = job_processes(process.pid)
                for job in jobs:
                    with suppress(ProcessLookupError):
                        os.kill(job, signal.SIGKILL)
                process.wait()
            elif victim == "snakemake":
                process.kill()
            else:
                process.signal(signal.SIGKILL)
        if (locks := self.directory / ".snakemake/locks").exists():
            shutil.rmtree(locks)

    def copy_to(self, directory: Path) -> None:
        """Copy all that is in its directory, with the times of files."""
        shutil.copytree(self.directory, directory, dirs_exist_ok=True)

    @property
    def output(self) -> Path:
        return self.directory / self.config.get("output", "results")

    @property
    def state(self) -> Path:
        """Where the receipts are."""
        return self.output / ".state"

    def store(self, sample: str = "anatomical") -> Path:
        suffix = "nii" if self.config.get("nifti", {}).get("nii", True) else "ome"
        return self.output / f"{sample}.{suffix}.zarr"

    def group(self, sample: str = "anatomical") -> dict:
        """The attributes of a store."""
        return dict(zarr.open_group(str(self.store(sample)), mode="r").attrs)

    def tree(self, sample: str = "anatomical") -> dict[str, str]:
        """A checksum of every file in a store, by its path."""
        store = self.store(sample)
        return {
            path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(store.rglob("*"))
            if path.is_file()
        }
