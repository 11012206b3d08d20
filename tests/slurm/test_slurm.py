"""The workflow on a real SLURM: the daemons that Debian packages, on this machine."""

import os
import shutil
import subprocess
import time

import pytest

from .cluster import Cluster, missing

#: What is quicker than on a cluster whose nodes are elsewhere and whose queue is long.
HERE = (
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"),
    *("--seconds-between-status-checks", "1", "--latency-wait", "10", "--slurm-no-account"),
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if lacking := missing():
        reason = f"{', '.join(lacking)} missing; as root on Debian: apt-get install slurm-wlm munge"
        assert "NEUROZARR_NEEDS_SLURM" not in os.environ, reason
        pytest.skip(reason)
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def on_cluster(cluster, make_workflow, mri, root):
    """A conversion in many blocks, not yet run, with the options that send it to the cluster."""
    made = make_workflow({"source": "anatomical.nii", "zarr": {"chunk": 16}})
    made.config |= {"resources": {"block_mb": 0.06}, "pyramid": {"levels": 1}}
    made.environment = cluster.environment
    shutil.copy(mri / "anatomical.nii", made.directory)
    made.options = ("--workflow-profile", str(root / "profiles/slurm"), *HERE)
    return made


def test_a_store_is_that_of_a_local_run_file_by_file(on_cluster, fresh):
    run = on_cluster(*on_cluster.options)
    assert "submitted with SLURM jobid" in run.output
    assert on_cluster.tree() == fresh(on_cluster)
    assert on_cluster(*on_cluster.options, "--dry-run").jobs == set()


def test_a_job_that_is_cancelled_is_started_again_with_more_memory_and_time(
    on_cluster, cluster, fresh
):
    on_cluster.config["resources"] = {}

    def jobs(columns):
        return cluster.command("squeue", "--noheader", "--states=R", "-o", columns).split()

    with subprocess.Popen(
        on_cluster.command(*on_cluster.options),
        cwd=on_cluster.directory,
        env=on_cluster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        while not (running := jobs("%A %m %l")):
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.1)
        job, memory, limit = running[:3]
        cluster.command("scancel", job)
        asked = [(memory, limit)]
        while process.poll() is None:
            for found in cluster.command("squeue", "--noheader", "-o", "%A %m %l").splitlines():
                other, *resources = found.split()
                if other == str(int(job) + 1):
                    asked.append(tuple(resources))
            time.sleep(0.2)
        output = process.stdout.read()
    assert process.returncode == 0, output
    assert "Trying to restart job" in output
    assert on_cluster.tree() == fresh(on_cluster)
    (first, first_limit), (second, second_limit) = asked[0], asked[-1]
    assert int(second.rstrip("M")) >= 2 * int(first.rstrip("M")) - 1
    assert second_limit != first_limit
