"""A decoder layer of transformers' language models, over the library's own modules, with less copying.

All kinds that Sa2VA is built on are alike: a norm, attention with rotary positions, a norm, a gated feed-forward
part. The arithmetic is the library's; what lies between the matmuls is `pointwise`'s.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from refvessel.model import kernels, pointwise


def run_layer(layer: Any, hidden: torch.Tensor, inputs: dict[str, Any]) -> torch.Tensor:
    """A layer over new tokens.

    Args:
        layer: of a language model.
        hidden: (rows, length, hidden size), which may be overwritten.
        inputs: what the library's layer takes besides.
    """
    hidden = _added(hidden, _mixed(layer, hidden, inputs), layer.self_attn.o_proj)
    return _feed_forward(layer, hidden)


def run_last_layer(
    layer: Any, hidden: torch.Tensor, inputs: dict[str, Any], wanted: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """The last layer; only what is wanted of it goes through its feed-forward part, which is most of it.

    Args:
        layer: as of `run_layer`.
        hidden: likewise.
        inputs: likewise.
        wanted: int64, rows and columns.

    Returns:
        (*shape of the wanted rows and columns, hidden size)
    """
    mixed = _mixed(layer, hidden, inputs)[wanted]
    return _feed_forward(layer, _added(hidden[wanted], mixed, layer.self_attn.o_proj))


def _mixed(layer: Any, hidden: torch.Tensor, inputs: dict[str, Any]) -> torch.Tensor:
    """What attention mixes, before its last projection: (rows, length, heads * size)."""
    attention = layer.self_attn
    normed = pointwise.normed(layer.input_layernorm, hidden)
    return attend(attention, *projected(attention, lambda layer: layer(normed)), inputs)


def attend(
    attention: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, inputs: dict[str, Any]
) -> torch.Tensor:
    """What a layer's attention mixes of what was projected: each (rows, length, heads * size), so the result.

    Args:
        attention: the layer's.
        query: overwritten, perhaps.
        key: likewise, perhaps of fewer heads.
        value: likewise.
        inputs: as of `run_layer`.
    """
    query, key, value = (each.unflatten(-1, (-1, attention.head_dim)) for each in (query, key, value))
    if hasattr(attention, "q_norm"):
        query, key = pointwise.normed(attention.q_norm, query), pointwise.normed(attention.k_norm, key)
    query, key = pointwise.rotated(query, key, *inputs["position_embeddings"])
    keys, values = inputs["past_key_values"].update(key.transpose(1, 2), value.transpose(1, 2))
    mixed, _ = sdpa_attention_forward(
        attention, query.transpose(1, 2), keys, values, inputs["attention_mask"], scaling=attention.scaling
    )
    return mixed.flatten(2)


def projected(
    attention: Any, apply: Callable[[nn.Module], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values: each (rows, length, heads * size), by what applies a linear layer."""
    if not hasattr(attention, "qkv_proj"):
        return apply(attention.q_proj), apply(attention.k_proj), apply(attention.v_proj)
    queries = attention.config.num_attention_heads * attention.head_dim
    keys = attention.config.num_key_value_heads * attention.head_dim
    query, key, value = apply(attention.qkv_proj).split([queries, keys, keys], -1)
    return query, key, value


def gate_and_up(
    feed_forward: Any, apply: Callable[[nn.Module], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, nn.Module]:
    """What goes through the activation, what that is multiplied with, and the activation; likewise."""
    if not hasattr(feed_forward, "gate_up_proj"):
        return apply(feed_forward.gate_proj), apply(feed_forward.up_proj), feed_forward.act_fn
    gate, up = apply(feed_forward.gate_up_proj).chunk(2, -1)
    return gate, up, feed_forward.activation_fn


def _feed_forward(layer: Any, hidden: torch.Tensor) -> torch.Tensor:
    normed, part = pointwise.normed(layer.post_attention_layernorm, hidden), layer.mlp
    gate, up, activation = gate_and_up(part, lambda layer: layer(normed))
    return _added(hidden, pointwise.gated(activation, gate, up), part.down_proj)


def _added(hidden: torch.Tensor, inputs: torch.Tensor, linear: nn.Module) -> torch.Tensor:
    """What a layer makes of its inputs, added to `hidden`; on a GPU where it lies, if a matmul can."""
    if hidden.is_cuda and isinstance(linear, nn.Linear) and linear.bias is None:
        return kernels.add_matmul(hidden, inputs, linear.weight)
    outputs: torch.Tensor = linear(inputs)
    return hidden + outputs
