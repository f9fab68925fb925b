"""Launches of Triton's kernels, which may be only built: several at once, where nobody needs their results."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import triton

_only_built: ContextVar[bool] = ContextVar("only_built", default=False)


def launch(kernel: Any, grid: tuple[int, ...], *arguments: object, **options: object) -> None:
    """Launch a kernel, or, within `only_built`, have it built for such arguments.

    Args:
        kernel: a function that `triton.jit` decorates.
        grid: its programs along each axis.
        arguments: its arguments.
        options: its constants, and Triton's own options, such as `num_warps`.
    """
    if _only_built.get():
        kernel.warmup(*arguments, grid=grid, **options)
    else:
        kernel[grid](*arguments, **options)


@contextmanager
def only_built(threads: int) -> Iterator[None]:
    """Let this thread's launches build their kernels, in so many threads, and compute nothing.

    What such a launch would have written holds whatever lay in memory. The block ends when all are built.

    Raises what building one raises.
    """
    with ThreadPoolExecutor(threads) as pool, triton.AsyncCompileMode(pool):
        token = _only_built.set(True)
        try:
            yield
        finally:
            _only_built.reset(token)
