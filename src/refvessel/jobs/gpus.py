"""The GPUs of this machine, and claiming them, so that jobs that start together do not share one.

PyTorch is not loaded for it: that would take seconds.
"""

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ctypes import CDLL
from functools import cache
from importlib import metadata
from itertools import takewhile
from pathlib import Path

from refvessel.errors import UserError
from refvessel.locks import try_lock

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_DRIVER = "libcuda.so.1"
_SECONDS_BETWEEN_TRIES = 1.0
_SECONDS_OF_TOOLS = 60

# In a process of its own: who has asked the driver once cannot narrow down what it sees any more.
_COUNT = f"""
from ctypes import CDLL, byref, c_int
driver, number = CDLL({_DRIVER!r}), c_int()
print(0 if driver.cuInit(0) or driver.cuDeviceGetCount(byref(number)) else number.value)
"""
_LISTED = re.compile(r"^(GPU|\s+MIG) .*\(UUID: ([^)]+)\)", re.MULTILINE)


def visible_gpus() -> list[str]:
    """The ids in CUDA_VISIBLE_DEVICES, else those of all GPUs of the machine: numbers, or ids of MIG devices."""
    stated = os.environ.get(_VISIBLE)
    if stated is None:
        return _gpus_of_the_machine()
    return [*takewhile(lambda gpu: gpu not in ("", "-1"), map(str.strip, stated.split(",")))]


def usable_gpus() -> list[str]:
    """The visible GPUs that the driver and PyTorch can use."""
    visible, number = visible_gpus(), _counted_by_the_driver()
    # Of parts of GPUs, the driver counts the first alone, however many are stated.
    return visible if number and visible[0].startswith("MIG-") else visible[:number]


def _gpus_of_the_machine() -> list[str]:
    number = _counted_by_the_driver()
    if number and (parts := _mig_devices()):
        return parts  # of which CUDA itself shows the first alone
    return [str(gpu) for gpu in range(number)]


@cache
def _counted_by_the_driver() -> int:
    """How many GPUs CUDA sees, as it reads CUDA_VISIBLE_DEVICES; 0 where PyTorch was built without it."""
    try:
        if metadata.version("torch").endswith("+cpu"):
            return 0
        CDLL(_DRIVER)
    except (metadata.PackageNotFoundError, OSError):
        return 0
    return int(_output_of(sys.executable, "-c", _COUNT) or 0)


def _mig_devices() -> list[str]:
    """The ids of all parts of GPUs, and of the whole ones beside them; none where no GPU is divided."""
    listed = _LISTED.findall(_output_of("nvidia-smi", "-L"))
    if not any("MIG" in kind for kind, _ in listed):
        return []
    following = [kind for kind, _ in listed[1:]] + ["GPU"]
    divided = ["MIG" in next_kind for next_kind in following]
    return [uuid for (kind, uuid), parts in zip(listed, divided, strict=True) if "MIG" in kind or not parts]


def _output_of(*command: str) -> str:
    """What a tool prints; nothing where it is absent or fails."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_SECONDS_OF_TOOLS
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


@contextmanager
def claimed_gpus(count: int, waiting: Callable[[], None]) -> Iterator[list[str]]:
    """Hold `count` of the visible GPUs until the block ends, and let this process see no other from now on.

    A GPU that another job holds is not taken; where too few are free, `waiting` is called once and the block
    begins when they are. CUDA must not have been used before: it reads CUDA_VISIBLE_DEVICES only once.

    Raises UserError where fewer are visible than wanted.
    """
    gpus = visible_gpus()
    if len(gpus) < count:
        raise UserError(
            f"the job needs {count} GPUs, but sees {len(gpus)} (CUDA_VISIBLE_DEVICES is "
            f"{os.environ.get(_VISIBLE, 'not set')}); give it more, or lower gpus_per_job."
        )
    told = False
    while True:
        with ExitStack() as locks:
            held = _take(gpus, count, locks)
            if len(held) == count:
                os.environ[_VISIBLE] = ",".join(held)
                yield held
                return
        if not told:
            waiting()
            told = True
        # Not in step with others that want several and took one each of the same.
        time.sleep(_SECONDS_BETWEEN_TRIES * random.uniform(0.5, 1.5))


def _take(gpus: list[str], count: int, locks: ExitStack) -> list[str]:
    """The first free ones, `count` at most, locked until `locks` is closed."""
    held: list[str] = []
    for gpu in gpus:
        if len(held) == count:
            break
        if locks.enter_context(try_lock(_lock_file(gpu))):
            held.append(gpu)
    return held


def _lock_file(gpu: str) -> Path:
    """The file whose lock stands for a GPU: one for all users of the machine.

    Slurm numbers the GPUs that it gave to a job from 0, so there a number means something within the job only.
    """
    job = [os.environ[name] for name in ("SLURM_JOB_ID", "SLURM_STEP_ID") if name in os.environ]
    return Path(tempfile.gettempdir()) / f"refvessel-gpu-{'-'.join([*job, gpu])}.lock"
