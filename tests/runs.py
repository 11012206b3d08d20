"""Runs of the workflow, as programs of their own."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
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


@dataclass
class Workflow:
    """The workflow, run in a directory of its own with a configuration file."""

    root: Path
    directory: Path
    config: dict = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def command(self, *args: str) -> list[str]:
        (self.directory / "config.yaml").write_text(yaml.safe_dump(self.config))
        return [
            sys.executable,
            "-m",
            "snakemake",
            *("--snakefile", str(self.root / "Snakefile")),
            *("--configfile", "config.yaml", "--cores", "2"),
            *args,
        ]

    def __call__(self, *args: str, check: bool = True) -> Run:
        done = subprocess.run(
            self.command(*args),
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert not check or done.returncode == 0, done.stdout
        return Run(done.returncode, done.stdout)

    def kill_when(self, condition: Callable[[], bool]) -> None:
        """Start it, kill all its processes as soon as a condition holds, and unlock."""
        with subprocess.Popen(
            self.command(),
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            while not condition():
                assert process.poll() is None, "it ended before it could be killed"
                time.sleep(0.002)
            os.killpg(process.pid, signal.SIGKILL)
        self("--unlock")

    def store(self, sample: str = "anatomical") -> Path:
        suffix = "nii" if self.config.get("nifti", {}).get("nii", True) else "ome"
        return self.directory / "results" / f"{sample}.{suffix}.zarr"

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
