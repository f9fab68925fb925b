"""How the InternVL family puts images and questions before its language model: tiles of one size."""

from collections.abc import Sequence

import torch
from PIL import Image

from refvessel.model.configuration import Sa2VAConfig
from refvessel.model.image_tokens import ImageView, Layout, tokens_of
from refvessel.model.normalisation import IMAGENET, channels_first
from refvessel.model.prompt_templates import find_template
from refvessel.prompts import IMAGE_PLACEHOLDER


class TileInputs:
    """Images as tiles, questions in the template of a model's configuration.

    Args:
        config: the model's.
    """

    image_token = "<IMG_CONTEXT>"
    has_axes = False
    statistics = IMAGENET

    def __init__(self, config: Sa2VAConfig) -> None:
        self._config = config
        self._template = find_template(config.template)
        self.stop_tokens: tuple[str, ...] = self._template.stop_tokens
        side = int(config.image_tokens_per_tile**0.5)
        self._tile = (side, side)

    def view_image(self, image: Image.Image) -> ImageView:
        """Tiles row by row, and behind more than one the whole image."""
        side = self._config.force_image_size
        columns, rows = self._grid(image.width, image.height)
        resized = image.resize((side * columns, side * rows), Image.Resampling.BICUBIC)
        tiles = [
            resized.crop((side * column, side * row, side * (column + 1), side * (row + 1)))
            for row in range(rows)
            for column in range(columns)
        ]
        if self._has_thumbnail(len(tiles)):
            tiles.append(self._one_tile(image))
        return ImageView(torch.stack([channels_first(tile) for tile in tiles]), ((self._tile,) * len(tiles),))

    def view_frames(self, frames: Sequence[Image.Image]) -> ImageView:
        """Each frame as one tile."""
        tiles = torch.stack([channels_first(self._one_tile(frame)) for frame in frames])
        return ImageView(tiles, ((self._tile,),) * len(frames))

    def layout(self, width: int, height: int) -> Layout:
        """That of a still image of this size in pixels."""
        columns, rows = self._grid(width, height)
        return ((self._tile,) * (columns * rows + self._has_thumbnail(columns * rows)),)

    def text(self, question: str, layout: Layout) -> str:
        """The question in its turn, each image's tokens between marks in the place of `<image>`."""
        images = "\n".join(f"<img>{self.image_token * tokens_of([grids])}</img>" for grids in layout)
        return self._template.turn.format(question=question.replace(IMAGE_PLACEHOLDER, images))

    def _one_tile(self, image: Image.Image) -> Image.Image:
        side = self._config.force_image_size
        return image.resize((side, side), Image.Resampling.BICUBIC)

    def _has_thumbnail(self, tiles: int) -> bool:
        return self._config.use_thumbnail and tiles > 1

    def _grid(self, width: int, height: int) -> tuple[int, int]:
        if not self._config.dynamic_image_size:
            return 1, 1
        return tile_grid(
            width,
            height,
            least=self._config.min_dynamic_patch,
            most=self._config.max_dynamic_patch,
            side=self._config.force_image_size,
        )


def tile_grid(width: int, height: int, *, least: int = 1, most: int = 12, side: int = 448) -> tuple[int, int]:
    """Columns and rows of the grid whose aspect ratio is closest to the image's.

    Grids are tried by their number of tiles; of two equally close ones the later wins only where the image
    has more than half the pixels of its tiles.
    """
    grids = sorted(
        {(i, j) for i in range(1, most + 1) for j in range(1, most + 1) if least <= i * j <= most},
        key=lambda grid: (grid[0] * grid[1], grid),
    )
    ratio, best, best_difference = width / height, (1, 1), float("inf")
    for columns, rows in grids:
        difference = abs(ratio - columns / rows)
        enough_pixels = width * height > 0.5 * side**2 * columns * rows
        if difference < best_difference or (difference == best_difference and enough_pixels):
            best, best_difference = (columns, rows), difference
    return best
