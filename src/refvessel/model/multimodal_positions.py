"""Rotary positions of three axes, as the Qwen-VL families count them: time, row and column.

Text advances on all three. An image begins at one position on all three; its tokens count rows and columns from
there, and what follows it begins behind the longer of its sides.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from refvessel.model.image_tokens import Layout
from refvessel.model.packing import SHARED, PackedPrompts


def with_multimodal_positions(
    prompts: PackedPrompts, layouts: Sequence[Layout], image_token_id: int
) -> PackedPrompts:
    """Packed prompts with the positions of their tokens, and of their answers'.

    Args:
        prompts: on the host.
        layouts: of the images of each row; a row's prompts share their tokens, or each has them for itself.
        image_token_id: the token that stands for one image token.
    """
    rotary = prompts.positions.expand(3, -1, -1).clone()
    offsets = torch.zeros_like(prompts.rows)
    owners = prompts.parts[prompts.rows, prompts.choices[:, 0]]  # the part that each prompt is
    columns = torch.arange(prompts.input_ids.shape[1])
    for row, layout in enumerate(layouts):
        parts, of_row = prompts.parts[row], prompts.rows == row
        is_image = prompts.input_ids[row] == image_token_id
        for part in parts[is_image].unique().tolist():
            concerned = torch.ones_like(is_image) if part == SHARED else parts == part
            places = columns[is_image & (parts == part)]
            for rows, width in (grid for image in layout for grid in image):
                mine, places = places[: rows * width], places[rows * width :]
                rotary[1, row, mine] = rotary[0, row, mine[0]] + torch.arange(rows).repeat_interleave(width)
                rotary[2, row, mine] = rotary[0, row, mine[0]] + torch.arange(width).repeat(rows)
                rotary[0, row, mine] = rotary[0, row, mine[0]].clone()
                saved = rows * width - max(rows, width)
                rotary[:, row, concerned & (columns > mine[-1])] -= saved
                offsets[of_row & ((owners == part) | (part == SHARED))] -= saved
    return replace(prompts, rotary=rotary, offsets=offsets)
