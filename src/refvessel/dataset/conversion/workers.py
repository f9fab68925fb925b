"""A `map` whose work is done in processes that can be ended: what crashes or hangs there costs one item.

Decoders and geometry are written in C and meet files of strangers. One that aborts, overflows its stack or
computes for hours takes its process along, which is replaced; the item is told instead of its result.
"""

import gc
import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_WORTH_FREEZING = 64  # items; for fewer, collecting takes longer than copying
_AHEAD = 16  # items per process that may be done before the one that is waited for


@dataclass(frozen=True)
class Ended:
    """What stands for the result of an item whose process ended; `reason` continues "its process"."""

    reason: str


def map_in_processes(
    function: Callable[[_Item], _Result], items: Sequence[_Item], *, threads: int, seconds: float
) -> Generator[_Result | Ended, None, None]:
    """Yield `function(item)` per item in order, or Ended where that crashed or took more than `seconds`.

    `threads` processes are forked, so that neither the function nor the items are pickled: results are. An
    exception of the function is raised here.
    """
    # Forked, since other ways of starting run the calling script again, which Snakemake's are not made for.
    # What is there already is kept out of garbage collections, in which each process would copy all of it.
    if len(items) >= _WORTH_FREEZING:
        gc.collect()
        gc.freeze()
    workers = [_Worker(function, items) for _ in range(min(threads, len(items)))]
    results: dict[int, Any] = {}
    given = 0
    try:
        for index in range(len(items)):
            while index not in results:
                for worker in workers:
                    if worker.index is None and given < min(len(items), index + _AHEAD * len(workers)):
                        worker.give(given, seconds)
                        given += 1
                _await(workers)
                for place, worker in enumerate(workers):
                    if worker.index is not None and (outcome := worker.outcome()) is not None:
                        results[worker.index] = outcome[0]
                        worker.index = None
                        if isinstance(outcome[0], Ended):
                            worker.end()
                            workers[place] = _Worker(function, items)
            result = results.pop(index)
            if isinstance(result, Exception):
                raise result
            yield result
    finally:
        for worker in workers:
            worker.end()
        gc.unfreeze()


class _Worker:
    """A process that is given the indices of items, one at a time."""

    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
        context = get_context("fork")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, function, items), daemon=True)
        self._process.start()
        theirs.close()
        self.sentinel = self._process.sentinel
        self.index: int | None = None  # of the item at work
        self.deadline = 0.0
        self._seconds = 0.0

    def give(self, index: int, seconds: float) -> None:
        self.index, self._seconds, self.deadline = index, seconds, time.monotonic() + seconds
        with suppress(OSError):  # a process that is dead already is seen by `outcome`
            self.connection.send(index)

    def outcome(self) -> tuple[Any] | None:
        """The result of the item at work in a tuple; None where it is not there yet."""
        with suppress(EOFError, OSError):
            if self.connection.poll():
                return (self.connection.recv(),)
        if not self._process.is_alive():
            self._process.join()
            return (Ended(f"ended by {_ending(self._process.exitcode)}"),)
        if time.monotonic() > self.deadline:
            return (Ended(f"took more than {self._seconds:g} seconds"),)
        return None

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def _await(workers: Sequence[_Worker]) -> None:
    """Return when a worker has a result, has ended, or is late."""
    busy = [worker for worker in workers if worker.index is not None]
    late = min(worker.deadline for worker in busy) - time.monotonic()
    wait([end for worker in busy for end in (worker.connection, worker.sentinel)], max(late, 0) + 0.01)


def _serve(connection: Connection, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
    """Answer indices by results until the parent closes the connection or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = parent_process()
    assert parent is not None  # this is a child
    while True:
        # Brothers hold the other end of the connection too, so that a parent that was killed does not close it.
        wait([connection, parent.sentinel])
        try:
            if not connection.poll():
                return
            index = connection.recv()
        except (EOFError, OSError):
            return
        try:
            result = function(items[index])
        except Exception as error:
            result = error
        connection.send(result)


def _ending(exit_code: int | None) -> str:
    if exit_code is None:  # of a process that was not waited for
        return "an unknown cause"
    return signal.Signals(-exit_code).name if exit_code < 0 else f"the exit code {exit_code}"
