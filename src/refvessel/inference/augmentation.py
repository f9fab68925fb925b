"""Test-time augmentation: the mean of what the model sees in an image and in its flips.

It costs four times one look, and suits only phrases that a flip leaves true: none that names a side.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image

from refvessel.inference.official_masks import official_masks
from refvessel.inference.segmenter import Segmentation
from refvessel.rle import encode

# Each way to flip an image, and the axes of (masks, height, width) along which that reverses its masks.
_FLIPS = {
    Image.Transpose.FLIP_LEFT_RIGHT: (2,),
    Image.Transpose.FLIP_TOP_BOTTOM: (1,),
    Image.Transpose.ROTATE_180: (1, 2),
}


def segment_flipped(
    segment: Callable[[Sequence[Image.Image]], list[list[Segmentation]]], images: Sequence[Image.Image]
) -> list[list[Segmentation]]:
    """Segment images and their flips, and average the logits.

    The answer is the one to the image itself. Views whose answer has another number of [SEG] take no part, as
    nothing says which of their masks is which. In each view the candidate is chosen anew: a lead is the smallest
    over the views.

    Args:
        segment: answers every prompt of every image.
        images: RGB.
    """
    answers = segment(images)
    views = [(axes, segment([image.transpose(flip) for image in images])) for flip, axes in _FLIPS.items()]
    return [
        [
            _average(answer, [(axes, view[i][j]) for axes, view in views], image.height, image.width)
            for j, answer in enumerate(mine)
        ]
        for i, (image, mine) in enumerate(zip(images, answers, strict=True))
    ]


def _average(
    answer: Segmentation, flipped: Sequence[tuple[tuple[int, ...], Segmentation]], height: int, width: int
) -> Segmentation:
    alike = [(axes, view) for axes, view in flipped if len(view.rles) == len(answer.rles)]
    if not answer.rles:
        return answer
    upright = np.stack([answer.logits, *(np.flip(view.logits, axes) for axes, view in alike)])
    logits = upright.mean(axis=0, dtype=np.float32)
    scores = np.array([answer.scores, *(view.scores for _, view in alike)]).mean(axis=0)
    leads = np.array([answer.leads, *(view.leads for _, view in alike)]).min(axis=0)
    masks = official_masks(torch.from_numpy(logits), height=height, width=width)
    return Segmentation(
        answer=answer.answer,
        rles=[encode(mask) for mask in masks.numpy()],
        scores=scores.tolist(),
        logits=logits.astype(np.float16),
        drafted=answer.drafted,
        leads=leads.tolist(),
    )
