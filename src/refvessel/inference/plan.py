"""Which images go into which shard: the same whatever the order of files, equal in cost."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from refvessel.dataset.tree.expressions import Sentence
from refvessel.errors import UserError
from refvessel.model.processing import tile_grid

# Relative cost of one SAM2 encoding in tiles through the language model (architecture of the 8B, measured by
# its parts); an expression beyond an image's first costs about a mask decoding.
_IMAGE_COST, _EXPRESSION_COST = 1.0, 0.2


@dataclass(frozen=True)
class ImageTask:
    """One image and all its expressions, ordered by sent_id."""

    expressions: tuple[Sentence, ...]

    @property
    def image_id(self) -> str:
        """The image that all the expressions are about."""
        return self.expressions[0].image_id

    @property
    def tiles(self) -> int:
        """The number of tiles that the image is cut into."""
        first = self.expressions[0]
        columns, rows = tile_grid(first.width, first.height)
        return columns * rows + (columns * rows > 1)

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


def plan_shard(expressions: Sequence[Sentence], shard: int, of: int) -> list[ImageTask]:
    """The images of shard number `shard` (from 1), ordered by image_id.

    The costliest image goes first, always into the shard that has the least so far.
    """
    loads = [0.0] * of
    mine = []
    for task in sorted(_by_image(expressions), key=lambda task: (-task.cost, task.image_id)):
        lightest = loads.index(min(loads))
        loads[lightest] += task.cost
        if lightest == shard - 1:
            mine.append(task)
    return sorted(mine, key=lambda task: task.image_id)


def _by_image(expressions: Sequence[Sentence]) -> list[ImageTask]:
    ordered = sorted(expressions, key=lambda expression: (expression.image_id, expression.sent_id))
    return [ImageTask(tuple(group)) for _, group in groupby(ordered, key=lambda each: each.image_id)]
