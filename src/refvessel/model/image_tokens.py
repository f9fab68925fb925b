"""What the language model sees of an image: pixels in, image tokens out, and how these lie in rows and columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from refvessel.model.normalisation import IMAGENET, Statistics

Grid = tuple[int, int]  # rows and columns of image tokens
Layout = tuple[tuple[Grid, ...], ...]  # of each image of a prompt, those of its tiles


@dataclass(frozen=True)
class ImageView:
    """The image, or the images, of a prompt as the language model's image encoder takes them.

    tiles: uint8 (tiles, channels, height, width), of all images in order; 3 channels, or 1 that stands for 3
        equal ones. Of the Qwen-VL families these are patches, unit by unit of those that become one token.
    layout: of these images.
    statistics: what the tiles are normalised by.
    """

    tiles: torch.Tensor
    layout: Layout
    statistics: Statistics = IMAGENET

    def pin_memory(self) -> "ImageView":
        """The same in pinned memory."""
        return replace(self, tiles=self.tiles.pin_memory())


@dataclass(frozen=True)
class ImageTokens:
    """Image tokens on their way into the language model.

    tokens: (number, hidden size), which stand among the embedded tokens of a prompt.
    deepstack: of each of the first decoder layers, what is added to the image tokens behind it, (number, hidden
        size); empty where the family has none.
    """

    tokens: torch.Tensor
    deepstack: tuple[torch.Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)


def tokens_of(images: Sequence[Sequence[Grid]]) -> int:
    """The number of image tokens of a layout, or of a part of it."""
    return sum(rows * columns for grids in images for rows, columns in grids)


def join_tokens(parts: Sequence[ImageTokens]) -> ImageTokens:
    """Image tokens of several prompts, one after the other."""
    return ImageTokens(
        torch.cat([part.tokens for part in parts]),
        tuple(torch.cat(of_layer) for of_layer in zip(*(part.deepstack for part in parts), strict=True)),
    )
