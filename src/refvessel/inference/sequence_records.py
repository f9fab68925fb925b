"""What becomes of a frame that an expression asks for, as a prediction record."""

import math

import numpy as np

from refvessel.answer_status import Status
from refvessel.dataset.tree.expressions import Sentence
from refvessel.inference.failures import Failure
from refvessel.inference.prediction_records import failed
from refvessel.inference.sequence_segmenter import SequenceAnswer
from refvessel.predictions.prediction import Prediction
from refvessel.rle import empty

_NO_LOGITS = np.zeros((0, 0, 0), np.float16)


def frame_record(
    sentence: Sentence, place: int, prompt: str, answer: SequenceAnswer | Failure, seconds: float
) -> tuple[Prediction, np.ndarray]:
    """The record of a frame, and no logits: these are stored while the sequence is segmented.

    Args:
        sentence: the frame and the expression.
        place: of the frame in its sequence.
        prompt: that was asked about the sequence.
        answer: to it; of a failure, the mask is empty.
        seconds: the frame's share of the time.
    """
    if isinstance(answer, Failure):
        return failed(sentence, prompt, answer.reason), _NO_LOGITS
    found = answer.masks.get(place)
    masks = [] if found is None else [found.mask]
    return Prediction(
        image_id=sentence.image_id,
        ref_id=sentence.ref_id,
        sent_id=sentence.sent_id,
        phrase=sentence.phrase,
        prompt=prompt,
        answer=answer.answer,
        num_seg=len(masks),
        status=Status.OK if masks else Status.NO_SEG,
        error=None,
        mask=masks[0] if masks else empty(sentence.height, sentence.width),
        masks=masks,
        score=None if found is None else found.score,
        seconds=seconds,
        drafted=answer.drafted,
        lead=None if found is None or found.lead is None or not math.isfinite(found.lead) else found.lead,
    ), _NO_LOGITS
