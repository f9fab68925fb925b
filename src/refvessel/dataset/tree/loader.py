"""What the official evaluator reads from a tree, image by image."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from refvessel import rle
from refvessel.dataset.tree.expressions import Expression, Sentence, read_expressions
from refvessel.errors import UserError
from refvessel.image_files import decode_file
from refvessel.prompts import IMAGE_PLACEHOLDER, PHRASE_PLACEHOLDER, prompt_of

SHOWN_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # modes that RGB keeps as they look


class ReferringDataset:
    """One split of a tree as a sequence of images with all their expressions, in the order of sent_id.

    An item is a dict of `image` (PIL, RGB), `text` (one prompt per sentence), `gt_masks` (uint8 of shape
    (sentences, height, width), values 0 and 1), `img_id` (the item's index as text) and `image_path` (text).
    Raises UserError where `question` lacks `<image>` or `{phrase}`, and whatever `read_expressions` raises.
    """

    def __init__(self, root: Path, split: str, question: str) -> None:
        for placeholder in (IMAGE_PLACEHOLDER, PHRASE_PLACEHOLDER):
            if placeholder not in question:
                raise UserError(f"The question {question!r} has no {placeholder}; add it.")
        self._question = question
        by_image: dict[str, list[Expression]] = {}
        for expression in read_expressions(root, split):
            by_image.setdefault(expression.image_id, []).append(expression)
        self._images = list(by_image.values())

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        expressions = self._images[index]
        return {
            "image": open_image(expressions[0]),
            "text": [prompt_of(self._question, expression.phrase) for expression in expressions],
            "gt_masks": np.stack([rle.decode(expression.truth) for expression in expressions]),
            "img_id": str(index),
            "image_path": str(expressions[0].image_path),
        }


def open_image(expression: Sentence) -> Image.Image:
    """The expression's image in RGB; raises UserError where it does not open or is not of the truth's size."""
    return read_image(expression).convert("RGB")


def read_image(expression: Sentence) -> Image.Image:
    """The same, but in mode L where it is stored so: its three channels would be equal."""
    path = expression.image_path
    image = read_pixels(path)
    if image.size != (expression.width, expression.height):
        raise UserError(
            f"{path} is {image.width} x {image.height} pixels but instances.json says {expression.width} x "
            f"{expression.height}; restore the image that was annotated."
        )
    return image


def read_pixels(path: Path) -> Image.Image:
    """The image in a file, in mode L where it is stored so, else in RGB; raises UserError where it is none."""
    stored = decode_file(path)
    if stored.mode not in SHOWN_MODES:
        raise UserError(
            f"{path} has pixels of the kind {stored.mode!r}, of which 8 bits keep little; convert the tree with "
            "the format refcoco."
        )
    return stored if stored.mode == "L" else stored.convert("RGB")
