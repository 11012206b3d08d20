"""What snakedeploy lays out of a repository on GitHub, which is here a repository on this disk."""

import os
import subprocess

import yaml

from ..runs import Started

SNAKEFILE = """
configfile: "config/config.yaml"

module neurozarr:
    snakefile:
        github("someone/neurozarr", path="workflow/Snakefile", tag="v1")
    config:
        config

use rule * from neurozarr
"""


def test_a_workflow_on_github_brings_its_package(root, workflow, tmp_path, fresh):
    repository = tmp_path / "hosted/someone/neurozarr"
    subprocess.run(["git", "init", "--quiet", "--bare", repository], check=True)
    git = ["git", "-C", repository, "-c", "core.bare=false", f"--work-tree={root}"]
    git += ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    files = ["Snakefile", "workflow", "rules", "scripts", "envs"]
    for command in (["add", *files], ["commit", "--quiet", "-m", "1"], ["tag", "v1"]):
        subprocess.run([*git, *command], check=True, cwd=root)

    there = workflow.directory
    for file, text in (
        ("workflow/Snakefile", SNAKEFILE),
        ("config/config.yaml", yaml.safe_dump(workflow.config)),
    ):
        (there / file).parent.mkdir()
        (there / file).write_text(text)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{tmp_path}/hosted/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }
    done = Started(["--cores", "2"], there, environment).wait()
    assert done.code == 0, done.output
    assert workflow.tree() == fresh(workflow)
