"""Functions that torch.compile leaves whole, as operators; where nothing is compiled they are plain functions.

An operator's call would load PyTorch's compiler, which takes seconds, and costs more than the function's own.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


def operator(
    name: str, made: Callable[P, T], mutates: tuple[str, ...] = ()
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator: the function is the operator of this name where it is compiled.

    Args:
        name: of the operator, below `refvessel`.
        made: a function of the same arguments that gives a tensor like the result, whatever its values.
        mutates: the arguments that are overwritten.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        whole = torch.library.custom_op(f"refvessel::{name}", function, mutates_args=mutates)
        whole.register_fake(made)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if torch.compiler.is_compiling():
                result: T = whole(*args, **kwargs)
                return result
            return function(*args, **kwargs)

        return call

    return decorate
