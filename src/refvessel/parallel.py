"""Many independent calls, shared by processes."""

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

Result = TypeVar("Result")


def call_each(
    function: Callable[..., Result], *arguments: Iterable[Any], threads: int, calls_per_task: int = 1
) -> list[Result]:
    """`list(map(function, *arguments))`, by `threads` processes that are given some calls at a time."""
    if threads == 1:
        return list(map(function, *arguments))
    # Forked: a Snakemake script has no guard against being imported by its workers.
    with ProcessPoolExecutor(threads, get_context("fork")) as pool:
        return list(pool.map(function, *arguments, chunksize=calls_per_task))
