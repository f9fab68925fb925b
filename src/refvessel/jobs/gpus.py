"""Claiming GPUs of this machine, so that jobs that start together do not share one."""

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import takewhile
from pathlib import Path

from refvessel.errors import UserError
from refvessel.jobs.locks import try_lock

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_SECONDS_BETWEEN_TRIES = 1.0


def visible_gpus() -> list[str]:
    """The ids in CUDA_VISIBLE_DEVICES, else the numbers of all GPUs of the machine."""
    stated = os.environ.get(_VISIBLE)
    if stated is None:
        from torch.cuda import device_count  # a second of loading that a stated list can do without

        return [str(number) for number in range(device_count())]
    return [*takewhile(lambda gpu: gpu not in ("", "-1"), map(str.strip, stated.split(",")))]


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
    held = []
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
