"""Masks as the official code makes them of logits, on whatever device these are."""

import torch

from refvessel.mask_logits import LOGITS_SCALE, MODEL_THRESHOLD
from refvessel.model.grounding import upsample_logits


def official_masks(logits: torch.Tensor, *, height: int, width: int) -> torch.Tensor:
    """Masks of one expression at its image's size.

    Args:
        logits: float32 (masks, size/4, size/4).
        height: of the image, in pixels.
        width: of the image, in pixels.

    Returns:
        bool (masks, height, width), where the probability is above MODEL_THRESHOLD.
    """
    if not len(logits):
        return torch.zeros(0, height, width, dtype=torch.bool)
    upsampled = upsample_logits(logits, LOGITS_SCALE * logits.shape[-1], height, width)
    return upsampled.sigmoid() > MODEL_THRESHOLD
