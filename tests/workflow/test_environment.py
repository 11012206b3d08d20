"""Runs in environments that lack the packages: conda makes one, or git brings neurozarr itself."""

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

#: How the names of neurozarr's files in an environment begin.
OURS = ("__editable__", "neurozarr")

#: What snakedeploy writes.
DEPLOYED = """
configfile: "config/config.yaml"

module neurozarr:
    snakefile:
        github("someone/neurozarr", path="workflow/Snakefile", tag="v1.2.3")
    config:
        config

use rule * from neurozarr
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
    make_environment(base / "made", (*OURS, "snakemake"))
    return base


class Python:
    """Python in an environment of its own; a conda, if there is one, is on the path."""

    def __init__(self, place, conda=None, **environment):
        self._place = place
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._environment = kept | environment
        if conda is not None:
            self._environment["PATH"] = f"{conda / 'bin'}:{kept['PATH']}"

    def __call__(self, *args, directory):
        command = [self._place / "bin/python", *args]
        options = {"cwd": directory, "env": self._environment, "capture_output": True}
        done = subprocess.run(command, **options, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


def test_conda_gives_planning_and_jobs_their_packages(root, workflow, conda, tmp_path, fresh):
    # Snakemake's plugin for SLURM needs pandas, and this NumPy.
    absent = ("numpy", "pandas", "snakemake_executor_plugin_slurm")
    python = Python(make_environment(tmp_path / "snakemake", (*OURS, *absent)), conda)
    there = workflow.directory
    (there / "config.yaml").write_text(yaml.safe_dump(workflow.config))
    run = ["-m", "snakemake", "--snakefile", root / "workflow/Snakefile", "--cores", "2"]
    run += ["--configfile", "config.yaml"]
    code, output = python(*run, directory=there)
    assert code == 1
    assert "neurozarr: Snakemake runs in an environment without numpy: add --softw" in output

    code, output = python(*run, "--software-deployment-method", "conda", directory=there)
    assert code == 0, output
    assert workflow.tree() == fresh(workflow)

    given = yaml.safe_load((root / "envs/neurozarr.yaml").read_text())["dependencies"]
    for_planning = f"python =={sys.version_info.major}.{sys.version_info.minor}"
    made = [yaml.safe_load(path.read_text())["dependencies"] for path in conda.glob("*.yaml")]
    assert sorted(made, key=len) == [given, [*given, for_planning]]


def test_a_workflow_on_github_brings_its_package(root, workflow, tmp_path, fresh):
    """What snakedeploy writes runs, of a repository that git has from this disk."""
    repository = tmp_path / "hosted/someone/neurozarr"
    git = ["git", "-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    git += ["-c", "core.bare=false", f"--git-dir={repository}", f"--work-tree={root}"]
    files = ["Snakefile", "workflow", "rules", "scripts", "envs"]
    subprocess.run(["git", "init", "--quiet", "--bare", repository], check=True)
    for command in (["add", *files], ["commit", "--quiet", "-m", "1"], ["tag", "v1.2.3"]):
        subprocess.run([*git, *command], check=True, cwd=root)
    place = make_environment(tmp_path / "snakemake", OURS)
    python = Python(
        place,
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0=f"url.file://{tmp_path}/hosted/.insteadOf",
        GIT_CONFIG_VALUE_0="https://github.com/",
    )

    there = workflow.directory
    for file, text in (
        ("workflow/Snakefile", DEPLOYED),
        ("config/config.yaml", yaml.safe_dump(workflow.config)),
    ):
        (there / file).parent.mkdir()
        (there / file).write_text(text)
    code, output = python("-m", "snakemake", "--cores", "2", directory=there)
    assert code == 0, output
    made, expected = workflow.tree(), fresh(workflow)
    assert made.pop("zarr.json") != expected.pop("zarr.json")
    assert made == expected
    assert '"version": "1.2.3"' in (workflow.store() / "zarr.json").read_text()
