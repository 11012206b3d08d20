"""The target ``plan``, and runs that do not fit on the disk."""

import re
import shutil
import subprocess
from collections import Counter

import pytest


def jobs_of(run):
    """The number of jobs that a plan says, by step."""
    (text,) = re.findall(r"^jobs: +\d+ \((.*?)\)", run.output, re.M) or [""]
    counts = (words.split() for words in text.split(", ") if words)
    return {step: int(count) for count, step in counts}


def jobs_of_dry_run(workflow):
    """The number of jobs that Snakemake would start, by rule."""
    found = re.findall(r"^(?:local)?rule (\w+):$", workflow("--dry-run").output, re.M)
    return {rule: count for rule, count in Counter(found).items() if rule != "all"}


@pytest.fixture
def blocks(workflow):
    """A conversion of several blocks a level."""
    workflow.config["resources"] = {"block_mb": 0.02}
    workflow.config["zarr"]["chunk"] = 8
    return workflow


def test_plan_counts_the_jobs_that_snakemake_would_start(blocks):
    run = blocks("plan")
    assert not blocks.output.exists()
    assert re.search(r"^0 +25 x 41 x 33 +2 x 2 x 2 +8 x 8 x 8 +0\.07 +0\.0\d$", run.output, re.M)
    assert re.search(r"^  zarr\.chunk +8 \(default 128\)$", run.output, re.M)
    assert re.search(r"^space: .*: the stores fit$", run.output, re.M)
    assert jobs_of(run) == jobs_of_dry_run(blocks)
    assert jobs_of(run)["write_base"] > 1
    blocks()
    whole = blocks.tree()
    run = blocks("plan")
    assert "neurozarr: 1 sample; nothing to do: all stores are complete" in run.output
    (blocks.state / "anatomical.nii.zarr/0/block-1.json").unlink()
    run = blocks("plan")
    assert jobs_of(run) == jobs_of_dry_run(blocks)
    assert jobs_of(run)["write_base"] == 1
    blocks.config["pyramid"] = {"mode": "median"}
    assert jobs_of(blocks("plan")) == jobs_of_dry_run(blocks)
    assert blocks.tree() == whole


def test_plan_names_what_cannot_be_read_and_plans_the_others(workflow):
    (workflow.directory / "not.mgz").write_bytes(b"hello")
    workflow.config["source"] = ["anatomical.nii", "not.mgz"]
    workflow.bundle = workflow.screen = True
    run = workflow("plan", check=False)
    assert run.code == 1
    assert "neurozarr: sample not: not.mgz: " in run.output
    assert "neurozarr: 1 sample, and 1 that cannot be read (see above)" in run.output
    assert jobs_of(run) == {"convert_bundle": 2}
    assert "job plan failed" not in run.output
    assert not workflow.output.exists()


@pytest.fixture
def disk(workflow):
    """A file system of its own that is too small for the store, as the output's parent."""
    folder = workflow.directory / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32k", "none", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    workflow.config["output"] = "disk/a/b"
    yield folder
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)


def test_run_that_does_not_fit_is_refused_before_it_writes(workflow, disk):
    run = workflow(check=False)
    assert run.code == 1
    assert re.search(
        r"^neurozarr: the stores need about [\d.]+ kB \([\d.]+ kB to [\d.]+ kB\), and 32\.8 kB are "
        r"free in the file system of \S+/disk; .* set resources\.check_space to false$",
        run.output,
        re.M,
    )
    assert list(disk.iterdir()) == []
    run = workflow("plan", check=False)
    assert run.code == 1
    assert "the stores do not fit; a run would be refused (resources.check_space)" in run.output
    assert list(disk.iterdir()) == []
    workflow("--dry-run")
    workflow.config["resources"] = {"check_space": False}
    run = workflow(check=False)
    assert run.code == 1
    assert "No space left on device" in run.output
    assert workflow.store().exists()


def test_run_that_may_not_fit_goes_on_with_a_warning(workflow, disk):
    subprocess.run(["mount", "-o", "remount,size=160k", str(disk)], check=True)
    run = workflow(check=False)
    assert "; if the disk becomes full, free space and run again" in run.output
    assert workflow.store().exists()


def test_converted_samples_need_no_space(workflow, disk):
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    workflow()
    shutil.copy(workflow.directory / "anatomical.nii", workflow.directory / "b.nii")
    with (disk / "fill").open("wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free - 2**16))
    # Nothing but the verification is to be done again.
    (workflow.state / "anatomical.nii.zarr/verify.json").unlink()
    assert workflow().jobs == {"verify_store"}
    workflow.config["source"] = ["anatomical.nii", "b.nii"]
    run = workflow(check=False)
    assert run.code == 1
    assert "neurozarr: the stores need about " in run.output
    assert not workflow.store("b").exists()
