"""Many independent calls, shared by processes."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing import get_context
from typing import Any, NamedTuple, TypeVar

Result = TypeVar("Result")


class _Kept(NamedTuple):
    threads: int
    pool: ProcessPoolExecutor


_kept: ContextVar[_Kept | None] = ContextVar("kept", default=None)


def call_each(
    function: Callable[..., Result], *arguments: Iterable[Any], threads: int, calls_per_task: int = 1
) -> list[Result]:
    """`list(map(function, *arguments))`, by `threads` processes that are given some calls at a time."""
    if threads == 1:
        return list(map(function, *arguments))
    kept = _kept.get()
    if kept is not None and kept.threads == threads:
        return list(kept.pool.map(function, *arguments, chunksize=calls_per_task))
    with _pool(threads) as pool:
        return list(pool.map(function, *arguments, chunksize=calls_per_task))


@contextmanager
def processes_kept(threads: int) -> Iterator[None]:
    """Within, whatever this thread has so many processes share is shared by the same ones: they are forked once.

    They know what there was when the first calls were shared.
    """
    if threads == 1:
        yield
        return
    with _pool(threads) as pool:
        token = _kept.set(_Kept(threads, pool))
        try:
            yield
        finally:
            _kept.reset(token)


def _pool(threads: int) -> ProcessPoolExecutor:
    # Forked: a Snakemake script has no guard against being imported by its workers.
    return ProcessPoolExecutor(threads, get_context("fork"))
