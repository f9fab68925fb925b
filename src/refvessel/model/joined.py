"""Linear layers of the same inputs as one matmul, their weights one behind the other in memory.

The layers stay what they are: their weights become views. Whether they still lie so is looked up at each use,
since models may share single tensors with others.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

Joined = tuple[torch.Tensor, torch.Tensor | None]  # weight (all out, in) and bias (all out,)
_AT_HAND = "joined_at_hand"  # where a module keeps them for compiled code, which cannot look them up


def join(layers: Sequence[nn.Module]) -> None:
    """Lay the weights of linear layers one behind the other, in place; other layers stay as they are."""
    if any(type(layer) is not nn.Linear for layer in layers) or joined(layers):
        return
    for name in ("weight", "bias"):
        parts = [getattr(layer, name) for layer in layers]
        if any(part is None for part in parts):
            continue
        together = torch.cat([part.detach() for part in parts])
        for layer, mine in zip(layers, together.split([len(part) for part in parts]), strict=True):
            setattr(layer, name, nn.Parameter(mine, requires_grad=getattr(layer, name).requires_grad))


def joined(layers: Sequence[Any]) -> Joined | None:
    """Their weights and biases as one, where they lie so."""
    if any(type(layer) is not nn.Linear for layer in layers):
        return None
    weight = _adjacent([layer.weight for layer in layers])
    if weight is None:
        return None
    if all(layer.bias is None for layer in layers):
        return weight, None
    bias = None if any(layer.bias is None for layer in layers) else _adjacent([each.bias for each in layers])
    return None if bias is None else (weight, bias)


def _adjacent(parts: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """Tensors as one along their first axis, where one follows the other in one memory."""
    first, place = parts[0], parts[0].data_ptr()
    for part in parts:
        same = part.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        if not (same and part.is_contiguous() and part.data_ptr() == place):
            return None
        place += part.nbytes
    return first.as_strided((sum(map(len, parts)), *first.shape[1:]), first.stride())


def keep_at_hand(owner: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Let compiled code use what is joined now, of a module that has the layers."""
    setattr(owner, _AT_HAND, joined(layers))


def project(owner: nn.Module, layers: Sequence[nn.Module], inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What each layer makes of the inputs.

    Args:
        owner: has the layers.
        layers: linear ones.
        inputs: (..., in).
    """
    compiling = torch.compiler.is_compiling()
    together: Joined | None = getattr(owner, _AT_HAND, None) if compiling else joined(layers)
    if together is None:
        return tuple(layer(inputs) for layer in layers)
    sizes = [layer.out_features for layer in layers]
    return functional.linear(inputs, *together).split(sizes, -1)
