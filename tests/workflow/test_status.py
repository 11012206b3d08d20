"""What others see of a run while it goes on, and after it was killed."""

import subprocess
import sys

import pytest

from neurozarr.run.status import read


def seen(workflow):
    """States of the samples, and how much of their voxels is written."""
    found = read(str(workflow.output))
    states = {sample.name: sample.state for sample in found.samples}
    return states, sum(sample.progress.megabytes for sample in found.samples)


def test_a_run_is_seen_from_its_start_to_its_end(workflow):
    looks = []
    with workflow.started() as process:
        while not process.has_ended(0.03):
            looks.append(seen(workflow))
    assert process.wait().code == 0, process.wait().output
    states = [found.get("anatomical") for found, _ in looks]
    # How long it waits before its first job runs may be shorter than the time between two looks.
    assert {None, "running"} <= set(states)
    order = [None, "waiting", "running", "done"]
    assert [order.index(state) for state in states] == sorted(map(order.index, states))
    written = [round(size, 6) for _, size in looks]
    assert written == sorted(written)
    states, size = seen(workflow)
    assert states == {"anatomical": "done"}
    assert size == pytest.approx(2 * (25 * 41 * 33 + 12 * 20 * 16 + 6 * 10 * 8) / 1e6)
    # The next run has nothing to do, also if it is asked from elsewhere.
    assert workflow("--dry-run").jobs == set()


def test_a_killed_run_is_interrupted_and_the_next_one_done(workflow, fresh):
    receipt = workflow.state / "anatomical.nii.zarr/0/block-0.json"
    workflow.kill_when(receipt.exists)
    assert seen(workflow)[0] == {"anatomical": "interrupted"}
    command = [sys.executable, "-P", "-m", "neurozarr", "status", workflow.output]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "does not exist any more: run again" in done.stdout
    with workflow.started() as process:
        while not process.has_ended(0.03):
            assert seen(workflow)[0]["anatomical"] != "failed"
    assert process.wait().code == 0
    assert seen(workflow)[0] == {"anatomical": "done"}
    assert workflow.tree() == fresh(workflow)
    assert len(list((workflow.state / "runs").iterdir())) == 2


def test_a_failed_job_is_seen_while_others_go_on(workflow):
    (workflow.directory / "bad.mgz").write_bytes(b"hello")
    workflow.config["source"] = ["anatomical.nii", "bad.mgz"]
    workflow.bundle = True
    states = set()
    with workflow.started("--cores", "1") as process:
        while not process.has_ended(0.03):
            states |= {tuple(seen(workflow)[0].items())}
        process.wait()
    assert seen(workflow)[0] == {"anatomical": "done", "bad": "failed"}
    (failed,) = [sample for sample in read(str(workflow.output)).samples if sample.reason]
    assert failed.reason.startswith("bad.mgz: not an image")
    assert failed.log == str(workflow.directory / "logs/bad/convert.log")
