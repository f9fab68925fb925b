"""What becomes of an expression, as a prediction record."""

import math

from refvessel.answer_status import Status
from refvessel.dataset.tree.expressions import Sentence
from refvessel.inference.segmenter import Segmentation
from refvessel.predictions.prediction import Prediction
from refvessel.rle import RLE, empty, union


def answered(expression: Sentence, prompt: str, segmentation: Segmentation) -> Prediction:
    """The record of an answered expression; raises ArithmeticError where its score is not finite."""
    if not all(map(math.isfinite, [*segmentation.scores, *segmentation.leads])):
        raise ArithmeticError("the predicted IoU is not finite")
    masks = segmentation.rles
    return Prediction(
        image_id=expression.image_id,
        ref_id=expression.ref_id,
        sent_id=expression.sent_id,
        phrase=expression.phrase,
        prompt=prompt,
        answer=segmentation.answer,
        num_seg=len(masks),
        status=Status.OK if masks else Status.NO_SEG,
        error=None,
        mask=_union(masks, expression),
        masks=masks,
        score=sum(segmentation.scores) / len(masks) if masks else None,
        seconds=0.0,
        drafted=segmentation.drafted,
        lead=min(segmentation.leads, default=None),
    )


def _union(masks: list[RLE], expression: Sentence) -> RLE:
    if len(masks) == 1:
        return masks[0]
    return union(masks) if masks else empty(expression.height, expression.width)


def failed(expression: Sentence, prompt: str, reason: str) -> Prediction:
    """The record of an expression that failed, with an empty mask."""
    return Prediction(
        image_id=expression.image_id,
        ref_id=expression.ref_id,
        sent_id=expression.sent_id,
        phrase=expression.phrase,
        prompt=prompt,
        answer="",
        num_seg=0,
        status=Status.FAILED,
        error=reason,
        mask=empty(expression.height, expression.width),
        masks=[],
        score=None,
        seconds=0.0,
        drafted=False,
    )
