"""A SLURM cluster of one node, on this machine, from the programs that Debian packages."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ..programs import PATIENCE
from . import folders

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MailProg=/bin/true
KillWait=2
MinJobAge=300
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=8000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=60 State=UP
"""
CGROUPS = "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n"


def missing(etc: Path = folders.ETC) -> list[str]:
    """Programs and permissions that a cluster needs and this machine lacks."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    lacking = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if os.geteuid() != 0:
        lacking.append("root permissions")
    if files := folders.configured(etc):
        lacking.append(f"a machine that is not part of a cluster (it has {', '.join(files)})")
    return lacking


def require(etc: Path = folders.ETC) -> None:
    """Skip a test, or let it fail if it must not be skipped, if there can be no cluster here."""
    if lacking := missing(etc):
        reason = f"{', '.join(lacking)} missing; as root on Debian: apt-get install slurm-wlm munge"
        assert "NEUROZARR_NEEDS_SLURM" not in os.environ, reason
        pytest.skip(reason)


class Cluster:
    """The daemons of a cluster, which run from `start` to `stop`."""

    def __init__(self, etc: Path = folders.ETC) -> None:
        self.etc = etc
        self.folder = folders.make()
        self.environment = os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        if etc != folders.ETC:
            self.environment["SLURM_CONF"] = str(etc / "slurm.conf")
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start munged, slurmctld and slurmd, and wait until the node can take jobs."""
        for name in ("state", "spool", "munge"):
            (self.folder / name).mkdir()
        munge = self.folder / "munge"
        key = munge / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        for path in (munge, key):
            shutil.chown(path, "munge", "munge")
        host = socket.gethostname().split(".")[0]
        controller, node = free_port(), free_port()
        (self.folder / "slurm.conf").write_text(
            CONFIGURATION.format(folder=self.folder, host=host, controller=controller, node=node)
        )
        (self.folder / "cgroup.conf").write_text(CGROUPS)
        self.etc.mkdir(exist_ok=True)
        for name in folders.FILES:
            (self.etc / name).symlink_to(self.folder / name)
        self._run(
            *("munged", "--foreground", "--force", "--key-file", str(key)),
            *("--socket", f"{munge}/socket", "--log-file", f"{munge}/log"),
            *("--seed-file", f"{munge}/seed", "--pid-file", f"{munge}/pid"),
            user="munge",
        )
        self._wait((munge / "socket").exists, "munged")
        self._run("slurmctld", "-D", "-c")
        self._run("slurmd", "-D", "-c")
        self._wait(lambda: "idle" in self.command("sinfo", "--noheader", "-o", "%T"), "slurmd")

    def stop(self) -> None:
        """Stop every daemon, and every job."""
        folders.remove(self.folder, self.etc)
        for daemon in self._daemons:
            daemon.wait()

    def command(self, *command: str, check: bool = True) -> str:
        """Run a program of SLURM and return its output."""
        options = {"env": self.environment, "capture_output": True, "text": True}
        done = subprocess.run(command, **options, check=False, timeout=PATIENCE)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def _run(self, *command: str, user: str | None = None) -> None:
        program = shutil.which(command[0], path=self.environment["PATH"])
        assert program
        with (self.folder / f"{len(self._daemons)}.out").open("wb") as output:
            self._daemons.append(
                subprocess.Popen(
                    (program, *command[1:]),
                    env=self.environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    user=user,
                    group=user,
                    extra_groups=None if user is None else (),
                )
            )

    def _wait(self, condition, name: str) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                if condition():
                    return
            except AssertionError:
                pass
            assert time.monotonic() < end, f"{name} did not start:\n{self._logs()}"
            time.sleep(0.2)

    def _logs(self) -> str:
        files = [*self.folder.glob("*.out"), *self.folder.glob("*.log")]
        return "\n".join(f"{file.name}:\n{file.read_text()[-1500:]}" for file in files)


def free_port() -> int:
    """Find an unused port, of those that the system gives to nobody who asks for any."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
