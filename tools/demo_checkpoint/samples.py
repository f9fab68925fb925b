"""Training samples: a synthetic angiogram as the model reads it, and its two masks."""

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from skimage.draw import polygon
from torch.utils.data import Dataset

from refvessel.demo.anatomy import SIZE
from refvessel.demo.angiogram import angiogram
from refvessel.demo.annotations import FRAMES
from refvessel.model.processing import Sa2VAProcessor

LABELS = ("vessel", "catheter")

# Patients are numbers. The demo evaluates the first ten; none below these is trained on or validated with.
FIRST_VALIDATION_PATIENT, FIRST_TRAINING_PATIENT = 1_000, 10_000
VALIDATION_IMAGES = 16


class Sample(NamedTuple):
    """One image, or a batch of them with one more leading axis.

    tiles: uint8 (3, 448, 448), for the language model's vision encoder.
    image: uint8 (3, 1024, 1024), for SAM2.
    masks: bool (2, 512, 512), in the order of `LABELS`.
    """

    tiles: torch.Tensor
    image: torch.Tensor
    masks: torch.Tensor


class Angiograms(Dataset):
    """Angiograms drawn when asked for: sample `i` shows patient `first_patient + i`.

    No two samples share a patient; their frames take turns, so that some have no vessel.
    """

    def __init__(self, processor: Sa2VAProcessor, *, seed: int, first_patient: int, length: int) -> None:
        self._processor, self._seed = processor, seed
        self._first_patient, self._length = first_patient, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        drawn = angiogram(self._seed, self._first_patient + index, index % FRAMES)
        processed = self._processor.process_image(Image.fromarray(drawn.image).convert("RGB"))
        masks = np.stack([union_of_outlines(drawn.polygons[label]) for label in LABELS])
        return Sample(processed.view.tiles[0], processed.whole, torch.from_numpy(masks))


def union_of_outlines(outlines: list[np.ndarray]) -> np.ndarray:
    """Pixels whose centre lies in any outline, bool (512, 512).

    Good enough to train on; the truth that scores are computed from is COCO's, made by the dataset conversion.
    """
    mask = np.zeros((SIZE, SIZE), bool)
    for outline in outlines:
        columns, rows = outline.T - 0.5
        mask[polygon(rows, columns, mask.shape)] = True
    return mask
