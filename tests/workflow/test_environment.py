"""Runs with `--software-deployment-method conda`, in which nothing else has the packages."""

import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import yaml

#: Answers as conda does what Snakemake asks of it. The channels cannot be reached in a test: an
#: environment is made of the packages that are here.
CONDA = f"""#!{sys.executable}
import json, os, shutil, sys
from pathlib import Path

base, call = Path(__file__).parents[1], sys.argv[1:]
prefixes = base / "envs"
if call == ["--version"]:
    print("conda 25.9.1")
elif call == ["info", "--json"]:
    print(json.dumps({{"conda_prefix": str(base), "platform": "linux-64"}}))
elif call[:2] == ["config", "--get"]:
    print(json.dumps({{"get": {{"channel_priority": "strict"}}}}))
elif call[:2] == ["env", "list"]:
    print(json.dumps({{"envs": [str(path) for path in prefixes.iterdir()]}}))
elif call[:2] == ["env", "create"]:
    given = dict(zip(call[2:], call[3:]))
    prefix = Path(given.get("--prefix") or prefixes / given["--name"])
    shutil.copy(given.get("--file") or given["-f"], base / f"{{prefix.name}}.yaml")
    prefix.symlink_to(base / "made")
elif call[:1] != ["clean"]:
    sys.exit(f"unknown: {{call}}")
"""


def make_environment(directory: Path, without: tuple[str, ...]) -> Path:
    """An environment with all packages of this one but those whose files begin with something."""
    venv.create(directory, symlinks=True)
    (packages,) = directory.glob("lib/*/site-packages")
    for file in Path(site.getsitepackages()[0]).iterdir():
        if not file.name.startswith(without):
            (packages / file.name).symlink_to(file)
    return directory


@pytest.fixture
def conda(tmp_path):
    """A conda, which has made no environments yet."""
    base = tmp_path / "conda"
    (base / "envs").mkdir(parents=True)
    (base / "bin").mkdir()
    (base / "bin/conda").write_text(CONDA)
    (base / "bin/conda").chmod(0o755)
    (base / "bin/activate").write_text('export PATH="$1/bin:$PATH"\n')
    make_environment(base / "made", ("__editable__", "neurozarr", "snakemake"))
    return base


@pytest.fixture
def python(tmp_path, conda):
    """Runs Python, with Snakemake and that conda, but without our packages."""
    # Its plugin for SLURM needs pandas, and this NumPy.
    absent = ("__editable__", "neurozarr", "numpy", "pandas", "snakemake_executor_plugin_slurm")
    place = make_environment(tmp_path / "snakemake", absent)

    def python(*args, directory):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment["PATH"] = f"{conda / 'bin'}:{environment['PATH']}"
        command = [place / "bin/python", *args]
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    return python


def test_conda_gives_planning_and_jobs_their_packages(root, workflow, conda, python, fresh):
    there = workflow.directory
    (there / "config.yaml").write_text(yaml.safe_dump(workflow.config))
    for module in ("neurozarr", "numpy"):
        assert python("-c", f"import {module}", directory=there)[0] == 1

    options = ["--snakefile", root / "workflow/Snakefile", "--configfile", "config.yaml"]
    options += ["--cores", "2", "--software-deployment-method", "conda"]
    code, output = python("-m", "snakemake", *options, directory=there)
    assert code == 0, output
    assert workflow.tree() == fresh(workflow)

    given = yaml.safe_load((root / "envs/neurozarr.yaml").read_text())["dependencies"]
    for_planning = f"python =={sys.version_info.major}.{sys.version_info.minor}"
    made = [yaml.safe_load(path.read_text())["dependencies"] for path in conda.glob("*.yaml")]
    assert sorted(made, key=len) == [given, [*given, for_planning]]
