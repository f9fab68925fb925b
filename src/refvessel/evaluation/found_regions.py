"""The true and the predicted regions of each image and phrase, where an expression asks for a region."""

from collections.abc import Iterable

import pandas as pd

from refvessel import rle
from refvessel.metrics.region_detection import Regions
from refvessel.rle import RLE


def found_regions(predictions: pd.DataFrame, paired: pd.DataFrame) -> list[Regions]:
    """By image and phrase, the truths of its expressions, and one predicted region per [SEG] of their answers.

    The expressions of one image and phrase ask the same question, so that a model may give one answer to all:
    equal masks are one region. Masks without a pixel that is scored are none. A predicted region's confidence is
    its expression's predicted IoU, and 1 where the model gave none.

    Args:
        predictions: a table as `read_predictions` gives.
        paired: of the same expressions, from `pair_expressions`.
    """
    masks = predictions.set_index("sent_id")["masks"]
    regions = []
    for (image_id, phrase), rows in paired.groupby(["image_id", "phrase"], sort=True):
        answered = [
            (mask, row["predicted_iou"])
            for row in rows.fillna({"predicted_iou": 1.0}).to_dict("records")
            for mask in _scored(masks[row["sent_id"]], row["ignore_mask"])
        ]
        confidence: dict[str, float] = {}
        for mask, own in answered:
            confidence[mask["counts"]] = max(own, confidence.get(mask["counts"], own))
        regions.append(
            Regions(
                image_id=str(image_id),
                phrase=str(phrase),
                patient=rows["patient"].iloc[0],
                truths=_distinct(rows["scored_truth"]),
                predictions=_distinct(mask for mask, _ in answered),
                confidence=[*confidence.values()],
            )
        )
    return regions


def _scored(masks: Iterable[RLE], ignored: RLE | None) -> list[RLE]:
    """The masks without ignored pixels, those that have another."""
    kept = (
        masks if ignored is None else [rle.encode(rle.decode(each) & ~rle.decode(ignored)) for each in masks]
    )
    return _distinct(kept)


def _distinct(masks: Iterable[RLE]) -> list[RLE]:
    """Each mask with foreground once, in the order of their first."""
    return list({mask["counts"]: mask for mask in masks if rle.area(mask)}.values())
