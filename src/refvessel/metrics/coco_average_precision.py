"""COCO's average precision and recall of masks, by its own evaluator."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

# The twelve numbers of COCO's summary, in its order.
NAMES = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
)
MOST_PREDICTIONS = 100  # of an image that are looked at


def coco_average_precision(
    truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], category: int
) -> dict[str, float | None]:
    """AP and AR by NAMES, each None where no truth is of its kind.

    Predictions of equal confidence come in the order of their images' ids, then as they are listed.

    Args:
        truth: as COCO's `instances.json`: `images`, `annotations`, `categories`.
        results: one or more, each with `image_id`, `category_id`, `segmentation` (RLE) and `score`.
        category: the id of the one that is looked at.
    """
    with redirect_stdout(io.StringIO()):  # it says what it does
        known = COCO()
        known.dataset = {"info": {}, **truth}
        known.createIndex()
        evaluator = COCOeval(known, known.loadRes([dict(result) for result in results]), "segm")
        evaluator.params.catIds = [category]
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return {
        name: float(value) if value >= 0 else None for name, value in zip(NAMES, evaluator.stats, strict=True)
    }
