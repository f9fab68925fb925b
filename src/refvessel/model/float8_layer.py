"""A decoder layer whose matmuls are of float8 numbers.

Weights have a scale for each output channel, and states one for each row (token).

Hopper and later GPUs multiply such matrices themselves. Elsewhere the same numbers are multiplied in float32. What
lies between the matmuls is computed in float32 and rounded to float8 once, where it is multiplied next.
"""

from typing import Any, NamedTuple

import torch
from torch.nn import functional

from refvessel.model.decoder_layer import attend, gate_and_up, projected
from refvessel.model.pointwise import by_kernels

_LARGEST = 448.0  # of float8_e4m3fn
_SMALLEST = 1e-20  # of what a row's largest number is taken to be
_ALIGNED = 16  # numbers in the 16 bytes that a GPU's float8 matmuls need a row's length to be a multiple of


class Rows(NamedTuple):
    """Rows in float8_e4m3fn, (rows, width), and what 1 stands for in each, float32 (rows, 1)."""

    values: torch.Tensor
    scales: torch.Tensor


def run_layer(layer: Any, hidden: torch.Tensor, inputs: dict[str, Any]) -> torch.Tensor:
    """As `decoder_layer.run_layer`, of a layer whose linear layers are `QuantisedLinear` of float8."""
    mixed = _mixed(layer, hidden, inputs)
    attended = multiplied(quantised(mixed), layer.self_attn.o_proj, hidden)
    return _feed_forward(layer, hidden, attended)


def run_last_layer(
    layer: Any, hidden: torch.Tensor, inputs: dict[str, Any], wanted: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """As `decoder_layer.run_last_layer`, likewise."""
    mixed, chosen = _mixed(layer, hidden, inputs)[wanted], hidden[wanted]
    attended = multiplied(quantised(mixed), layer.self_attn.o_proj, chosen)
    return _feed_forward(layer, chosen, attended)


def _mixed(layer: Any, hidden: torch.Tensor, inputs: dict[str, Any]) -> torch.Tensor:
    attention = layer.self_attn
    rows = quantised(hidden, norm=layer.input_layernorm)
    parts = projected(attention, lambda each: multiplied(rows, each, hidden))
    return attend(attention, *parts, inputs)


def _feed_forward(layer: Any, hidden: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
    hidden, rows = added(hidden, attended, layer.post_attention_layernorm)
    part = layer.mlp
    gate, up, activation = gate_and_up(part, lambda each: multiplied(rows, each, hidden))
    between = gated(activation, gate.contiguous(), up.contiguous())
    return hidden + multiplied(between, part.down_proj, hidden)


def multiplied(rows: Rows, layer: Any, like: torch.Tensor) -> torch.Tensor:
    """What a linear layer makes of rows, in the precision and the shape (..., out) of states (..., in)."""
    shape = (*like.shape[:-1], len(layer.weight))
    aligned = not any(size % _ALIGNED for size in layer.weight.shape)
    if rows.values.is_cuda and like.dtype == torch.bfloat16 and aligned:
        product = torch._scaled_mm(
            rows.values,
            layer.weight.t(),
            scale_a=rows.scales,
            scale_b=layer.scale[None],
            bias=layer.bias,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        return product.view(shape)
    product = functional.linear(rows.values.float(), layer.weight.float()) * rows.scales * layer.scale
    return (product if layer.bias is None else product + layer.bias).to(like.dtype).view(shape)


def quantised(states: torch.Tensor, norm: Any = None) -> Rows:
    """States (..., width) as rows, normed before where a norm is given."""
    if by_kernels(states):
        return _by_kernel(states, None, norm, gated=False)
    return _rounded(states if norm is None else norm(states))


def added(states: torch.Tensor, other: torch.Tensor, norm: Any) -> tuple[torch.Tensor, Rows]:
    """The sum of states (..., width), which may be overwritten, and others, and its norm as rows."""
    if by_kernels(states):
        return states, _by_kernel(states, other, norm, gated=False)
    states = states + other
    return states, _rounded(norm(states))


def gated(activation: Any, gate: torch.Tensor, up: torch.Tensor) -> Rows:
    """The activation of `gate` (..., width) times `up`, as rows."""
    if by_kernels(gate):
        return _by_kernel(gate, up, None, gated=True)
    return _rounded(activation(gate) * up)


def _rounded(states: torch.Tensor) -> Rows:
    values = states.flatten(0, -2).float()
    scales = values.abs().amax(-1, keepdim=True).clamp(min=_SMALLEST) / _LARGEST
    return Rows((values / scales).clamp(-_LARGEST, _LARGEST).to(torch.float8_e4m3fn), scales)


def _by_kernel(states: torch.Tensor, other: torch.Tensor | None, norm: Any, *, gated: bool) -> Rows:
    from refvessel.model.triton_float8 import quantise_rows  # Triton comes with PyTorch for GPUs only

    weight, epsilon = (None, 0.0) if norm is None else (norm.weight, norm.variance_epsilon)
    rows = None if other is None else other.flatten(0, -2)
    return Rows(*quantise_rows(states.flatten(0, -2), rows, weight, epsilon, _LARGEST, gated=gated))
