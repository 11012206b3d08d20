"""Power cuts, simulated by mounting a copy of the disk image that was made during a run."""

import filecmp
import shutil
import signal
import subprocess

import pytest

from .. import disks
from ..runs import wait_until


def power_cut(image, copy):
    """Copy the image of a file system as it is on the disk, without data that are only in memory.

    The system may write to the image during the copy, so it is copied until two copies are equal.
    """
    for _ in range(20):
        for target in (copy, f"{copy}.again"):
            subprocess.run(["cp", "--sparse=always", image, target], check=True)
        if filecmp.cmp(copy, f"{copy}.again", shallow=False):
            return
    raise AssertionError("the disk is written to all the time")


@pytest.fixture(params=["ext4", "xfs"])
def image(request, tmp_path):
    """An empty file system that is contained in a file."""
    return disks.make(request.param, tmp_path / "image")


def converted_after(copy, workflow, fresh, *, whole, old=None):
    """Check that an image on a copied disk is complete or not published; complete it by a run.

    It may also be the complete old store, if its deletion had not reached the disk. `whole` says
    that the image must be published.
    """
    with disks.mounted(copy, workflow.output.parent):
        shutil.rmtree(workflow.directory / ".snakemake", ignore_errors=True)
        published = (workflow.store() / "zarr.json").exists()
        if published:
            assert workflow.tree() in (fresh(workflow), old)
        assert published or not whole
        if whole:
            assert workflow("--dry-run").jobs == set()
        workflow()
        assert workflow.tree() == fresh(workflow)


@pytest.mark.parametrize(
    ("image", "driver"), [("ext4", "tensorstore"), ("xfs", "zarr-python")], indirect=["image"]
)
def test_complete_store_survives_a_power_cut(workflow, fresh, image, driver):
    workflow.config["zarr"]["driver"] = driver
    workflow.config["output"] = "disk/results"
    with disks.mounted(image, workflow.directory / "disk"):
        workflow()
        power_cut(image, image.with_name("copy"))
    converted_after(image.with_name("copy"), workflow, fresh, whole=True)


def copies_of_a_run(workflow, image, moments):
    """Copy the disk during a run, each time that a new file appears."""
    copies = []
    with workflow.started() as process:
        for moment in moments:
            wait_until(moment, process)
            process.signal(signal.SIGSTOP)
            copies.append(image.with_name(f"copy-{len(copies)}"))
            power_cut(image, copies[-1])
            process.signal(signal.SIGCONT)
        process.wait()
    return copies


@pytest.mark.parametrize("image", ["ext4"], indirect=True)
def test_run_interrupted_by_a_power_cut_is_completed(workflow, fresh, image):
    workflow.config["output"] = "disk/results"
    workflow.config["resources"] = {"block_mb": 0.06}
    with disks.mounted(image, workflow.directory / "disk"):
        names = ["0/c", "1/c", "nifti"]
        moments = [(workflow.store() / name).exists for name in names]
        copies = copies_of_a_run(workflow, image, moments)
    for copy in copies:
        converted_after(copy, workflow, fresh, whole=False)


@pytest.mark.parametrize(("image", "bundle"), [("ext4", False), ("xfs", True)], indirect=["image"])
def test_power_cut_never_mixes_old_and_new_store(workflow, fresh, image, bundle):
    workflow.bundle = bundle
    workflow.config["output"] = "disk/results"
    with disks.mounted(image, workflow.directory / "disk"):
        workflow()
        whole = workflow.tree()
        workflow.config["pyramid"] = {"mode": "median"}
        receipt = workflow.state / "anatomical.nii.zarr/1/array.json"
        old = receipt.read_bytes()

        def is_redone():
            try:
                return receipt.read_bytes() != old
            except FileNotFoundError:
                return False

        group = workflow.store() / "zarr.json"
        # The first of these moments may be shorter than the time between two looks.
        moments = [lambda: not group.exists() or is_redone(), is_redone]
        copies = copies_of_a_run(workflow, image, moments)
    for copy in copies:
        converted_after(copy, workflow, fresh, whole=False, old=whole)
