"""What Slurm says of its partitions and of this user's jobs."""

import getpass
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from refvessel.errors import UserError

_SECONDS_TO_ANSWER = 30
_SECONDS_TO_END = 60  # Slurm itself gives a job 30 by default between SIGTERM and SIGKILL
_SECONDS_BETWEEN_LOOKS = 1.0
# Snakemake's plugin names all jobs of a run alike, by a UUID, perhaps with a prefix.
_OF_SNAKEMAKE = re.compile(r".*[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Partition:
    """A partition as Slurm describes it.

    up: whether it takes jobs.
    minutes: the longest run; None where there is no limit.
    gpus: all of its nodes together.
    """

    name: str
    up: bool
    minutes: int | None
    gpus: int


def has_slurm() -> bool:
    """Whether Slurm's commands are on the path."""
    return all(map(shutil.which, ("sbatch", "squeue", "sinfo")))


def partitions() -> dict[str, Partition]:
    """All partitions by name; raises UserError where Slurm does not answer."""
    found: dict[str, Partition] = {}
    for line in _answer("sinfo", "--noheader", "--format=%R|%a|%l|%D|%G").splitlines():
        name, available, limit, nodes, devices = line.strip().split("|")
        former = found.get(name)
        gpus = int(nodes) * _gpus(devices) + (former.gpus if former else 0)
        found[name] = Partition(name, available == "up", _minutes(limit), gpus)
    return found


def accounts() -> list[str]:
    """The accounts of this user; none where Slurm needs none. Raises UserError where it does not answer."""
    told = _answer(
        "sacctmgr",
        "--noheader",
        "--parsable2",
        "list",
        "user",
        getpass.getuser(),
        "withassoc",
        "format=account",
    )
    return sorted(set(told.split()))


def cancel_jobs_of(folder: Path) -> int:
    """End the jobs that Snakemake runs of this user submitted from a folder, and wait until they have ended.

    They get SIGTERM first, upon which models leave whole lines.

    Returns:
        How many there were; none where there is no Slurm, or it does not answer.

    Raises:
        UserError: where they do not end within a minute.
    """
    if not has_slurm():
        return 0
    try:
        found = _jobs_of(folder)
    except UserError:
        return 0
    if not found:
        return 0
    _answer("scancel", *found)
    deadline = time.monotonic() + _SECONDS_TO_END
    while left := _jobs_of(folder):
        if time.monotonic() > deadline:
            raise UserError(
                f"jobs of a killed run do not end ({', '.join(left)}); cancel them with scancel, and run again."
            )
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return len(found)


def _jobs_of(folder: Path) -> list[str]:
    """The ids of all jobs that a run of Snakemake in this folder submitted and that have not ended."""
    listed = _answer("squeue", "--me", "--noheader", "--format=%i|%j|%Z").splitlines()
    jobs = [line.strip().split("|", 2) for line in listed if line.count("|") >= 2]
    return [
        identity
        for identity, name, place in jobs
        if _OF_SNAKEMAKE.fullmatch(name) and Path(place) == folder.resolve()
    ]


def _gpus(devices: str) -> int:
    """GPUs of a node from its list of devices, such as `gpu:a100:4(S:0-1),shard:8`."""
    counts = re.findall(r"(?:^|,)gpu(?::[^:,()]+)*:(\d+)", devices)
    return sum(map(int, counts))


def _minutes(limit: str) -> int | None:
    """Slurm's way of writing a time, such as `2-12:00:00`, `30:00` or `infinite`, in minutes."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if match is None:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in match.groups())
    return (days * 24 + hours) * 60 + minutes


def _answer(*command: str) -> str:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_SECONDS_TO_ANSWER
        ).stdout
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not on the path; log in where jobs are submitted.") from None
    except subprocess.TimeoutExpired:
        raise UserError(
            f"Slurm does not answer {command[0]} within {_SECONDS_TO_ANSWER} s; ask the site."
        ) from None
    except subprocess.CalledProcessError as error:
        raise UserError(
            f"{command[0]} failed ({_first_line(error.stderr)}); see whether Slurm runs."
        ) from None


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["without a word"])[0]
