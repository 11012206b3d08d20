"""Faults during a run: full or read-only disks, and sources that change."""

import os
import re
import shutil
import subprocess
from contextlib import suppress

import nibabel
import numpy as np
import pytest

from ..runs import wait_until


@pytest.fixture
def disk(workflow):
    """Mount a separate file system, with options, as the output of a conversion."""
    folder = workflow.directory / "disk"
    folder.mkdir()
    workflow.config["output"] = "disk/results"

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    yield mount
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)


@pytest.mark.parametrize("driver", ["tensorstore", "zarr-python"])
def test_full_disk_is_named_and_the_next_run_continues(workflow, disk, driver, fresh):
    workflow.config["zarr"]["driver"] = driver
    disk("size=100k")
    run = workflow(check=False)
    assert run.code == 1
    assert "No space left on device" in run.output
    (message,) = set(re.findall(r"^StoreError: (.*)$", run.output, re.M))
    assert "anatomical.nii.zarr/0: voxels cannot be written (" in message
    assert driver != "tensorstore" or "anatomical.nii.zarr/0/c/" in message
    assert not re.search(r"tensorstore|os_error|RESOURCE_EXHAUSTED|\[\w+=", message)
    assert not (workflow.store() / "zarr.json").exists()
    disk("remount,size=10m")
    assert "create_array/0" not in workflow().jobs
    assert workflow.tree() == fresh(workflow)


def test_full_disk_of_the_receipts_is_named(workflow, disk, fresh):
    # The receipts are on a separate, small file system.
    disk("size=256k")
    workflow.config["output"] = "results"
    workflow.output.mkdir()
    workflow.state.symlink_to(workflow.directory / "disk")
    with workflow.started() as process:
        wait_until((workflow.state / "anatomical.nii.zarr/0/array.json").exists, process)
        fill = workflow.state / "fill"
        with suppress(OSError), fill.open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(4096))
        run = process.wait()
    assert run.code == 1
    found = re.search(
        r"^StoreError: results/\.state/anatomical\.nii\.zarr/(\S+): (.*)$", run.output, re.M
    )
    assert found, run.output
    assert found[2].startswith(
        "it cannot be written (No space left on device). Free space or fix the permissions, "
        "then run again"
    )
    assert not (workflow.store() / "zarr.json").exists()
    fill.unlink()
    assert "create_array/0" not in workflow().jobs
    assert workflow.tree() == fresh(workflow)


def test_read_only_output_is_named_before_any_job(workflow, disk):
    disk("size=10m,ro")
    run = workflow(check=False)
    assert run.code == 1
    assert "Traceback" not in run.output
    message = "neurozarr: output disk/results cannot be written ([Errno 30] Read-only file system"
    assert run.output.strip().splitlines()[-1].startswith(message)


def test_complete_store_on_a_read_only_disk_is_not_changed(workflow, disk):
    disk("size=10m")
    workflow()
    whole = workflow.tree()
    disk("remount,ro")
    assert workflow().jobs == set()
    assert workflow.tree() == whole


def another_image(workflow):
    image = nibabel.load(workflow.directory / "anatomical.nii")
    voxels = np.asarray(image.dataobj.get_unscaled())[::-1].copy()
    path = workflow.directory / "another.nii"
    nibabel.Nifti1Image(voxels, image.affine).to_filename(path)
    return path


def replace(source, workflow):
    os.replace(another_image(workflow), source)


def shrink(source, workflow):
    whole = source.read_bytes()
    source.unlink()  # A job that has opened the file keeps its content.
    source.write_bytes(whole[:-1000])


def vanish(source, workflow):
    source.unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace, r"anatomical\.nii was changed since its conversion began"),
        # The change is found before, while or after a block is copied.
        (
            shrink,
            r"anatomical\.nii: (cut short: |its size changed from \d+ to \d+ bytes since its )",
        ),
        (
            vanish,
            r"anatomical\.nii(: there is no such file|, is missing| \(missing| cannot be read)",
        ),
    ],
)
def test_source_changed_between_blocks_is_an_error(workflow, change, message, fresh):
    source = workflow.directory / "anatomical.nii"
    kept = shutil.copy2(source, workflow.directory / "kept")
    workflow.config["resources"] = {"block_mb": 0.04}
    with workflow.started() as process:
        wait_until((workflow.state / "anatomical.nii.zarr/0/block-0.json").exists, process)
        change(source, workflow)
        run = process.wait()
    assert run.code == 1
    assert re.search(message, run.output), run.output
    assert not (workflow.store() / "zarr.json").exists()
    if change != replace:
        os.replace(kept, source)
    run = workflow()
    assert workflow.tree() == fresh(workflow)
    if change == vanish:
        assert "create_array/0" not in run.jobs
