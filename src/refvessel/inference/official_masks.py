"""Masks as the official code makes them of logits, on whatever device these are."""

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
