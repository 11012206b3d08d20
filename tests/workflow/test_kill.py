"""Runs that are killed and completed by the next run."""

import shutil

import nibabel
import numpy as np
import pytest

#: Files that a run writes one after the other; it is killed when each of them appears.
MOMENTS = ["0/zarr.json", "0/c", "1/c", "2/c", "nifti", "zarr.json"]


@pytest.mark.parametrize("victim", ["job", "snakemake", "all"])
def test_conversion_killed_several_times_is_completed(workflow, victim, fresh):
    for moment in MOMENTS:
        workflow.kill_when((workflow.store() / moment).exists, victim)
    workflow()
    assert workflow.tree() == fresh(workflow)
    assert workflow("--dry-run").jobs == set()


@pytest.mark.parametrize("deleted", [".", "1"])
def test_rebuild_killed_after_its_first_job_is_completed(converted, deleted):
    whole = converted.tree()
    first = converted.state / f"anatomical.nii.zarr/{deleted.replace('.', '0')}/array.json"
    nonce = first.read_bytes()
    shutil.rmtree(converted.store() / deleted)

    def is_new():
        try:
            return first.read_bytes() != nonce
        except FileNotFoundError:
            return False

    converted.kill_when(is_new)
    converted()
    assert converted.tree() == whole


@pytest.mark.parametrize(
    ("change", "receipt"),
    [("source", "0/array.json"), ("name", "ome.json"), ("damage", "0/block-0.json")],
)
def test_run_killed_before_a_job_starts_is_completed(converted, fresh, change, receipt):
    """Snakemake deletes the receipt of a job, and starts it later: the image is still published."""
    options, file = [], converted.state / "anatomical.nii.zarr" / receipt
    if change == "source":
        source = converted.directory / "anatomical.nii"
        image = nibabel.load(source)
        voxels = np.asarray(image.dataobj.get_unscaled())[::-1].copy()
        nibabel.Nifti1Image(voxels, image.affine).to_filename(source)
    elif change == "name":
        converted.config["ome"] = {"name": "another"}
    else:
        (converted.store() / "0/c/0/0/0").write_bytes(b"damaged")
        options = [str(file.relative_to(converted.directory)), "--force"]
    converted.kill_when(lambda: not file.exists(), options=options)
    assert (converted.store() / "zarr.json").exists()
    shutil.rmtree(converted.directory / ".snakemake")
    converted()
    assert converted.tree() == fresh(converted)


@pytest.mark.parametrize("moment", ["0/block-1.json", "1/block-0.json"])
def test_only_unfinished_blocks_are_written_again(workflow, moment, fresh):
    workflow.config["resources"] = {"block_mb": 0.06}
    receipts = workflow.state / "anatomical.nii.zarr"
    workflow.kill_when((receipts / moment).exists)
    done = {path: path.read_bytes() for path in receipts.glob("*/block-*.json")}
    assert done
    times = {path: path.stat().st_mtime_ns for path in done}
    workflow()
    # The two jobs that were killed may have left receipts, which Snakemake does not trust.
    redone = [path for path in done if path.stat().st_mtime_ns != times[path]]
    assert len(redone) <= 2
    assert workflow.tree() == fresh(workflow)
