"""The workflow on a real SLURM cluster: the daemons of the Debian packages, on this machine."""

import shutil
import time

import pytest

from neurozarr.run.status import read

from ..parents import make_parent
from ..runs import wait_until
from . import folders
from .cluster import Cluster, require

#: Shorter waiting times than on a real cluster with remote nodes and a long queue.
HERE = (
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"),
    *("--seconds-between-status-checks", "1", "--latency-wait", "10", "--slurm-no-account"),
)


@pytest.fixture(scope="module")
def cluster():
    folders.remove_abandoned(folders.ETC)
    require()
    made = Cluster()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def on_cluster(cluster, make_workflow, mri, root):
    """A conversion in many blocks, not yet run, with the options to run it on the cluster."""
    made = make_workflow({"source": "anatomical.nii", "zarr": {"chunk": 16}})
    made.config["pyramid"] = {"levels": 1}
    made.environment = cluster.environment
    shutil.copy(mri / "anatomical.nii", made.directory)
    made.options = ("--workflow-profile", str(root / "profiles/slurm"), *HERE)
    return made


def test_store_equals_that_of_a_local_run(on_cluster, fresh):
    on_cluster.config["resources"] = {"block_mb": 0.06}
    run = on_cluster(*on_cluster.options)
    assert "submitted with SLURM jobid" in run.output
    assert on_cluster.tree() == fresh(on_cluster)
    assert states(on_cluster) == {"done"}
    assert on_cluster(*on_cluster.options, "--dry-run").jobs == set()


def test_small_samples_are_converted_many_to_a_job(on_cluster):
    names = [f"s{number}" for number in range(6)]
    for name in names:
        shutil.copy(on_cluster.directory / "anatomical.nii", on_cluster.directory / f"{name}.nii")
    on_cluster.config["source"] = "s?.nii"
    on_cluster.bundle = True
    run = on_cluster(*on_cluster.options)
    assert run.jobs == {"convert_bundle"}
    assert run.output.count("submitted with SLURM jobid") == 1
    trees = [on_cluster.tree(name) for name in names]
    assert all(tree.pop("zarr.json") for tree in trees)  # It has the name of the sample.
    assert all(tree == trees[0] for tree in trees)
    assert trees[0].keys() > {"nifti/zarr.json", "1/zarr.json"}
    assert "Nothing to be done" in on_cluster(*on_cluster.options).output


def jobs(cluster, columns, states="R"):
    """Run squeue on jobs with given states (running, by default) and return its output."""
    lines = cluster.command("squeue", "--noheader", f"--states={states}", "-o", columns)
    return [line.split() for line in lines.splitlines()]


def test_cancelled_job_is_retried_with_more_memory_and_time(on_cluster, cluster, fresh):
    with on_cluster.started(*on_cluster.options) as process:
        wait_until(lambda: bool(jobs(cluster, "%A")), process, interval=0.1)
        job, memory, limit = jobs(cluster, "%A %m %l")[0]
        cluster.command("scancel", job)
        asked = [(memory, limit)]
        while not process.has_ended():
            for other, *resources in jobs(cluster, "%A %m %l", "all"):
                if other == str(int(job) + 1):
                    asked.append(tuple(resources))
            time.sleep(0.2)
        run = process.wait()
    assert run.code == 0, run.output
    assert "Trying to restart job" in run.output
    assert on_cluster.tree() == fresh(on_cluster)
    (first, first_limit), (second, second_limit) = asked[0], asked[-1]
    assert int(second.rstrip("M")) >= 2 * int(first.rstrip("M")) - 1
    assert second_limit != first_limit


def test_requeued_job_writes_the_same_bytes(on_cluster, cluster, fresh):
    with on_cluster.started(*on_cluster.options) as process:
        wait_until(lambda: bool(jobs(cluster, "%A")), process, interval=0.1)
        job = jobs(cluster, "%A")[0][0]
        cluster.command("scontrol", "requeue", job)
        cluster.command("scontrol", "update", f"JobId={job}", "StartTime=now")
        run = process.wait()
    assert run.code == 0, run.output
    assert "Restarts=1" in cluster.command("scontrol", "show", "job", job)
    assert on_cluster.tree() == fresh(on_cluster)


def test_jobs_of_a_killed_run_do_not_affect_the_next_run(on_cluster, cluster, fresh):
    with on_cluster.started(*on_cluster.options) as process:
        wait_until(lambda: bool(jobs(cluster, "%A")), process, interval=0.1)
        assert states(on_cluster) <= {"waiting", "running"}
        process.kill()
    assert states(on_cluster) == {"interrupted"}
    left = {job for (job,) in jobs(cluster, "%A", "R,PD")}
    assert left
    on_cluster("--unlock")
    on_cluster(*on_cluster.options)
    while left & {job for (job,) in jobs(cluster, "%A", "R,PD")}:
        time.sleep(0.2)
    assert on_cluster.tree() == fresh(on_cluster)
    assert states(on_cluster) == {"done"}
    assert on_cluster(*on_cluster.options, "--dry-run").jobs == set()


def states(workflow):
    """States of its samples, as others see them."""
    return {sample.state for sample in read(str(workflow.output)).samples}


def test_another_workflow_makes_sources_and_converts_them(
    cluster, root, tmp_path_factory, tmp_path
):
    parent = make_parent(root, tmp_path_factory.mktemp("parent"))
    parent.environment = cluster.environment
    options = ("--workflow-profile", str(root / "profiles/slurm"), *HERE)
    run = parent(*options)
    assert {"register", "nz_source_made", "nz_convert_bundle", "nz_write_base"} < run.rules
    assert "submitted with SLURM jobid" in run.output
    for name in ("small", "large"):
        assert parent.tree(name) == parent.converted(name, tmp_path)
    assert "Nothing to be done" in parent(*options, "--dry-run").output
