"""Runs that are killed, with all their processes, and what the next run makes of them."""

import shutil

import pytest


@pytest.mark.parametrize("deleted", [".", "1"])
def test_a_rebuild_that_is_killed_after_its_first_job_is_finished_by_the_next(converted, deleted):
    whole = converted.tree()
    first = (
        converted.directory / f"results/.state/anatomical/{deleted.replace('.', '0')}/array.json"
    )
    nonce = first.read_bytes()
    shutil.rmtree(converted.store() / deleted)
    converted.kill_when(lambda: first.exists() and first.read_bytes() not in (nonce, b""))
    converted()
    assert converted.tree() == whole
    assert converted("--dry-run").jobs == set()


@pytest.mark.parametrize(
    "moment",
    ["0/zarr.json", "0/c", "2/c", "zarr.json", "nifti"],
)
def test_a_conversion_that_is_killed_at_any_moment_is_finished_by_the_next(workflow, moment, fresh):
    seen = workflow.store() / moment
    workflow.kill_when(seen.exists)
    workflow()
    assert workflow.tree() == fresh(workflow)


@pytest.mark.parametrize("moment", ["0/block-1.json", "1/block-0.json"])
def test_of_a_conversion_in_blocks_only_those_that_were_not_done_are_done_again(
    workflow, moment, fresh
):
    workflow.config["resources"] = {"block_mb": 0.02}
    receipts = workflow.directory / "results/.state/anatomical"
    blocks = workflow("--dry-run").output.count("rule write_base:")
    workflow.kill_when((receipts / moment).exists)
    done = {path: path.read_bytes() for path in receipts.glob("*/block-*.json")}
    run = workflow()
    assert run.output.count("rule write_base:") < blocks
    # The two that ran when the processes were killed may have left receipts that are not trusted.
    redone = [path for path, content in done.items() if path.read_bytes() != content]
    assert len(redone) <= 2
    assert workflow.tree() == fresh(workflow)
