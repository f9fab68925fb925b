"""Loaded by each Python of a run when it starts: lets a job's script stop itself, by SIGSTOP, at an exact moment.

A file in the run's folder `held` names the job, such as `segment_shard.1-of-3`, and says when: at its `start`,
having answered about some `images`, or holding some `megabytes`. The first job of that name takes the file.
"""

import os
import re
import signal
import sys
from pathlib import Path

_ANSWERS = re.compile(r"\banswers/\w+/[^/]+\.jsonl$")


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _stop_after_images(number: int) -> None:
    """Stop when this process has written what it answers about so many, and is about to write the next."""
    written = 0

    def look(event: str, arguments: tuple) -> None:
        nonlocal written
        if event == "open" and arguments[2] & os.O_APPEND and _ANSWERS.search(str(arguments[0])):
            written += 1
            if written == number + 1:
                _stop()

    sys.addaudithook(look)


def _hold() -> None:
    script = re.search(r"\.(\w+)\.py$", sys.orig_argv[-1])
    if script is None:
        return
    snakemake = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    part = re.search(r"\bpart=([\w-]+)", snakemake)
    held = Path("held") / (f"{script[1]}.{part[1]}" if part else script[1])
    if "--attempt 1 " not in snakemake or not held.is_file():  # what is tried again goes on
        return
    count, _, unit = held.read_text().rpartition(" ")
    held.unlink()
    if unit == "images":
        _stop_after_images(int(count))
        return
    taken = b"\1" * (int(count) << 20) if unit == "megabytes" else b""
    _stop()
    del taken


_hold()
