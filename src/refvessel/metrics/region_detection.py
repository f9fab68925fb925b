"""Whether each region of an image is found as one: F1 of an image, panoptic quality, COCO's average precision.

A predicted and a true region of one image and phrase match where their IoU is above 0.5. Regions of one side may
overlap, so that several matches can be possible: those of the highest summed IoU count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pycocotools import mask as coco
from scipy.optimize import linear_sum_assignment

from refvessel import rle
from refvessel.metrics.bootstrap import bca_interval, ratio
from refvessel.metrics.coco_average_precision import coco_average_precision
from refvessel.metrics.patient_means import patient_mean
from refvessel.metrics.summary import plain
from refvessel.rle import RLE

MATCHED_ABOVE = 0.5  # IoU
_PRECISIONS = ("AP", "AP50", "AP75")


@dataclass(frozen=True)
class Regions:
    """The true and the predicted regions of one phrase in one image; `confidence` is that of the predictions."""

    image_id: str
    phrase: str
    patient: str
    truths: Sequence[RLE]
    predictions: Sequence[RLE]
    confidence: Sequence[float]


def region_summary(found: Sequence[Regions], draws: int) -> dict[str, Any]:
    """How well regions are found, over all images and phrases.

    n_images, n_truths, n_predictions, n_matched
                        what there is
    f1                  the mean over patients of the mean over images of 2TP / (2TP + FP + FN); 1 of an image
                        without any region, true or predicted
    pq                  panoptic quality: summed IoU of the matches over TP + FP/2 + FN/2, of all images together
                        (Kirillov et al., CVPR 2019)
    AP, AP50, AP75      COCO's, as its evaluator has them, the mean over the phrases that have a true region

    `_low` and `_high` after the first two are the ends of the 95% interval over patients.
    """
    rows = pd.DataFrame(
        [
            {"image_id": each.image_id, "patient": each.patient, "phrase": each.phrase, **matches(each)}
            for each in found
        ]
    )
    counts = rows.groupby(["patient", "image_id"])[["matched", "iou", "truths", "predictions"]].sum()
    regions = counts["truths"] + counts["predictions"]
    f1 = (2 * counts["matched"] / regions).where(regions > 0, 1.0).reset_index("patient")
    image_f1 = patient_mean(f1[0], f1["patient"], draws)
    of_patients = counts.groupby("patient").sum()
    halves = (of_patients["truths"] + of_patients["predictions"]).to_numpy(float)[:, None] / 2
    quality = ratio(of_patients["iou"].to_numpy()[:, None], halves)
    low, high = bca_interval(quality, len(halves), draws)
    return {
        "n_images": len(counts),
        "n_truths": int(counts["truths"].sum()),
        "n_predictions": int(counts["predictions"].sum()),
        "n_matched": int(counts["matched"].sum()),
        "f1": image_f1["mean"],
        "f1_low": image_f1["low"],
        "f1_high": image_f1["high"],
        "pq": plain(quality(np.ones((1, len(halves))))[0, 0]),
        "pq_low": plain(low[0]),
        "pq_high": plain(high[0]),
        **_average_precision(found),
    }


def matches(regions: Regions) -> dict[str, float]:
    """Numbers of `truths`, `predictions` and `matched` regions, and the summed `iou` of the matches."""
    truths, predictions = list(regions.truths), list(regions.predictions)
    numbers = {"truths": len(truths), "predictions": len(predictions)}
    if not (truths and predictions):
        return {**numbers, "matched": 0, "iou": 0.0}
    ious = np.asarray(coco.iou(predictions, truths, [0] * len(truths)), dtype=float)
    ious = np.where(ious > MATCHED_ABOVE, ious, 0.0)
    matched = ious[linear_sum_assignment(ious, maximize=True)]
    return {**numbers, "matched": int((matched > 0).sum()), "iou": float(matched.sum())}


def _average_precision(found: Sequence[Regions]) -> dict[str, float | None]:
    """The mean over phrases of COCO's numbers."""
    by_phrase = [
        _of_phrase([each for each in found if each.phrase == phrase])
        for phrase in sorted({each.phrase for each in found if each.truths})
    ]
    return {
        name: float(np.mean([each[name] for each in by_phrase])) if by_phrase else None
        for name in _PRECISIONS
    }


def _of_phrase(found: Sequence[Regions]) -> dict[str, float]:
    images = [
        {"id": number, "height": mask["size"][0], "width": mask["size"][1]}
        for number, each in enumerate(found)
        for mask in [*each.truths, *each.predictions][:1]
    ]
    annotations = [
        {"image_id": number, "category_id": 1, "segmentation": mask, "area": rle.area(mask), "iscrowd": 0}
        for number, each in enumerate(found)
        for mask in each.truths
    ]
    results = [
        {"image_id": number, "category_id": 1, "segmentation": mask, "score": confidence}
        for number, each in enumerate(found)
        for mask, confidence in zip(each.predictions, each.confidence, strict=True)
    ]
    if not results:  # COCO's reader wants one at least
        return dict.fromkeys(_PRECISIONS, 0.0)
    truth = {
        "images": images,
        "annotations": [each | {"id": number} for number, each in enumerate(annotations, start=1)],
        "categories": [{"id": 1, "name": "region"}],
    }
    scores = coco_average_precision(truth, results, 1)
    return {name: scores[name] or 0.0 for name in _PRECISIONS}
