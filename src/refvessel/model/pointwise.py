"""What lies between a transformer's matmuls: norms, gates, rotary positions.

Where nothing is compiled, a GPU computes each of them by one kernel of `triton_pointwise`. Elsewhere they are
written out for PyTorch, and for its compiler, which fuses them itself.
"""

from math import isqrt
from typing import Any, cast

import torch
from torch import nn
from transformers.activations import SiLUActivation


def by_kernels(states: torch.Tensor) -> bool:
    """Whether our own kernels compute of these."""
    return states.is_cuda and not torch.compiler.is_compiling() and not torch.is_grad_enabled()


def normed(norm: nn.Module, states: torch.Tensor, left_out: torch.Tensor | None = None) -> torch.Tensor:
    """A layer norm, or one of root mean squares, of states that lack something.

    Args:
        norm: a LayerNorm with a bias, or a norm of transformers with a `variance_epsilon`.
        states: (..., width).
        left_out: float32 (width,), what is to be added to each first.
    """
    if by_kernels(states) and not hasattr(norm, "_hf_hook"):  # of a model spread over devices
        from refvessel.model.triton_pointwise import norm_rows  # Triton comes with PyTorch for GPUs only

        return norm_rows(states.contiguous(), *_parameters(norm), left_out)
    return cast("torch.Tensor", norm(states if left_out is None else states + left_out.to(states.dtype)))


def add_normed(
    norm: nn.Module, states: torch.Tensor, added: torch.Tensor, scale: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """states + scale * added, and their norm.

    Args:
        norm: as of `normed`.
        states: (..., width); they may be overwritten.
        added: likewise.
        scale: (width,).
    """
    if by_kernels(states) and states.is_contiguous():
        from refvessel.model.triton_pointwise import add_norm_rows_  # as above

        return states, add_norm_rows_(states, added.contiguous(), scale, *_parameters(norm))
    states = add_scaled(states, added, scale)
    return states, norm(states)


def add_scaled(states: torch.Tensor, added: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """states + scale * added: (..., width), which may be overwritten, likewise, and (width,)."""
    return states.addcmul_(added, scale) if by_kernels(states) else scale * added + states


def _parameters(norm: Any) -> tuple[torch.Tensor, torch.Tensor | None, float]:
    """Weight, bias and epsilon."""
    if isinstance(norm, nn.LayerNorm):
        return norm.weight, norm.bias, norm.eps
    return norm.weight, None, norm.variance_epsilon


def gated(activation: nn.Module, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """The activation of `gate` times `up`, (..., width); `gate` may be overwritten."""
    if by_kernels(gate) and isinstance(activation, nn.SiLU | SiLUActivation):
        from refvessel.model.triton_pointwise import gate_rows_  # as above

        gate_rows_(gate.flatten(0, -2), up.flatten(0, -2))
        return gate
    return cast("torch.Tensor", activation(gate)) * up


def rotated(
    query: torch.Tensor, key: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys turned by their positions, which may overwrite them.

    Args:
        query: (rows, length, heads, size).
        key: likewise, perhaps of fewer heads.
        cosine: (rows, length, channels), of the first channels of each head, both halves alike.
        sine: likewise.
    """
    if by_kernels(query):
        from refvessel.model.triton_pointwise import rotate_rows_  # as above

        turns = (each.expand(*query.shape[:2], -1).flatten(0, 1).contiguous() for each in (cosine, sine))
        rotate_rows_(query.flatten(0, 1), key.flatten(0, 1), *turns)
        return query, key
    return _rotated(query, cosine, sine), _rotated(key, cosine, sine)


def _rotated(states: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    turning, rest = states.split([cosine.shape[-1], states.shape[-1] - cosine.shape[-1]], -1)
    one, other = turning.chunk(2, -1)
    turned = turning * cosine.unsqueeze(2) + torch.cat([-other, one], -1) * sine.unsqueeze(2)
    return torch.cat([turned, rest], -1) if rest.shape[-1] else turned


def pooled(tokens: torch.Tensor) -> torch.Tensor:
    """The maximum of each 2x2 tokens of square windows.

    (windows, tokens, channels) to (windows, tokens / 4, channels); windows and tokens follow each other evenly.
    """
    windows, count, channels = tokens.shape
    side = isqrt(count)
    if by_kernels(tokens):
        from refvessel.model.triton_pointwise import pool_rows  # as above

        return pool_rows(tokens, side)
    half = side // 2
    rows = tokens.reshape(windows, half, 2, half, 2, channels).unbind(2)  # (windows, half, half, 2, channels)
    (a, b), (c, d) = (row.unbind(3) for row in rows)  # each (windows, half, half, channels)
    return torch.maximum(torch.maximum(a, b), torch.maximum(c, d)).reshape(windows, -1, channels)
