"""Launches of Triton's kernels, which may be only built: several at once, where nobody needs their results."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import triton
from triton.runtime.cache import triton_key

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
    with _Builders(threads) as builders, triton.AsyncCompileMode(builders):
        token = _only_built.set(True)
        try:
            yield
        finally:
            _only_built.reset(token)


def read_compiler() -> None:
    """Hash Triton's own files, once a process: what it built is found by it."""
    triton_key()


class _Builders(ThreadPoolExecutor):
    """Threads that build kernels whole: Triton itself leaves to the first launch what launches them."""

    def submit(self, build: Callable[[], Any]) -> Future[Any]:  # type: ignore[override]
        return super().submit(_whole, build)


def _whole(build: Callable[[], Any]) -> Any:
    kernel = build()
    _ = kernel.run  # compiles a function in C, and brings the kernel to the GPU
    return kernel
