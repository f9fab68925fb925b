"""The prompts of an image in one row, behind the beginning that they share.

    image and question so far | rest of prompt 1, draft | rest of prompt 2, draft | ... padding

Each part sees the beginning and itself, so that one forward pass answers as if every prompt stood alone, and
the image's tokens pass through the language model once, however many expressions it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import torch

from refvessel.model.transfer import to_device

SHARED, _PADDING = 0, -1


@dataclass(frozen=True)
class PackedPrompts:
    """Prompts with an expected answer, packed image by image.

    input_ids, positions, parts: int64 (images, length); `parts` numbers a row's prompts from 1, 0 is the
        shared beginning and -1 padding.
    rows: int64 (prompts,), the image of each prompt.
    choices: int64 (prompts, draft + 1), the columns where a token of its answer is chosen: its own last token,
        then each token of the draft.
    draft: the expected answer, without the token that ends it; perhaps empty.
    rotary: int64 (3, images, length), time, row and column of each token, where the language model's rotary
        positions are of these; None where they are `positions`.
    offsets: int64 (prompts,), what a token of a prompt's answer adds to its position there.
    """

    input_ids: torch.Tensor
    positions: torch.Tensor
    parts: torch.Tensor
    rows: torch.Tensor
    choices: torch.Tensor
    draft: list[int]
    rotary: torch.Tensor | None = None
    offsets: torch.Tensor | None = None

    def on(self, device: torch.device) -> "PackedPrompts":
        """The same on a device."""
        return replace(
            self,
            input_ids=to_device(self.input_ids, device),
            positions=to_device(self.positions, device),
            parts=to_device(self.parts, device),
            rows=to_device(self.rows, device),
            choices=to_device(self.choices, device),
            rotary=None if self.rotary is None else to_device(self.rotary, device),
            offsets=None if self.offsets is None else to_device(self.offsets, device),
        )

    def visible(self) -> torch.Tensor | None:
        """bool (images, length, length), what each token reads; None where a row is one prompt, plainly causal."""
        if len(self.rows) == len(self.input_ids):
            return None
        queries, keys = self.parts[:, :, None], self.parts[:, None, :]
        length = self.parts.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=self.parts.device).tril()
        return ((keys == SHARED) | (keys == queries)) & causal

    def read_by(self, prompt: int, accepted: int) -> torch.Tensor:
        """Columns of a prompt's row that its answer has read after `accepted` tokens of the draft."""
        parts, last = self.parts[self.rows[prompt]], self.choices[prompt, accepted]
        mine = parts[self.choices[prompt, 0]]
        columns = torch.arange(len(parts), device=parts.device)
        return columns[((parts == SHARED) | (parts == mine)) & (columns <= last)]


def pack_prompts(
    prompts: Sequence[Sequence[Sequence[int]]],
    draft: Sequence[int],
    *,
    multiple: int = 1,
) -> PackedPrompts:
    """Pack the token ids of each image's prompts, one or more, on the host; rows are padded on the right.

    `multiple` divides the rows' length, for kernels and compiled code that like round shapes.
    """
    ids: list[list[int]] = []
    positions: list[list[int]] = []
    parts: list[list[int]] = []
    rows: list[int] = []
    choices: list[list[int]] = []
    for row, mine in enumerate(prompts):
        # A prompt keeps at least its last token for itself: the one whose state chooses.
        shared = min(_common(mine), *(len(prompt) - 1 for prompt in mine)) if len(mine) > 1 else 0
        ids.append(list(mine[0][:shared]))
        positions.append(list(range(shared)))
        parts.append([SHARED] * shared)
        for number, prompt in enumerate(mine, start=1):
            rest = [*prompt[shared:], *draft]
            rows.append(row)
            last = len(ids[row]) + len(rest) - len(draft) - 1
            choices.append(list(range(last, last + len(draft) + 1)))
            ids[row] += rest
            positions[row] += range(shared, shared + len(rest))
            parts[row] += [number] * len(rest)
    longest = -(-max(map(len, ids)) // multiple) * multiple

    def padded(lists: list[list[int]], value: int) -> torch.Tensor:
        return torch.tensor([each + [value] * (longest - len(each)) for each in lists])

    return PackedPrompts(
        padded(ids, 0),
        padded(positions, 0),
        padded(parts, _PADDING),
        torch.tensor(rows),
        torch.tensor(choices),
        list(draft),
    )


def _common(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with."""
    return sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, zip(*prompts, strict=False)))
