"""From an image and a question to the arrays that the model reads, as the official code makes them."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast, Qwen2Tokenizer

from refvessel.errors import UserError
from refvessel.model.configuration import Sa2VAConfig, read_config, sam2_side
from refvessel.model.isolation import tokenizer_alone
from refvessel.model.prompt_templates import find_template
from refvessel.model.sentencepiece_tokenizer import has_tokenizer
from refvessel.prompts import IMAGE_PLACEHOLDER

_IMAGE_TOKEN = "<IMG_CONTEXT>"
_SEG_TOKEN = "[SEG]"
_LONGEST_REASON = 300  # characters
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ProcessedImage:
    """An image as the two encoders read it.

    tiles: uint8 (tiles, channels, side, side), for the language model's vision encoder.
    whole: uint8 (channels, size, size), for SAM2; 3 channels, or 1 of a grey image, which stands for 3 equal ones.
    height, width: of the image itself, in pixels.
    """

    tiles: torch.Tensor
    whole: torch.Tensor
    height: int
    width: int

    def pin_memory(self) -> "ProcessedImage":
        """The same in pinned memory, as PyTorch's loader asks for it."""
        return replace(self, tiles=self.tiles.pin_memory(), whole=self.whole.pin_memory())


class Sa2VAProcessor:
    """Images to tiles, questions to token ids, token ids to answers.

    Args:
        config: the model's configuration.
        tokenizer: the model's tokenizer.

    Raises:
        UserError: where the tokenizer lacks a token that Sa2VA needs.
    """

    def __init__(self, config: Sa2VAConfig, tokenizer: PreTrainedTokenizerBase) -> None:
        self._config = config
        self._tokenizer = tokenizer
        self._template = find_template(config.template)
        self._sam2_size = sam2_side(config.sam2_config())
        self.image_token_id = self._token_id(_IMAGE_TOKEN)
        self.seg_token_id = self._token_id(_SEG_TOKEN)
        stop_ids = {self._token_id(token) for token in self._template.stop_tokens}
        self.stop_token_ids = frozenset(stop_ids | {tokenizer.eos_token_id} - {None})

    @classmethod
    def from_pretrained(cls, folder: Path) -> "Sa2VAProcessor":
        """Read configuration and tokenizer of an official folder by explicit class; raises UserError."""
        config = read_config(folder)
        architecture = config.architecture
        kind = Qwen2Tokenizer if architecture.startswith("Qwen") else PreTrainedTokenizerFast
        if kind is PreTrainedTokenizerFast and not has_tokenizer(folder):
            raise UserError(
                f"{folder} has no tokenizer.json and no tokenizer.model, which the tokenizer of {architecture} is read "
                "from; copy the model again."
            )
        with tokenizer_alone(folder) as place:
            try:
                tokenizer = kind.from_pretrained(place, local_files_only=True, trust_remote_code=False)
            except Exception as error:  # tokenizers' own parser raises plain ones
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]
                raise UserError(
                    f"{folder}: the tokenizer files cannot be read ({reason}); restore them."
                ) from None
        try:
            return cls(config, tokenizer)
        except UserError as error:
            raise UserError(f"{folder}: {error}") from None

    def process_image(self, image: Image.Image) -> ProcessedImage:
        """Tile and resize one image: of mode L as it is, of any other PIL mode in RGB.

        Raises UserError for pixels of more than 8 bits, which RGB would cut.
        """
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            raise UserError(
                f"an image has pixels of the mode {image.mode!r}, which 8 bits would cut; convert it to L or RGB."
            )
        pixels = image if image.mode == "L" else image.convert("RGB")
        whole = pixels.resize((self._sam2_size, self._sam2_size), Image.Resampling.BICUBIC)
        return ProcessedImage(self._tiles(pixels), _channels_first(whole), image.height, image.width)

    def prompt_ids(self, question: str, num_tiles: int) -> list[int]:
        """Token ids of one wrapped question, the image's tokens in the place of `<image>`.

        Raises UserError unless the question holds exactly one `<image>`.
        """
        if question.count(IMAGE_PLACEHOLDER) != 1:
            raise UserError(f"the prompt {question!r} must hold {IMAGE_PLACEHOLDER} exactly once; add it.")
        image_tokens = _IMAGE_TOKEN * (num_tiles * self._config.image_tokens_per_tile)
        question = question.replace(IMAGE_PLACEHOLDER, f"<img>{image_tokens}</img>")
        return self._tokenizer.encode(self._template.turn.format(question=question))

    def answer_ids(self, text: str) -> list[int]:
        """Token ids of an answer's text, special tokens by their names."""
        return self._tokenizer.encode(text, add_special_tokens=False)

    def answer_text(self, token_ids: list[int]) -> str:
        """The generated text, special tokens included, as the official code returns it."""
        text = cast("str", self._tokenizer.decode(token_ids, skip_special_tokens=False))  # of one answer
        return text.strip()

    def _tiles(self, image: Image.Image) -> torch.Tensor:
        side = self._config.force_image_size
        columns, rows = self._grid(image.width, image.height)
        resized = image.resize((side * columns, side * rows), Image.Resampling.BICUBIC)
        tiles = [
            resized.crop((side * column, side * row, side * (column + 1), side * (row + 1)))
            for row in range(rows)
            for column in range(columns)
        ]
        if self._config.use_thumbnail and len(tiles) > 1:
            tiles.append(image.resize((side, side), Image.Resampling.BICUBIC))
        return torch.stack([_channels_first(tile) for tile in tiles])

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

    def _token_id(self, token: str) -> int:
        index = self._tokenizer.get_vocab().get(token)
        if index is None:
            raise UserError(f"the tokenizer has no token {token}; give the tokenizer of a Sa2VA model.")
        if index not in self._tokenizer.encode(token):
            raise UserError(
                f"the tokenizer does not read {token} as one token; restore the model's tokenizer files."
            )
        return index


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


class Normalisation:
    """Pixels normalised by ImageNet's statistics, in float32; `compile` concerns this one and no other."""

    def __init__(self) -> None:
        self._standardise = standardise

    def compile(self) -> None:
        """Compile what is computed."""
        self._standardise = torch.compile(standardise)

    def __call__(self, pixels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Normalise.

        Args:
            pixels: uint8 (..., channels, height, width), 3 channels or 1 that stands for 3 equal ones.
            dtype: of the result, (..., 3, height, width).
        """
        return self._standardise(pixels, *_imagenet(pixels.device), dtype)


def normalise(pixels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What a `Normalisation` that is not compiled gives."""
    return Normalisation()(pixels, dtype)


def standardise(
    pixels: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Pixels as shares of 255, less their channel's mean, by its deviation.

    Args:
        pixels: uint8 (..., channels, height, width).
        mean: float32 (3, 1, 1).
        deviation: float32 (3, 1, 1).
        dtype: of the result, (..., 3, height, width).
    """
    return pixels.float().div_(255).sub(mean).div_(deviation).to(dtype)


@lru_cache
def _imagenet(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each channel, float32 (3, 1, 1); kept, since bringing them to a GPU makes it wait."""
    mean, deviation = (
        torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]
        for values in (_IMAGENET_MEAN, _IMAGENET_DEVIATION)
    )
    return mean, deviation


def _channels_first(image: Image.Image) -> torch.Tensor:
    """uint8 (channels, height, width)"""
    pixels = np.array(image)
    return torch.from_numpy(
        pixels[None] if image.mode == "L" else np.ascontiguousarray(pixels.transpose(2, 0, 1))
    )
