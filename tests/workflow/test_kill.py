"""Runs that are killed, and what the next run makes of them."""

import shutil

import pytest

#: What a run leaves one after the other, and is killed at.
MOMENTS = ["0/zarr.json", "0/c", "1/c", "2/c", "nifti", "zarr.json"]


@pytest.mark.parametrize("victim", ["job", "snakemake", "all"])
def test_a_conversion_that_is_killed_again_and_again_is_finished_by_the_last_run(
    workflow, victim, fresh
):
    for moment in MOMENTS:
        workflow.kill_when((workflow.store() / moment).exists, victim)
    workflow()
    assert workflow.tree() == fresh(workflow)
    assert workflow("--dry-run").jobs == set()


@pytest.mark.parametrize("deleted", [".", "1"])
def test_a_rebuild_that_is_killed_after_its_first_job_is_finished_by_the_next(converted, deleted):
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


@pytest.mark.parametrize("moment", ["0/block-1.json", "1/block-0.json"])
def test_of_a_conversion_in_blocks_only_those_that_were_not_done_are_done_again(
    workflow, moment, fresh
):
    workflow.config["resources"] = {"block_mb": 0.06}
    receipts = workflow.state / "anatomical.nii.zarr"
    workflow.kill_when((receipts / moment).exists)
    done = {path: path.read_bytes() for path in receipts.glob("*/block-*.json")}
    assert done
    times = {path: path.stat().st_mtime_ns for path in done}
    workflow()
    # The two that ran when the processes were killed may have left receipts that are not trusted.
    redone = [path for path in done if path.stat().st_mtime_ns != times[path]]
    assert len(redone) <= 2
    assert workflow.tree() == fresh(workflow)
