"""A run of the workflow in its folder: what its jobs tell it, and what it puts away of a killed one."""

import json
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil

from refvessel.locks import THIS_MACHINE, sign_of_life, somebody_lives

STATE = Path(".snakemake")  # Snakemake's own folder, in the working directory
_REFUSALS = STATE / "refvessel.refusals"
_SECONDS_FOR_JOBS_TO_END = 5.0
_SECONDS_AFTER_CANCELLING = 60.0  # Slurm lets a job have 30 between SIGTERM and SIGKILL by default

_until_the_end = ExitStack()  # of this process


def refuse(sentence: str) -> None:
    """Tell the run why this job ends: it is the last that its console shows."""
    try:
        STATE.mkdir(exist_ok=True)
        with _REFUSALS.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(sentence) + "\n")
    except OSError:  # the disk is full, perhaps
        print(sentence, file=sys.stderr)


def refusals() -> list[str]:
    """What jobs of this run ended with, each once; none is left."""
    if not _REFUSALS.exists():
        return []
    lines = _REFUSALS.read_text("utf-8").splitlines()
    _REFUSALS.unlink()
    return [json.loads(line) for line in dict.fromkeys(lines)]


def begin_run(state: Path = STATE, cancel: Callable[[Path], int] | None = None) -> bool:
    """Give a sign of life, and take Snakemake's locks away where the run that holds them was killed.

    A lock is left to who may still live: where any other run has given its sign, where a process of Snakemake
    works in the folder of `state`, or where the last run was on another machine.

    Args:
        state: Snakemake's own folder, `.snakemake` in the working directory; made where it is absent.
        cancel: ends the jobs that a killed run in a folder left to a scheduler, and gives their number: they would
            be started again beside themselves.

    Returns:
        Whether locks were taken away.
    """
    state.mkdir(exist_ok=True)
    locks, sign, machine = state / "locks", state / "refvessel.lock", state / "refvessel.machine"
    locked = any(locks.glob("*.lock"))
    here = machine.is_file() and machine.read_text("utf-8") == THIS_MACHINE
    freed = locked and here and somebody_lives(sign) is False and _left_alone(state.resolve().parent, cancel)
    if freed:
        shutil.rmtree(locks)
        locks.mkdir()
    if freed or not locked:
        machine.write_text(THIS_MACHINE, "utf-8")
    _until_the_end.enter_context(sign_of_life(sign))
    return freed


def _left_alone(folder: Path, cancel: Callable[[Path], int] | None) -> bool:
    """Whether nothing of a killed run works in its folder any more; what it left to a scheduler is cancelled."""
    cancelled = cancel(folder) if cancel else 0
    return not _busy(folder, _SECONDS_AFTER_CANCELLING if cancelled else _SECONDS_FOR_JOBS_TO_END)


def _busy(folder: Path, seconds: float) -> bool:
    """Whether another process of Snakemake, or a job of one, works in the folder; those that end soon may."""
    deadline = time.monotonic() + seconds
    while found := _works_in(folder):
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return found


def _works_in(folder: Path) -> bool:
    ours = {process.pid for process in [psutil.Process(), *psutil.Process().parents()]}
    for process in psutil.process_iter():
        try:
            if (
                process.pid not in ours
                and process.name().startswith(("python", "snakemake"))
                and Path(process.cwd()) == folder
                and any("snakemake" in word for word in process.cmdline())
            ):
                return True
        except (psutil.Error, OSError):  # another user's, or it has just ended
            continue
    return False
