"""The cluster of a killed test run is removed; clusters that others set up are not touched."""

import os
import signal
import subprocess
import sys
import uuid
from contextlib import suppress

import psutil
import pytest

from ..programs import Program
from . import folders
from .cluster import missing, require

#: Starts a cluster with a job in which a process waits for another, and tells its directory.
OWNER = """
import sys, time
from pathlib import Path
from tests.slurm.cluster import Cluster

cluster = Cluster(Path(sys.argv[1]))
cluster.start()
job = f"sleep 600 & touch {cluster.folder}/started; wait"
cluster.command("sbatch", "--chdir", "/", "--output", "/dev/null", "--wrap", job)
while not (cluster.folder / "started").exists():
    time.sleep(0.1)
print(cluster.folder, flush=True)
time.sleep(600)
"""


@pytest.fixture
def etc(tmp_path):
    made = tmp_path / "slurm"
    made.mkdir()
    return made


def running(mark):
    """Names of the processes with a variable in their environment, and of their parents."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if mark in process.environ():
                found |= {one.pid: one.name() for one in (process, process.parent()) if one}
    return found


def test_cluster_of_a_killed_test_run_is_removed(etc, root):
    require(etc)
    mark = f"NEUROZARR_TEST_{uuid.uuid4().hex}"
    owner = Program(
        [sys.executable, "-c", OWNER, str(etc)],
        cwd=root,
        env=os.environ | {mark: ""},
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        folder = owner.stdout.readline().strip()
        assert os.path.isdir(folder)
        folders.remove_abandoned(etc)
        assert len(missing(etc)) == 1
        assert f"process {owner.pid}, which runs these tests" in missing(etc)[0]
        owner.send_signal(signal.SIGKILL)
    left = {*running(mark).values()}
    assert {"munged", "slurmctld", "slurmd", "slurmstepd", "slurm_script"} <= left
    folders.remove_abandoned(etc)
    assert running(mark) == {}
    assert list(etc.iterdir()) == []
    assert not os.path.exists(folder)
    assert missing(etc) == []


def test_links_to_a_deleted_cluster_are_removed(etc):
    folder = etc.parent / f"neurozarr-cluster-{os.getpid()}-0-abc"  # Of an earlier process.
    for name in folders.FILES:
        (etc / name).symlink_to(folder / name)
    folders.remove_abandoned(etc)
    assert list(etc.iterdir()) == []


def test_links_of_a_test_run_that_goes_on_are_kept(etc):
    made = folders.make()
    try:
        (etc / "slurm.conf").symlink_to(made / "slurm.conf")
        folders.remove_abandoned(etc)
        assert made.is_dir()
        (described,) = folders.configured(etc)
        assert described.startswith(f"{etc}/slurm.conf of process {os.getpid()}")
    finally:
        folders.remove(made, etc)


@pytest.mark.parametrize("target", [None, "elsewhere/slurm.conf", "neurozarr-cluster-1-1-a/other"])
def test_files_of_others_are_not_touched(etc, target):
    file = etc / "slurm.conf"
    if target is None:
        file.write_text("ClusterName=real\n")
    else:
        file.symlink_to(target)
    (etc / "cgroup.conf").write_text("")
    folders.remove_abandoned(etc)
    assert folders.configured(etc) == [str(file), str(etc / "cgroup.conf")]
    assert f"it has {file}" in missing(etc)[-1]
