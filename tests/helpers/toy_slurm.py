"""A Slurm of one node on this machine's loopback, with GPUs that are none: begun, asked, and put away again.

Debian's packages (Slurm 22.05) without systemd, cgroups and a database. Both daemons and munged run as root.

python tests/helpers/toy_slurm.py    # puts away what a killed test left of one
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psutil

from refvessel.locks import try_lock

# Slurm's plugin for Snakemake drops SLURM_CONF, so that the files must lie where Slurm looks by itself.
PLACE = Path("/etc/slurm")
GPUS = 2
PREFIX = "slurm-toy-"  # of the folder of its files

_SECONDS = 120  # that one of Slurm's commands or daemons may take
_CLUSTER = "toy"
_FILES = ("slurm.conf", "gres.conf", "cgroup.conf")
_LOCK = Path(tempfile.gettempdir()) / "refvessel-toy-slurm.lock"

_SLURM_CONF = """
ClusterName={cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits until its credential has expired: 10 s instead of two minutes.
AuthInfo=cred_expire=10
SlurmctldPort=26817
SlurmdPort=26818
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=0
KillWait=5
MinJobAge=600
DefMemPerCPU=200
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/filetxt
JobCompLoc={root}/log/jobcomp.txt
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 Boards=1 SocketsPerBoard=1 CoresPerSocket=8 ThreadsPerCore=1 \
RealMemory=64000 Gres=gpu:toy:{gpus} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=60 PriorityTier=1 State=UP
PartitionName=gpu Nodes={host} MaxTime=60 PriorityTier=1 State=UP
PartitionName=urgent Nodes={host} MaxTime=60 PriorityTier=9 PreemptMode=OFF State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """The cluster that runs.

    root: folder of its files.
    """

    root: Path

    def answer(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS).stdout

    def jobs(self) -> list[dict[str, str]]:
        """All jobs that Slurm still knows, each element of an array apart: id, state, comment, restarts."""
        shown = self.answer("scontrol", "--oneliner", "show", "job")
        return [
            dict(part.split("=", 1) for part in line.split() if "=" in part)
            for line in shown.splitlines()
            if line.startswith("JobId=")
        ]

    def wait_for_ends(self) -> None:
        """Let jobs that have ended leave nothing behind; those that wait or run are not waited for."""
        _wait_until(lambda: all(each["JobState"] != "COMPLETING" for each in self.jobs()))


def why_not() -> str | None:
    """Why no Slurm can be started here; None where one can. What a killed test left of one is put away."""
    missing = [name for name in ("slurmctld", "slurmd", "munged", "srun") if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} not installed (`make test-slurm` installs them on Debian, as root)"
    if os.geteuid():
        return "Slurm's daemons are started as root"
    if not put_away_what_was_left():
        return "another test has one"
    if (PLACE / "slurm.conf").exists():
        return f"{PLACE}/slurm.conf: this machine has a Slurm of its own"
    return None


@contextmanager
def toy_slurm(root: Path) -> Iterator[Slurm]:
    """A Slurm with an idle node; when the block ends, its jobs, daemons and links are gone."""
    with try_lock(_LOCK) as mine:
        assert mine
        yield from _toy_slurm(root)


def _toy_slurm(root: Path) -> Iterator[Slurm]:
    for name in ("state", "spool", "run", "log", "gpu"):
        (root / name).mkdir(parents=True)
    host = socket.gethostname().partition(".")[0]
    for number in range(GPUS):
        (root / f"gpu/toy{number}").symlink_to("/dev/null")
    files = {
        "slurm.conf": _SLURM_CONF.format(cluster=_CLUSTER, host=host, root=root, gpus=GPUS),
        "gres.conf": f"NodeName={host} Name=gpu Type=toy File={root}/gpu/toy[0-{GPUS - 1}]\n",
        "cgroup.conf": "CgroupPlugin=cgroup/v1\n",
    }
    ended = Event()
    Thread(target=_end_orphans, args=(ended,), daemon=True).start()
    try:
        for name, text in files.items():
            (root / name).write_text(text)
            (PLACE / name).symlink_to(root / name)
        _begin_munge(root)
        for command in (["slurmctld", "-c", "-i"], ["slurmd"]):
            subprocess.run(command, check=True, env=_without_slurm(), timeout=_SECONDS)
        slurm = Slurm(root)
        _wait_until_idle(slurm)
        yield slurm
    finally:
        _put_away(root)
        ended.set()


def _end_orphans(ended: Event) -> None:
    """End what is left of a job whose parents Slurm ended: without cgroups it loses sight of such a process.

    An inner Snakemake that gets SIGTERM while it ends may hang for ever.
    """
    while not ended.wait(1):
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                orphan = process.ppid() == 1 and process.name().startswith("python")
                if orphan and process.environ().get("SLURM_CLUSTER_NAME") == _CLUSTER:
                    process.kill()


def _put_away(root: Path) -> None:
    """End the jobs and the daemons of a Slurm below `root`, and take its links away."""
    with suppress(subprocess.SubprocessError, OSError):
        Slurm(root).answer("scancel", "--user=root")
        _wait_until(lambda: not Slurm(root).answer("squeue", "--noheader"))
    for daemon in ("slurmd", "slurmctld", "munged"):
        _end(root / f"run/{daemon}.pid")
    for name in _FILES:
        if (PLACE / name).is_symlink() and (PLACE / name).readlink().parent == root:
            (PLACE / name).unlink()


def put_away_what_was_left() -> bool:
    """End what a test that was killed left, if anything; whether no other test has a Slurm."""
    with try_lock(_LOCK) as mine:
        link = PLACE / "slurm.conf"
        if mine and link.is_symlink() and link.readlink().parent.name.startswith(PREFIX):
            root = link.readlink().parent
            _put_away(root)
            shutil.rmtree(root, ignore_errors=True)
        return mine


def _begin_munge(root: Path) -> None:
    """Start munged where none runs; it then ends with this Slurm."""
    if any(process.name() == "munged" for process in psutil.process_iter(["name"])):
        return
    for folder in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        shutil.chown(folder, "munge", "munge")
    subprocess.run(["runuser", "-u", "munge", "--", "/usr/sbin/munged"], check=True, timeout=_SECONDS)
    (root / "run/munged.pid").symlink_to("/run/munge/munged.pid")


def _without_slurm() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}


def _wait_until_idle(slurm: Slurm) -> None:
    def idle() -> bool:
        with suppress(subprocess.SubprocessError):
            return set(slurm.answer("sinfo", "--noheader", "--format=%T").split()) == {"idle"}
        return False

    if not _wait_until(idle):
        raise RuntimeError(f"no node is idle; see {slurm.root}/log")


def _wait_until(holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold; a busy machine may take its time."""
    deadline = time.monotonic() + _SECONDS
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return held


def _end(pid_file: Path) -> None:
    """End a daemon; one that does not end by itself is killed."""
    with suppress(OSError, ValueError, psutil.NoSuchProcess):
        process = psutil.Process(int(pid_file.read_text()))
        process.terminate()
        try:
            process.wait(timeout=_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()


if __name__ == "__main__":
    put_away_what_was_left()
