"""Building modules on the device `meta`, where tensors have shapes and no values.

PyTorch computes the shapes of sums and products there in Python, for which it loads SymPy and a part of its
compiler: seconds, for numbers that a tensor of zeros without memory of its own tells as well.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from refvessel.model.library import without_compiler

_COMPUTED = frozenset(
    {"add", "div", "mul", "pow", "reciprocal", "stack", "sub"}
    | {f"__{side}{name}__" for side in ("", "r") for name in ("add", "div", "mul", "pow", "sub", "truediv")}
)
_COUNTED = frozenset({"arange", "linspace"})
_DRAWN = frozenset({"rand", "randn"})
_FILLED = frozenset({"constant_", "kaiming_uniform_", "normal_", "trunc_normal_", "uniform_"})


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Tensors of the device `meta` are cheap within; a module that is built on another device has its values."""
    with without_compiler(), _ShapesAlone():
        yield


class _ShapesAlone(TorchFunctionMode):
    """Tells the shapes of results itself, where all that is computed with is on the device `meta`."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """The function's result, or a tensor like it without values."""
        name, kwargs = func.__name__, kwargs or {}
        if name in _FILLED and (filled := args[0] if args else kwargs["tensor"]).is_meta:
            return filled
        if name == "empty_like" and args[0].is_meta:
            return torch.empty(args[0].shape, **{"dtype": args[0].dtype, "device": "meta"} | kwargs)
        if name == "cat" and all(each.is_meta for each in args[0]):
            return _joined(*args, **kwargs)
        if name in _COUNTED | _DRAWN and _made_on(kwargs).type == "meta":
            if name in _DRAWN:
                return torch.empty(*args, **kwargs)
            return torch.empty_like(func(*args, **kwargs | {"device": "cpu"}), device="meta")
        if name in _COMPUTED and _has_meta(args):
            return torch.empty_like(func(*map(_zeros_like, args), **kwargs), device="meta")
        return func(*args, **kwargs)


def _made_on(kwargs: dict[str, Any]) -> torch.device:
    """Where a new tensor lies: a block `with torch.device(...)` around this one states no device to it."""
    return torch.device(kwargs.get("device") or torch.get_default_device())


def _has_meta(value: object) -> bool:
    if isinstance(value, tuple | list):
        return any(map(_has_meta, value))
    return isinstance(value, torch.Tensor) and value.is_meta


def _zeros_like(value: Any) -> Any:
    """Of tensors zeros of their shape, all of which are one; anything else as it is."""
    if isinstance(value, tuple | list):
        return [_zeros_like(each) for each in value]
    if not isinstance(value, torch.Tensor) or not value.is_meta:
        return value
    return torch.zeros((), dtype=value.dtype, device="cpu").expand(value.shape)


def _joined(tensors: list[torch.Tensor], dim: int = 0) -> torch.Tensor:
    shape = list(tensors[0].shape)
    shape[dim] = sum(each.shape[dim] for each in tensors)
    return torch.empty(shape, dtype=tensors[0].dtype, device="meta")
