"""Which images go into which shard: the same whatever the order of files, equal in cost."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from refvessel.dataset.tree.expressions import Expression
from refvessel.errors import UserError
from refvessel.model.image_tokens import Layout, tokens_of

# Relative cost of one SAM2 encoding in tiles through the language model (architecture of the 8B, measured by
# its parts); an expression beyond an image's first costs about a mask decoding.
_IMAGE_COST, _EXPRESSION_COST = 1.0, 0.2
_TOKENS_OF_TILE = 256  # image tokens of one tile of InternVL


@dataclass(frozen=True)
class ImageTask:
    """One image and all its expressions, ordered by sent_id.

    tiles: how long the image is for the language model, in tiles of 256 image tokens.
    """

    expressions: tuple[Expression, ...]
    tiles: float = 1.0

    @property
    def image_id(self) -> str:
        """The image that all the expressions are about."""
        return self.expressions[0].image_id

    @property
    def cost(self) -> float:
        """Estimated time, in tiles through the language model; the expressions share those of their image."""
        return self.tiles + _IMAGE_COST + len(self.expressions) * _EXPRESSION_COST


def parse_shard(text: str) -> tuple[int, int]:
    """`2/8` to (2, 8); raises UserError unless 1 <= first <= second."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"the shard {text!r} is not of the form 2/8, the second shard of eight.")
    return int(match[1]), int(match[2])


def plan_shard(
    expressions: Sequence[Expression], shard: int, of: int, layout: Callable[[int, int], Layout]
) -> list[ImageTask]:
    """The images of one shard, ordered by image_id.

    The costliest image goes first, always into the shard that has the least so far.

    Args:
        expressions: those of all shards.
        shard: number of the shard, from 1.
        of: number of shards.
        layout: of the image tokens of an image of a width and height in pixels.
    """
    loads = [0.0] * of
    mine = []
    for task in sorted(_by_image(expressions, layout), key=lambda task: (-task.cost, task.image_id)):
        lightest = loads.index(min(loads))
        loads[lightest] += task.cost
        if lightest == shard - 1:
            mine.append(task)
    return sorted(mine, key=lambda task: task.image_id)


def _by_image(expressions: Sequence[Expression], layout: Callable[[int, int], Layout]) -> list[ImageTask]:
    ordered = sorted(expressions, key=lambda expression: (expression.image_id, expression.sent_id))
    of_images = [tuple(group) for _, group in groupby(ordered, key=lambda each: each.image_id)]
    return [
        ImageTask(mine, tokens_of(layout(mine[0].width, mine[0].height)) / _TOKENS_OF_TILE)
        for mine in of_images
    ]
