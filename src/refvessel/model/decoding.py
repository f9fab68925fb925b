"""Greedy answers by speculative decoding: an expected one is verified in the prompt's own forward pass.

The expected answer, the draft, stands behind the prompt. Where the model's greedy choice agrees with it at
every token, the answer and its states are those of greedy decoding, in one pass. From the first disagreement on,
tokens are chosen one by one, continuing from the pass's cache. Either way the result is that of greedy decoding,
but that a state is computed among others and so rounded otherwise, in its last digits.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from refvessel.model.language import KeyValues, LanguageModel
from refvessel.model.packing import PackedPrompts
from refvessel.model.transfer import Arriving

# Of single tokens. Not cuDNN's, which would be planned anew for each length of the rows.
_ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


@dataclass(frozen=True)
class Answer:
    """What the language model says to one prompt.

    token_ids: the generated tokens, the one that ended the answer included.
    seg_states: (number of [SEG], hidden size), the last layer's state where a generated [SEG] was read.
    drafted: whether the draft was all of it, so that the prompt's own pass read it.
    """

    token_ids: list[int]
    seg_states: torch.Tensor
    drafted: bool


@dataclass(frozen=True)
class Stopping:
    """When an answer is over: at one of these tokens, or at its longest."""

    token_ids: Collection[int]
    max_new_tokens: int

    def ends(self, answer: list[int]) -> bool:
        """Whether nothing follows these tokens."""
        return answer[-1] in self.token_ids or len(answer) >= self.max_new_tokens


@dataclass(frozen=True)
class Prefill:
    """The pass over all prompts and their drafts; on a GPU it may still be running.

    states: (prompts, draft + 1, hidden size), where a token of the answer is chosen.
    chosen: int64 (prompts, draft + 1), the likeliest token there; and bool, whether their logits are finite.
    caches: of each layer, for the packed rows.
    """

    prompts: PackedPrompts
    states: torch.Tensor
    chosen: Arriving
    caches: list[KeyValues]


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


def prefill(
    language_model: LanguageModel,
    inputs_embeds: torch.Tensor,
    prompts: PackedPrompts,
    added: Sequence[torch.Tensor] = (),
) -> Prefill:
    """Read the prompts and their drafts, and choose a token behind each; the host waits for nothing.

    Args:
        language_model: the one that answers.
        inputs_embeds: (images, length, hidden size), of `prompts.input_ids` with the images in their places.
        prompts: the packed prompts and their draft.
        added: what the first layers add, each (images, length, hidden size).
    """
    caches = language_model.empty_caches()
    states = language_model.read(
        inputs_embeds,
        prompts.positions,
        prompts.visible(),
        prompts.positions,
        caches,
        wanted=(prompts.rows[:, None], prompts.choices),
        rotary_positions=prompts.rotary,
        added=added,
    )  # (prompts, draft + 1, hidden)
    return Prefill(prompts, states, _choose(language_model, states), caches)


def complete(
    language_model: LanguageModel, prefilled: Prefill, *, seg_token_id: int, stopping: Stopping
) -> list[Answer]:
    """The greedy answer to each packed prompt, in order.

    Args:
        language_model: the one that `prefill` read the prompts with.
        prefilled: what it returned.
        seg_token_id: the token whose states are kept.
        stopping: when an answer is over; a [SEG] in the last place is never read and has no state.

    Raises:
        ArithmeticError: where the model's logits are not finite.
    """
    answers = [_Growing(seg_token_id) for _ in prefilled.states]
    for answer, tokens, seen in zip(answers, _chosen(prefilled.chosen), prefilled.states, strict=True):
        _accept(answer, tokens, seen, prefilled.prompts.draft, stopping)
    unfinished = [number for number, answer in enumerate(answers) if not stopping.ends(answer.token_ids)]
    if unfinished:
        with language_model.uncompiled(), sdpa_kernel(_ATTENTION):
            _continue(language_model, prefilled, answers, unfinished, stopping)
    no_states = prefilled.states.new_empty(0, prefilled.states.shape[-1])
    return [
        Answer(
            answer.token_ids,
            torch.stack(answer.states) if answer.states else no_states,
            drafted=bool(prefilled.prompts.draft) and number not in unfinished,
        )
        for number, answer in enumerate(answers)
    ]


def _choose(language_model: LanguageModel, states: torch.Tensor) -> Arriving:
    """The likeliest token after each state, and whether all of their logits are finite."""
    highest, tokens = language_model.logits(states).max(-1)
    return Arriving(tokens, torch.isfinite(highest).all())


def _chosen(arriving: Arriving) -> list[Any]:
    """The tokens as (nested) lists; raises ArithmeticError where there is none."""
    tokens, finite = arriving.wait()
    if not finite:
        raise ArithmeticError("the language model's logits are not finite")
    return tokens.tolist()


def _accept(
    answer: _Growing, chosen: list[int], states: torch.Tensor, draft: list[int], stopping: Stopping
) -> None:
    """Take the greedy choices as long as the tokens before them are those of the draft."""
    for position, token in enumerate(chosen):
        answer.read(states[position])
        answer.token_ids.append(token)
        accepted = position < len(draft) and draft[position] == token
        if not accepted or stopping.ends(answer.token_ids):
            return


def _continue(
    language_model: LanguageModel,
    prefilled: Prefill,
    answers: list[_Growing],
    unfinished: list[int],
    stopping: Stopping,
) -> None:
    """Ordinary batched greedy decoding of the unfinished answers, from what the first pass has cached."""
    prompts = prefilled.prompts
    read = [prompts.read_by(number, len(answers[number].token_ids) - 1) for number in unfinished]
    caches, visible = _unpacked(prefilled.caches, prompts.rows[unfinished], read)
    key_positions = (visible.cumsum(-1) - 1).clamp(min=0)
    going = dict(enumerate(answers[number] for number in unfinished))  # row -> answer
    tokens = torch.tensor([[answer.token_ids[-1]] for answer in going.values()], device=visible.device)
    newest = torch.arange(len(tokens), device=visible.device), torch.zeros_like(tokens[:, 0])
    offsets = None if prompts.offsets is None else prompts.offsets[unfinished][:, None]
    while going:
        visible = functional.pad(visible, (0, 1), value=True)
        positions = key_positions[:, -1:] + 1
        key_positions = torch.cat([key_positions, positions], -1)
        embeds = language_model.embed(tokens)
        hidden = language_model.read(
            embeds,
            positions,
            visible.unsqueeze(1),
            key_positions,
            caches,
            newest,
            rotary_positions=None if offsets is None else (positions + offsets).expand(3, -1, -1),
        )
        chosen = _chosen(_choose(language_model, hidden))
        tokens = torch.tensor(chosen, device=tokens.device)[:, None]
        for row in list(going):
            going[row].read(hidden[row])
            going[row].token_ids.append(chosen[row])
            if stopping.ends(going[row].token_ids):
                del going[row]


def _unpacked(
    caches: list[KeyValues], rows: torch.Tensor, read: list[torch.Tensor]
) -> tuple[list[KeyValues], torch.Tensor]:
    """Each answer's own caches, padded on the left, and what of them it reads: bool (answers, length)."""
    longest = max(map(len, read))
    columns = torch.stack([functional.pad(each, (longest - len(each), 0)) for each in read])
    lengths = torch.tensor([[len(each)] for each in read], device=columns.device)
    visible = torch.arange(longest, device=columns.device) >= longest - lengths

    def own(states: torch.Tensor | None) -> torch.Tensor:
        """(images, heads, length, c) to (answers, heads, longest, c)"""
        assert states is not None  # the first pass has filled it
        mine = states[rows.to(states.device)[:, None], :, columns.to(states.device)]
        return mine.transpose(1, 2)

    return [KeyValues(own(cache.keys), own(cache.values)) for cache in caches], visible
