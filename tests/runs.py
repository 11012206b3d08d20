"""Runs of the workflow, as programs of their own."""

import atexit
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml
import zarr


@dataclass
class Run:
    """What one call of snakemake printed and did."""

    code: int
    output: str

    @property
    def jobs(self) -> set[str]:
        """The jobs it ran (or would run), such as "pyramid_level/1", targets apart."""
        found = re.findall(r"^(?:local)?rule (\w+):\n((?: {4}.*\n)*)", self.output, re.M)
        jobs = set()
        for rule, body in found:
            level = re.search(r"wildcards: .*level=(\d+)", body)
            jobs.add(f"{rule}/{level[1]}" if level else rule)
        return jobs - {"all"}

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


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for a condition while a program runs."""
    while not condition():
        assert process.poll() is None, f"it ended too early: {process.communicate()[0]}"
        time.sleep(0.002)


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

    def arguments(self, *args: str) -> list[str]:
        """Write the configuration; return the arguments of snakemake."""
        resources = {"bundle": self.bundle} | self.config.get("resources", {})
        config = self.config | {"resources": resources}
        (self.directory / "config.yaml").write_text(yaml.safe_dump(config))
        snakefile = str(self.root / "Snakefile")
        return ["--snakefile", snakefile, "--configfile", "config.yaml", "--cores", "2", *args]

    def __call__(self, *args: str, check: bool = True) -> Run:
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as output:
            run = {
                "arguments": self.arguments(*args),
                "directory": str(self.directory),
                "environment": self.environment,
                "output": output.name,
            }
            program = forks()
            assert program.stdin
            assert program.stdout
            print(json.dumps(run), file=program.stdin, flush=True)
            done = Run(int(program.stdout.readline()), output.read())
        assert not check or done.code == 0, done.output
        return done

    @contextmanager
    def started(self, *args: str) -> Iterator[subprocess.Popen[str]]:
        """It runs, in a session of its own, while something else is done; the end awaits it."""
        with subprocess.Popen(
            [sys.executable, "-m", "snakemake", *self.arguments(*args)],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            except BaseException:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                raise

    def kill_when(self, condition: Callable[[], bool], victim: str = "all") -> None:
        """Start it, kill it as soon as a condition holds, and take its locks away.

        Killed are "all" its processes, "snakemake" alone, or the "job" that runs then or next, if
        one does.
        """
        with self.started() as process:
            wait_until(condition, process)
            if victim == "job":
                jobs: list[int] = []
                while not jobs and process.poll() is None:
                    jobs = job_processes(process.pid)
                for job in jobs:
                    with suppress(ProcessLookupError):
                        os.kill(job, signal.SIGKILL)
                process.communicate()
            elif victim == "snakemake":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
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
