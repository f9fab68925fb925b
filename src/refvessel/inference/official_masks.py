"""Masks as the official code makes them of logits, on whatever device these are."""

import numpy as np
import torch

from refvessel.model.modeling import upsample_logits

_SCALE = 4  # from the logits to SAM2's input, in each direction


def official_masks(logits: torch.Tensor, *, height: int, width: int) -> torch.Tensor:
    """Masks of one expression at its image's size.

    Args:
        logits: float32 (masks, size/4, size/4).
        height: of the image, in pixels.
        width: of the image, in pixels.

    Returns:
        bool (masks, height, width), where the probability is above one half.
    """
    if not len(logits):
        return torch.zeros(0, height, width, dtype=torch.bool)
    return upsample_logits(logits, _SCALE * logits.shape[-1], height, width).sigmoid() > 0.5


def masks_of_logits(logits: np.ndarray, *, height: int, width: int, threshold: float) -> np.ndarray:
    """Masks of one expression at its image's size.

    Args:
        logits: (masks, size/4, size/4).
        height: of the image, in pixels.
        width: of the image, in pixels.
        threshold: the probability above which a pixel is foreground, from 0 to 1, both excluded.

    Returns:
        bool (masks, height, width)
    """
    return image_logits(logits, height=height, width=width) > logit(threshold)


def image_logits(logits: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Logits of one expression at its image's size: (masks, size/4, size/4) to float32 (masks, height, width)."""
    at_decoder = torch.from_numpy(np.asarray(logits, np.float32))
    return upsample_logits(at_decoder, 4 * logits.shape[-1], height, width).numpy()


def logit(probability: np.ndarray | float) -> np.ndarray:
    """The logits of probabilities, float32 as the logits that they are compared with."""
    return (np.log(probability) - np.log1p(-np.asarray(probability))).astype(np.float32)
