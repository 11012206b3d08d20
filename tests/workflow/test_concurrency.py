"""Two runs at the same time."""

import shutil
import signal

import pytest

from ..runs import wait_until


@pytest.fixture
def elsewhere(workflow, make_workflow):
    """A workflow in another directory with the same output."""
    other = make_workflow(workflow.config | {"output": str(workflow.output)})
    other.config["source"] = str(workflow.directory / "anatomical.nii")
    return other


def test_second_run_on_a_sample_stops_with_an_error(workflow, elsewhere, fresh):
    with workflow.started() as process:
        wait_until((workflow.store() / "0/c").exists, process)
        process.signal(signal.SIGSTOP)
        run = elsewhere(check=False)
        same_directory = workflow(check=False)
        process.signal(signal.SIGCONT)
        assert process.wait().code == 0
    assert run.code == 1
    assert "Traceback" not in run.output
    message = f"started in {workflow.directory}, is converting it: wait until it has ended"
    assert message in run.output.strip().splitlines()[-1]
    assert "Directory cannot be locked" in same_directory.output
    assert workflow.tree() == fresh(workflow)


def test_one_of_two_simultaneous_runs_stops_with_an_error(workflow, elsewhere, fresh):
    with workflow.started() as first, elsewhere.started() as second:
        runs = [process.wait() for process in (first, second)]
    assert sorted(run.code for run in runs) == [0, 1], runs
    winner = workflow if runs[0].code == 0 else elsewhere
    refused = runs[1 if winner is workflow else 0].output
    assert "Traceback" not in refused
    message = f"started in {winner.directory}, is converting it: wait until it has ended"
    assert message in refused.strip().splitlines()[-1]
    assert workflow.tree() == fresh(workflow)


def test_unlock_releases_the_samples_of_a_killed_run(workflow, elsewhere, fresh):
    with workflow.started() as process:
        wait_until((workflow.store() / "0/c").exists, process)
        process.kill()
    assert "is converting it" in elsewhere(check=False).output
    workflow("--unlock")
    elsewhere()
    assert workflow.tree() == fresh(workflow)


def test_two_runs_can_write_different_samples_to_one_output(workflow, elsewhere, fresh):
    other = elsewhere.directory / "other.nii"
    shutil.copy(workflow.directory / "anatomical.nii", other)
    elsewhere.config["source"] = other.name
    with workflow.started() as first, elsewhere.started() as second:
        runs = [process.wait() for process in (first, second)]
    assert [run.code for run in runs] == [0, 0], runs
    whole = fresh(workflow)
    assert workflow.tree() == whole
    assert {name: elsewhere.tree("other")[name] for name in whole if "/c/" in name} == {
        name: checksum for name, checksum in whole.items() if "/c/" in name
    }


def test_foreign_file_in_the_store_is_not_changed(workflow):
    precious = workflow.store() / "0/notes.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("not to be lost")
    run = workflow(check=False)
    assert run.code == 1
    message = "neurozarr: sample anatomical: results/anatomical.nii.zarr cannot be changed: "
    message += "results/anatomical.nii.zarr/0/notes.txt was not written by this workflow"
    assert run.output.strip().splitlines()[-1].startswith(message)
    assert precious.read_text() == "not to be lost"
