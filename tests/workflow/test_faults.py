"""What breaks on the way: disks that are full or closed, and sources that do not stay the same."""

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
    """Mounts a file system of its own, with options, as the output of a conversion."""
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
def test_a_disk_that_fills_up_is_named_and_with_more_room_the_rest_is_done(
    workflow, disk, driver, fresh
):
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


def test_a_disk_that_fills_up_while_a_receipt_is_written_is_named(workflow, disk, fresh):
    # The voxels have room, the receipts lie on a disk of their own.
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
        output = process.communicate()[0]
    assert process.returncode == 1
    found = re.search(
        r"^StoreError: results/\.state/anatomical\.nii\.zarr/(\S+): (.*)$", output, re.M
    )
    assert found, output
    assert found[2].startswith(
        "it cannot be written (No space left on device). Free space or fix the permissions, "
        "then run again"
    )
    assert not (workflow.store() / "zarr.json").exists()
    fill.unlink()
    assert "create_array/0" not in workflow().jobs
    assert workflow.tree() == fresh(workflow)


def test_an_output_that_cannot_be_written_is_named_before_any_job(workflow, disk):
    disk("size=10m,ro")
    run = workflow(check=False)
    assert run.code == 1
    assert "Traceback" not in run.output
    message = "neurozarr: output disk/results cannot be written ([Errno 30] Read-only file system"
    assert run.output.strip().splitlines()[-1].startswith(message)


def test_a_finished_store_on_a_closed_disk_is_left_as_it_is(workflow, disk):
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
    source.unlink()  # What a job has open stays.
    source.write_bytes(whole[:-1000])


def vanish(source, workflow):
    source.unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace, r"anatomical\.nii was changed since its conversion began"),
        # Found before a block, in it, or after it.
        (shrink, r"anatomical\.nii(: cut short: | had \d+ bytes, and has \d+, since its )"),
        (
            vanish,
            r"anatomical\.nii(: there is no such file|, is missing| \(missing| cannot be read)",
        ),
    ],
)
def test_a_source_that_changes_between_blocks_is_not_converted_half_and_half(
    workflow, change, message, fresh
):
    source = workflow.directory / "anatomical.nii"
    kept = shutil.copy2(source, workflow.directory / "kept")
    workflow.config["resources"] = {"block_mb": 0.02}
    with workflow.started() as process:
        wait_until((workflow.state / "anatomical.nii.zarr/0/block-0.json").exists, process)
        change(source, workflow)
        output = process.communicate()[0]
    assert process.returncode == 1
    assert re.search(message, output), output
    assert not (workflow.store() / "zarr.json").exists()
    if change != replace:
        os.replace(kept, source)
    run = workflow()
    assert workflow.tree() == fresh(workflow)
    if change == vanish:
        assert "create_array/0" not in run.jobs


def test_a_truncated_gzip_file_is_named_and_nothing_is_published(workflow, mri):
    damaged = (mri / "example4d.nii.gz").read_bytes()[:100_000]
    (workflow.directory / "cut.nii.gz").write_bytes(damaged)
    workflow.config["source"] = "cut.nii.gz"
    run = workflow(check=False)
    assert run.code == 1
    assert "SourceError: cut.nii.gz: " in run.output
    assert not (workflow.store("cut") / "zarr.json").exists()
