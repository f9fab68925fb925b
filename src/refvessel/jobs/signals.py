"""Ending on a signal, as a scheduler sends it before it takes a job's devices away."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SECONDS_BETWEEN_LOOKS = 0.5
_WATCH = "watch the parent"
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_stopped_by: list[int] = []  # numbers of the signals that have come


class Stopped(SystemExit):
    """A signal's end of the process, with the status that shells give it: 128 and the signal's number."""

    def __init__(self, number: int) -> None:
        self.status = 128 + number
        super().__init__(self.status)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGINT raise Stopped at once, wherever the block is; only in a process's main thread.

    Where a thread in the background is still computing at the end of the block, it is not waited for.
    """
    former = {number: signal.signal(number, _stop) for number in _SIGNALS}
    try:
        yield
    except BaseException:
        if not _stopped_by:
            raise
        stopped = Stopped(
            _stopped_by[0]
        )  # what was under way may have raised something of its own at its end
        if any(thread.daemon and thread.name != _WATCH for thread in threading.enumerate()):
            sys.stderr.flush()
            os._exit(stopped.status)
        raise stopped from None
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def end_with_parent() -> None:
    """Let SIGTERM come within a second of the parent's end: a job of a run that was killed ends with it."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name=_WATCH, daemon=True).start()


def stopping() -> bool:
    """Whether a signal has told this process to end."""
    return bool(_stopped_by)


def _stop(number: int, _frame: FrameType | None) -> None:
    _stopped_by.append(number)
    raise Stopped(number)
