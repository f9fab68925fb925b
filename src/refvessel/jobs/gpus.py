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
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
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
_SECONDS_OF_MISTRUST = 3600  # in which a GPU that failed is taken only where no other is there
# How PyTorch begins what it says of a device that fails: the runtime, cuBLAS, cuDNN, and where none can be begun.
_SAID_OF_A_GPU = re.compile(
    r"CUDA error|CUDA driver|CUDA-capable|No CUDA GPUs|Unexpected error from cuda|CUBLAS_STATUS|CUDNN_STATUS"
)

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

    Where the block ends with an error of CUDA, no job takes the same GPUs within an hour as long as enough others
    are visible: the same work, tried again, goes to another.

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
            held = _take(_trusted(gpus, count), count, locks)
            if len(held) == count:
                os.environ[_VISIBLE] = ",".join(held)
                with _failures_noted(held):
                    yield held
                return
        if not told:
            waiting()
            told = True
        # Not in step with others that want several and took one each of the same.
        time.sleep(_SECONDS_BETWEEN_TRIES * random.uniform(0.5, 1.5))


@contextmanager
def _failures_noted(gpus: list[str]) -> Iterator[None]:
    """Note in the lock files of GPUs when they failed, or that they did not any more."""
    try:
        yield
    except Exception as error:
        if _SAID_OF_A_GPU.search(str(error)):
            _note(gpus, str(time.time()))
        raise
    _note(filter(_failed_lately, gpus), "")


def _note(gpus: Iterable[str], text: str) -> None:
    for gpu in gpus:
        with suppress(OSError):  # the file of another user
            _lock_file(gpu).write_text(text, "utf-8")


def _trusted(gpus: list[str], count: int) -> list[str]:
    """Those that have not failed lately, and where they are too few all of them, those that have failed last."""
    failed = {gpu: _failed_lately(gpu) for gpu in gpus}
    trusted = [gpu for gpu in gpus if not failed[gpu]]
    return trusted if len(trusted) >= count else sorted(gpus, key=failed.__getitem__)


def _failed_lately(gpu: str) -> bool:
    try:
        return time.time() - float(_lock_file(gpu).read_text("utf-8")) < _SECONDS_OF_MISTRUST
    except (OSError, ValueError):  # no job has used it, or the last one had no trouble
        return False


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
