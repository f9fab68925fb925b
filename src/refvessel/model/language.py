"""One pass through a language model's decoder layers, which transformers provides, with a cache per layer.

The library's own loop over the layers would look at the positions, and so make the host wait for the device (as
rotary embeddings of a dynamic kind still do); and its cache numbers the layers, so that torch.compile makes a
variant of each.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel

from refvessel.model import float8_layer
from refvessel.model.decoder_layer import run_last_layer, run_layer
from refvessel.model.kernels import ALIGNED, TransposedLinear
from refvessel.model.pointwise import normed


class KeyValues:
    """Keys and values of one layer, (rows, heads, length, head size); None before the first pass."""

    def __init__(self, keys: torch.Tensor | None = None, values: torch.Tensor | None = None) -> None:
        self.keys = keys
        self.values = values

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, *_: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add those of new tokens and return all; called by the layer's attention."""
        if self.keys is not None and self.values is not None:
            keys, values = torch.cat([self.keys, keys], 2), torch.cat([self.values, values], 2)
        self.keys, self.values = keys, values
        return keys, values


class LanguageModel:
    """A causal language model of transformers; `compile` concerns this one and no other.

    Args:
        causal: the model, whose parts are looked up at each use.
        normed: whether its states are those behind the final norm, or those before it, as the official code takes
            them of Qwen3-VL.
    """

    def __init__(self, causal: PreTrainedModel, *, normed: bool = True) -> None:
        self._causal: Any = causal  # its kinds have a decoder and a head in common, but no type that says so
        self._normed = normed
        self._run_layer = run_layer
        self._run_last_layer = run_last_layer
        self.is_compiled = False

    def fuse(self) -> None:
        """Let a GPU multiply fast, in place."""
        head = self._causal.lm_head
        if isinstance(head, nn.Linear) and head.out_features % ALIGNED:
            self._causal.lm_head = TransposedLinear(head)

    def multiply_in_float8(self) -> None:
        """Let layers, whose weights are float8, multiply them with float8."""
        self._run_layer, self._run_last_layer = float8_layer.run_layer, float8_layer.run_last_layer

    def compile(self) -> None:
        """Compile the layers, each kind of layer once."""
        self._run_layer = torch.compile(self._run_layer)
        self._run_last_layer = torch.compile(self._run_last_layer)
        for layer in self._causal.model.layers:
            layer.self_attn.layer_idx = 0  # with numbers of their own they would be compiled one by one
        self.is_compiled = True

    def uncompiled(self) -> AbstractContextManager[object]:
        """Where shapes occur that are too rare to be compiled for; it holds for all of the process meanwhile."""
        return torch.compiler.set_stance("force_eager") if self.is_compiled else nullcontext()

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        """Token embeddings: int64 (...) to (..., hidden size)."""
        return self._causal.get_input_embeddings()(token_ids)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Of the token behind each state: (..., hidden size) to (..., vocabulary)."""
        return self._causal.lm_head(states if self._normed else normed(self._causal.model.norm, states))

    def empty_caches(self) -> list[KeyValues]:
        """One per layer."""
        return [KeyValues() for _ in self._causal.model.layers]

    def read(
        self,
        embeds: torch.Tensor,
        positions: torch.Tensor,
        visible: torch.Tensor | None,
        key_positions: torch.Tensor,
        caches: Sequence[KeyValues],
        wanted: tuple[torch.Tensor, torch.Tensor],
        rotary_positions: torch.Tensor | None = None,
        added: Sequence[torch.Tensor] = (),
    ) -> torch.Tensor:
        """The last layer's states of some tokens.

        Args:
            embeds: (rows, length, hidden size), of the new tokens.
            positions: int64 (rows, length), of the new tokens.
            visible: bool (rows, length, keys), which keys a token reads, those in the caches first; None where it
                is those up to itself, and the caches are empty.
            key_positions: int64 (rows, keys).
            caches: one per layer; the new tokens are added.
            wanted: int64, rows and columns of the new tokens whose states are returned.
            rotary_positions: int64 (3, rows, length), time, row and column of the new tokens, where a family's
                rotary positions are of these; None where they are `positions`.
            added: of each of the first layers, what is added to its result, (rows, length, hidden size).

        Returns:
            (*shape of the wanted rows and columns, hidden size)
        """
        decoder = self._causal.model
        rotary = decoder.rotary_emb(embeds, positions if rotary_positions is None else rotary_positions)
        masks: dict[int | None, torch.Tensor | None] = {}
        hidden = embeds.clone()  # layers add to it where it lies
        for index, (layer, cache) in enumerate(zip(decoder.layers, caches, strict=True)):
            window = _window(decoder.config, index, key_positions.shape[1])
            if window not in masks:
                masks[window] = _mask(window, positions, visible, key_positions)
            inputs = {
                "attention_mask": masks[window],
                "position_ids": positions,
                "position_embeddings": rotary,
                "past_key_values": cache,
            }
            if hasattr(layer, "_hf_hook"):  # of a model spread over devices
                hidden = layer(hidden, **inputs)
            elif layer is decoder.layers[-1] and index >= len(added):
                return self._finished(self._run_last_layer(layer, hidden, inputs, wanted))
            else:
                hidden = self._run_layer(layer, hidden, inputs)
            if index < len(added):
                hidden = hidden + added[index].to(hidden.device)
        return self._finished(hidden[wanted])

    def _finished(self, states: torch.Tensor) -> torch.Tensor:
        return normed(self._causal.model.norm, states) if self._normed else states


def _window(config: PreTrainedConfig, index: int, keys: int) -> int | None:
    """How many positions a layer's tokens look back, themselves included; None where that is all of them."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if window is None or window >= keys or (kinds and kinds[index] != "sliding_attention"):
        return None
    return window


def _mask(
    window: int | None, positions: torch.Tensor, visible: torch.Tensor | None, key_positions: torch.Tensor
) -> torch.Tensor | None:
    """bool (rows, 1, length, keys), or None where attention is plainly causal."""
    if window is not None:
        back = positions[:, :, None] - key_positions[:, None, :]
        if visible is None:
            length = positions.shape[1]
            visible = torch.ones(length, length, dtype=torch.bool, device=positions.device).tril()
        visible = visible & (back < window)
    return None if visible is None else visible.unsqueeze(1)
