"""Greedy answers; an expected one is verified in the prompt's own forward pass.

The expected answer, the draft, stands behind the prompt. Where the model's greedy choice agrees with it at
every token, the answer and its states are those of greedy decoding, in one pass. From the first disagreement on,
tokens are chosen one by one, continuing from the pass's cache. Either way the result is that of greedy decoding.
"""

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import DynamicCache, PreTrainedModel

from refvessel.model.packing import PackedPrompts


@dataclass(frozen=True)
class Answer:
    """What the language model says to one prompt.

    token_ids: the generated tokens, the one that ended the answer included.
    seg_states: (number of [SEG], hidden size), the last layer's state where a generated [SEG] was read.
    """

    token_ids: list[int]
    seg_states: torch.Tensor


@dataclass(frozen=True)
class Stopping:
    """When an answer is over: at one of these tokens, or at its longest."""

    token_ids: Collection[int]
    max_new_tokens: int

    def ends(self, answer: list[int]) -> bool:
        """Whether nothing follows these tokens."""
        return answer[-1] in self.token_ids or len(answer) >= self.max_new_tokens


class _Growing:
    """An answer in the making: its tokens, and the states of those [SEG] that were read."""

    def __init__(self, seg_token_id: int) -> None:
        self._seg_token_id = seg_token_id
        self.token_ids: list[int] = []
        self.states: list[torch.Tensor] = []

    def read(self, state: torch.Tensor) -> None:
        """The state of the last token, as it was read."""
        if self.token_ids and self.token_ids[-1] == self._seg_token_id:
            self.states.append(state)


def greedy_answers(
    language_model: PreTrainedModel,
    inputs_embeds: torch.Tensor,
    prompts: PackedPrompts,
    *,
    seg_token_id: int,
    stopping: Stopping,
) -> list[Answer]:
    """The greedy answer to each packed prompt, in order.

    Args:
        language_model: a causal language model of transformers.
        inputs_embeds: (images, length, hidden size), of `prompts.input_ids` with the images in their places.
        prompts: the packed prompts and their draft.
        seg_token_id: the token whose states are kept.
        stopping: when an answer is over; a [SEG] in the last place is never read and has no state.

    Raises:
        ArithmeticError: where the model's logits are not finite.
    """
    cache = DynamicCache()
    hidden = language_model.model(
        inputs_embeds=inputs_embeds,
        attention_mask=prompts.attention_mask(),
        position_ids=prompts.positions,
        past_key_values=cache,
    ).last_hidden_state
    states = hidden[prompts.rows[:, None], prompts.choices]  # (prompts, draft + 1, hidden)
    answers = [_Growing(seg_token_id) for _ in prompts.rows]
    chosen = _greedy(language_model, states).tolist()
    for answer, tokens, seen in zip(answers, chosen, states, strict=True):
        _accept(answer, tokens, seen, prompts.draft, stopping)
    unfinished = [number for number, answer in enumerate(answers) if not stopping.ends(answer.token_ids)]
    if unfinished:
        _continue(language_model, cache, prompts, answers, unfinished, stopping)
    no_states = hidden.new_empty(0, hidden.shape[-1])
    return [
        Answer(answer.token_ids, torch.stack(answer.states) if answer.states else no_states)
        for answer in answers
    ]


def _greedy(language_model: PreTrainedModel, states: torch.Tensor) -> torch.Tensor:
    """The likeliest token after each state; raises ArithmeticError where there is none."""
    highest, tokens = language_model.lm_head(states).max(-1)
    if not torch.isfinite(highest).all():
        raise ArithmeticError("the language model's logits are not finite")
    return tokens


def _accept(
    answer: _Growing, chosen: list[int], states: torch.Tensor, draft: list[int], stopping: Stopping
) -> None:
    """Take the greedy choices as long as the draft foresaw the tokens before them."""
    for position, token in enumerate(chosen):
        answer.read(states[position])
        answer.token_ids.append(token)
        foreseen = position < len(draft) and draft[position] == token
        if not foreseen or stopping.ends(answer.token_ids):
            return


def _continue(
    language_model: PreTrainedModel,
    cache: DynamicCache,
    prompts: PackedPrompts,
    answers: list[_Growing],
    unfinished: list[int],
    stopping: Stopping,
) -> None:
    """Ordinary batched greedy decoding of the unfinished answers, from what the first pass has cached."""
    visible = [prompts.visible(number, len(answers[number].token_ids) - 1) for number in unfinished]
    cache, attention_mask = _unpacked(cache, prompts.rows[unfinished], visible)
    positions = attention_mask.sum(-1, keepdim=True)
    going = dict(enumerate(answers[number] for number in unfinished))  # row -> answer
    tokens = torch.tensor([[answer.token_ids[-1]] for answer in going.values()], device=positions.device)
    while going:
        attention_mask = functional.pad(attention_mask, (0, 1), value=1)
        hidden = language_model.model(
            input_ids=tokens, attention_mask=attention_mask, position_ids=positions, past_key_values=cache
        ).last_hidden_state[:, -1]
        tokens = _greedy(language_model, hidden)[:, None]
        positions = positions + 1
        chosen = tokens.flatten().tolist()
        for row in list(going):
            going[row].read(hidden[row])
            going[row].token_ids.append(chosen[row])
            if stopping.ends(going[row].token_ids):
                del going[row]


def _unpacked(
    cache: DynamicCache, rows: torch.Tensor, visible: list[torch.Tensor]
) -> tuple[DynamicCache, torch.Tensor]:
    """Each answer's own cache, padded on the left, and its mask: int64 (answers, length)."""
    longest = max(map(len, visible))
    columns = torch.stack([functional.pad(each, (longest - len(each), 0)) for each in visible])
    mask = torch.stack([functional.pad(torch.ones_like(each), (longest - len(each), 0)) for each in visible])
    own = DynamicCache()
    for index, layer in enumerate(cache.layers):
        device = layer.keys.device
        keys, values = (
            states[rows.to(device)[:, None], :, columns.to(device)].transpose(
                1, 2
            )  # (answers, heads, length, c)
            for states in (layer.keys, layer.values)
        )
        own.update(keys, values, index)
    return own, mask
