"""A Slurm cluster of this machine alone, of Debian's packages slurmctld, slurmd and slurm-client."""

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_CONF = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
AuthInfo=cred_expire=5
CredType=cred/none
{plugins}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1
MinJobAge=2
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES State=UP PriorityTier=1 GraceTime=2
PartitionName=high Nodes=ALL State=UP PriorityTier=10
"""


@contextmanager
def slurm_of_this_machine(folder: Path) -> Iterator[None]:
    """Start a controller and a node with two processors, without accounting; commands of this process use them.

    A job of the partition `high` drives those of `low` back into the queue. Skips where Slurm is not installed.
    """
    found = {name: shutil.which(name) for name in ("slurmctld", "slurmd", "slurmstepd", "sbatch")}
    if missing := [name for name, path in found.items() if path is None]:
        pytest.skip(f"needs {', '.join(missing)}: apt-get install slurmctld slurmd slurm-client")
    conf = folder / "slurm.conf"
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    plugins = next(
        Path(str(found["slurmctld"])).resolve().parents[1].glob("lib/*/slurm-wlm"), None
    )  # unpacked elsewhere than in /
    conf.write_text(
        _CONF.format(
            host=socket.gethostname().partition(".")[0],
            user=getpass.getuser(),
            ports=(_free_port(), _free_port()),
            folder=folder,
            plugins=f"PluginDir={plugins}" if plugins else "",
        )
    )
    processes = []
    try:
        for name, own in (("slurmctld", []), ("slurmd", ["-d", str(found["slurmstepd"])])):
            log = (folder / f"{name}.log").open("wb")
            processes.append(subprocess.Popen([name, "-D", "-f", str(conf), *own], stdout=log, stderr=log))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(conf))
            _wait_for_node(folder)
            yield
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(timeout=20)


def _wait_for_node(folder: Path) -> None:
    end = time.monotonic() + 30
    while subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True).stdout.split()[:1] != ["idle"]:
        logs = "".join(path.read_text(errors="replace") for path in folder.glob("*.log"))
        assert time.monotonic() < end, logs
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
