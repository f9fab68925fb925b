"""An iterator that a thread of its own runs, some items ahead of those that are taken."""

from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Full, Queue
from threading import Event, Thread
from typing import NoReturn, TypeVar

from refvessel.jobs.signals import stopping

T = TypeVar("T")

_SECONDS_BETWEEN_TRIES = 0.1
_SECONDS_TO_END = 5.0  # a scheduler that takes a job's devices away grants little more


def prefetch(items: Iterable[T], count: int) -> Generator[T, None, None]:
    """The items in order, of which the thread keeps `count` ready; what they raise is raised here.

    Closed early, it asks for no further item and waits for the one under way, on a signal to stop not for long.
    """
    ready: Queue[Callable[[], T]] = Queue(count)
    stopped = Event()
    # PyTorch keeps settings of its compiler in the context, of which a thread would get a new one.
    context = copy_context()
    thread = Thread(target=context.run, args=(_fill, ready, items, stopped), daemon=True)
    thread.start()
    try:
        while True:
            try:
                item = ready.get()()
            except StopIteration:
                return
            yield item
    finally:
        stopped.set()
        thread.join(_SECONDS_TO_END if stopping() else None)


def _fill(ready: Queue[Callable[[], T]], items: Iterable[T], stopped: Event) -> None:
    iterator = iter(items)
    ended = False
    while not (ended or stopped.is_set()):
        outcome: Callable[[], T]
        try:
            item = next(iterator)
        except BaseException as error:  # StopIteration too: the end is an item like others
            outcome, ended = _raising(error), True
        else:
            outcome = partial(_given, item)
        while not stopped.is_set():
            with suppress(Full):
                ready.put(outcome, timeout=_SECONDS_BETWEEN_TRIES)
                break


def _given(item: T) -> T:
    return item


def _raising(error: BaseException) -> Callable[[], NoReturn]:
    def outcome() -> NoReturn:
        raise error

    return outcome
