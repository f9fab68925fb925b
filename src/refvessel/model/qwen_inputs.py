"""How the Qwen-VL families put images and questions before their language model: patches of images of any size.

An image is resized twice, as the official code does it: by the rule of qwen_vl_utils, and by that of the
processor of the library, each to sides that are multiples of a unit.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.nn import functional

from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.model.chat_rendering import Turn, read_template, render_turn
from refvessel.model.image_tokens import ImageView, Layout, tokens_of
from refvessel.model.isolation import PREPROCESSOR, PROCESSOR
from refvessel.model.normalisation import Statistics, channels_first
from refvessel.model.qwen_configuration import QwenSa2VAConfig
from refvessel.prompts import IMAGE_PLACEHOLDER

_FIRST_UNIT = 28  # pixels of the first resizing's unit, of whatever patches
_FIRST_PIXELS = (4 * _FIRST_UNIT**2, 16384 * _FIRST_UNIT**2)
_SECOND_PIXELS = (512 * _FIRST_UNIT**2, 2048 * _FIRST_UNIT**2)
_MOST_ELONGATED = 200  # sides' ratio
_TURNS_KEPT = 64
# What is done with pixels: other values than these are not built here.
_SUPPORTED = {"do_resize": True, "do_rescale": True, "do_normalize": True, "resample": 3}
_RESCALED = 1 / 255


class PatchInputs:
    """Images as patches, questions in the turn of a folder's chat template.

    Args:
        config: the model's.
        statistics: of the folder's preprocessor.
        turn: the user's turn around a question about so many images, as the template has it.
    """

    image_token = "<|image_pad|>"
    stop_tokens: tuple[str, ...] = ("<|im_end|>", "<|endoftext|>")
    has_axes = True

    def __init__(self, config: QwenSa2VAConfig, statistics: Statistics, turn: Any) -> None:
        self._patch: int = config.vision_config.patch_size
        self._merge: int = config.vision_config.spatial_merge_size
        self.statistics = statistics
        self._turn = lru_cache(_TURNS_KEPT)(turn)

    def view_image(self, image: Image.Image) -> ImageView:
        """The patches of a still image."""
        return self.view_frames([image])

    def view_frames(self, frames: Sequence[Image.Image]) -> ImageView:
        """The patches of each frame, one after the other."""
        patches = torch.cat([self._patches(self._resized(frame)) for frame in frames])
        layout = tuple(self.layout(frame.width, frame.height)[0] for frame in frames)
        return ImageView(patches, layout, self.statistics)

    def layout(self, width: int, height: int) -> Layout:
        """That of a still image of this size in pixels."""
        _, (columns, rows) = self._sizes(width, height)
        unit = self._patch * self._merge
        return (((rows // unit, columns // unit),),)

    def text(self, question: str, layout: Layout) -> str:
        """The turn of the template, with the images before the question, which loses its `<image>`."""
        turn: Turn = self._turn(len(layout))
        text = question.replace(IMAGE_PLACEHOLDER, "")
        return turn.around(text, [self.image_token * tokens_of([grids]) for grids in layout])

    def _sizes(self, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Width and height after the first and after the second resizing."""
        first = smart_resize(width, height, _FIRST_UNIT, *_FIRST_PIXELS)
        return first, smart_resize(*first, self._patch * self._merge, *_SECOND_PIXELS)

    def _resized(self, image: Image.Image) -> torch.Tensor:
        """uint8 (channels, height, width); the second resizing is PyTorch's, as in the library's processor."""
        if max(image.size) > _MOST_ELONGATED * min(image.size):
            raise UserError(
                f"an image of {image.width}x{image.height} pixels is more than {_MOST_ELONGATED} times as long as "
                "wide; crop it."
            )
        first, (width, height) = self._sizes(*image.size)
        pixels = channels_first(image.resize(first, Image.Resampling.BICUBIC))
        if first == (width, height):
            return pixels
        return functional.interpolate(pixels[None], size=(height, width), mode="bicubic", antialias=True)[0]

    def _patches(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (channels, height, width) to (patches, channels, side, side), unit by unit."""
        side, merge = self._patch, self._merge
        channels, height, width = pixels.shape
        units = pixels.reshape(
            channels, height // (side * merge), merge, side, width // (side * merge), merge, side
        )
        return units.permute(1, 4, 2, 5, 0, 3, 6).reshape(-1, channels, side, side).contiguous()


def smart_resize(width: int, height: int, unit: int, least: int, most: int) -> tuple[int, int]:
    """Width and height in multiples of a unit, near the given ones and their ratio.

    Args:
        width: in pixels.
        height: in pixels.
        unit: in pixels.
        least: pixels that the result has at least.
        most: pixels that it has at most, but for images of which a side would vanish.
    """
    near = [max(unit, round(side / unit) * unit) for side in (width, height)]
    if near[0] * near[1] > most:
        shrunk = math.sqrt(width * height / most)
        near = [max(unit, math.floor(side / shrunk / unit) * unit) for side in (width, height)]
    elif near[0] * near[1] < least:
        grown = math.sqrt(least / (width * height))
        near = [math.ceil(side * grown / unit) * unit for side in (width, height)]
    return near[0], near[1]


def read_inputs(folder: Path, config: QwenSa2VAConfig, special_tokens: Mapping[str, Any]) -> PatchInputs:
    """What a folder says of its inputs, running none of its code.

    Args:
        folder: official folder of a Qwen-VL family.
        config: of the folder.
        special_tokens: of its tokenizer, by their names in templates.

    Raises:
        UserError: for a preprocessor that is missing or does otherwise than is built here; for a chat template
            that is missing, or does not put a question into a turn.
    """
    template = read_template(folder)
    named = {name: token for name, token in special_tokens.items() if isinstance(token, str)}

    def turn(images: int) -> Turn:
        return render_turn(template, images, PatchInputs.image_token, named)

    inputs = PatchInputs(config, _statistics(_preprocessor(folder), config), turn)
    turn(1)  # what is wrong with a template is told before anything is computed
    return inputs


def _preprocessor(folder: Path) -> Mapping[str, Any]:
    """The settings of a folder's image processor, in the file of either generation of the library."""
    for name, of_images in ((PREPROCESSOR, None), (PROCESSOR, "image_processor")):
        if (Path(folder) / name).is_file():
            settings = read_json(Path(folder) / name)
            found = settings.get(of_images) if of_images and isinstance(settings, dict) else settings
            if not isinstance(found, dict):
                raise UserError(f"{name} does not describe an image processor; copy the model again.")
            return found
    raise UserError(f"there is no {PREPROCESSOR}; copy the model again.")


def _statistics(settings: Mapping[str, Any], config: QwenSa2VAConfig) -> Statistics:
    """Mean and deviation of each channel; raises UserError for other ways to prepare pixels."""
    vision = config.vision_config
    expected = _SUPPORTED | {
        "patch_size": vision.patch_size,
        "merge_size": vision.spatial_merge_size,
        "temporal_patch_size": vision.temporal_patch_size,
    }
    for key, value in expected.items():
        if settings.get(key, value) != value:
            raise UserError(
                f"{PREPROCESSOR}: {key} is {settings[key]!r:.60}, but only {value!r} is supported."
            )
    factor = settings.get("rescale_factor", _RESCALED)
    if type(factor) not in (int, float) or not math.isclose(factor, _RESCALED):
        raise UserError(f"{PREPROCESSOR}: rescale_factor is {factor!r:.60}, but only 1/255 is supported.")
    return _channels(settings, "image_mean"), _channels(settings, "image_std")


def _channels(settings: Mapping[str, Any], key: str) -> tuple[float, float, float]:
    """A number of each channel; deviations are above 0."""
    values = settings.get(key)
    if isinstance(values, list) and len(values) == 3 and all(map(_is_finite, values)):
        red, green, blue = map(float, values)
        if key == "image_mean" or min(red, green, blue) > 0:
            return red, green, blue
    raise UserError(
        f"{PREPROCESSOR}: {key} is {values!r:.60}, not three numbers, one of each channel; repair it."
    )


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
