"""What may go wrong with images, noted in words so that nothing else is kept of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from refvessel.errors import UserError
from refvessel.inference.reading import tells_of_a_reader

T = TypeVar("T")

# What may go wrong with an image or for want of memory; anything else is a bug of ours.
_FAILURES = (UserError, ArithmeticError, RuntimeError, MemoryError)
# What PyTorch says where its own class for it does not: of the CPU, of cuBLAS and cuDNN, of the driver.
_MEMORY_IS_SHORT = ("can't allocate memory", "ALLOC_FAILED", "out of memory")


@dataclass(frozen=True)
class Failure:
    """An error in words. The error itself would hold the frames that it went through, and so their tensors."""

    reason: str
    short_of_memory: bool


def attempted(step: Callable[[], T]) -> T | Failure:
    """What a step gives, or how it failed; bugs, and the end of a process that reads images, are raised."""
    try:
        return step()
    except _FAILURES as error:
        if tells_of_a_reader(error):
            raise
        return Failure(f"{type(error).__name__}: {error}", _is_short_of_memory(error))


def _is_short_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in str(error) for words in _MEMORY_IS_SHORT
    )
