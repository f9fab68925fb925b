"""Pixels as the image encoders take them: shares of 255, normalised channel by channel."""

from functools import lru_cache

import numpy as np
import torch
from PIL import Image

Statistics = tuple[
    tuple[float, float, float], tuple[float, float, float]
]  # mean and deviation of each channel
IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Normalisation:
    """Pixels normalised by an encoder's statistics, in float32; `compile` concerns this one and no other."""

    def __init__(self) -> None:
        self._standardise = standardise

    def compile(self) -> None:
        """Compile what is computed."""
        self._standardise = torch.compile(standardise)

    def __call__(
        self, pixels: torch.Tensor, dtype: torch.dtype, statistics: Statistics = IMAGENET
    ) -> torch.Tensor:
        """Normalise.

        Args:
            pixels: uint8 (..., channels, height, width), 3 channels or 1 that stands for 3 equal ones.
            dtype: of the result, (..., 3, height, width).
            statistics: mean and deviation of each channel.
        """
        return self._standardise(pixels, *_on(pixels.device, statistics), dtype)


def normalise(pixels: torch.Tensor, dtype: torch.dtype, statistics: Statistics = IMAGENET) -> torch.Tensor:
    """What a `Normalisation` that is not compiled gives."""
    return Normalisation()(pixels, dtype, statistics)


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
def _on(device: torch.device, statistics: Statistics) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each channel, float32 (3, 1, 1); kept, since bringing them to a GPU makes it wait."""
    mean, deviation = (
        torch.tensor(values, dtype=torch.float32, device=device)[:, None, None] for values in statistics
    )
    return mean, deviation


def channels_first(image: Image.Image) -> torch.Tensor:
    """uint8 (channels, height, width)"""
    pixels = np.array(image)
    return torch.from_numpy(
        pixels[None] if image.mode == "L" else np.ascontiguousarray(pixels.transpose(2, 0, 1))
    )
