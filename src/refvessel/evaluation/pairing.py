"""Pairing each expression of the truth with its prediction, or refusing to."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from refvessel import rle
from refvessel.answer_status import Status
from refvessel.dataset.tree.expressions import Expression
from refvessel.errors import UserError
from refvessel.metrics.cases import EXPRESSION

PREDICTED = (*EXPRESSION, "status", "error", "num_seg", "mask")  # what is looked at of a prediction
# What the truth and the predictions both say of an expression that `sent_id` names.
_STATED_TWICE = [name for name in EXPRESSION if name != "sent_id"]


def truth_table(expressions: Sequence[Expression]) -> pd.DataFrame:
    """The truths of expressions as `pair_expressions` takes them, one row each."""
    return pd.DataFrame(
        {
            "image_id": [each.image_id for each in expressions],
            "ref_id": [each.ref_id for each in expressions],
            "sent_id": [each.sent_id for each in expressions],
            "phrase": [each.phrase for each in expressions],
            "patient": [each.patient for each in expressions],
            "height": [each.height for each in expressions],
            "width": [each.width for each in expressions],
            "mask": [each.truth for each in expressions],
            "ignore_mask": [each.ignore_mask for each in expressions],
            "spacing": [each.spacing for each in expressions],
        }
    )


def pair_expressions(predictions: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """The truth's rows, by sent_id, each with its prediction's status, error, num_seg and mask (`mask_predicted`).

    Added are `predicted_iou`, the model's own (NaN where it gave none), and what is scored: `scored_truth` and
    `scored_prediction`, the masks without the pixels of `ignore_mask`, and `scored_pixels`, the number of the
    others. An ignored pixel is background in both masks: the edge of what is scored is like the image's edge.

    Raises UserError for a missing, double or unknown expression, for other ids, phrase or image size than the
    truth's, for a mask that is no RLE, and for a failed expression or one without [SEG] that has foreground.
    """
    if truth.empty:
        raise UserError("The truth has no expression; check the split's name and the dataset.")
    require_same_expressions(truth["sent_id"].to_numpy(), predictions["sent_id"].to_numpy())
    paired = truth.sort_values("sent_id").merge(
        predictions[list(PREDICTED)], on="sent_id", validate="one_to_one", suffixes=("", "_predicted")
    )
    confidence = predictions.set_index("sent_id").get("score", pd.Series(dtype=float))
    for row in paired.itertuples():
        _check_pair(row)
    ignored = paired["ignore_mask"]
    return paired.assign(
        predicted_iou=paired["sent_id"].map(confidence).astype(float),
        scored_truth=_without(paired["mask"], ignored),
        scored_prediction=_without(paired["mask_predicted"], ignored),
        scored_pixels=paired["height"] * paired["width"]
        - [0 if mask is None else rle.area(mask) for mask in ignored],
    )


def require_same_expressions(truth: np.ndarray, predictions: np.ndarray) -> None:
    """Raise UserError unless two arrays of sent_ids have the same, once each."""
    for name, sent_ids in (("truth", truth), ("predictions", predictions)):
        numbers, counts = np.unique(sent_ids, return_counts=True)
        _refuse(f"more than once in the {name}", numbers[counts > 1])
    _refuse("without a prediction", np.setdiff1d(truth, predictions))
    _refuse("predicted but unknown to the truth", np.setdiff1d(predictions, truth))


def _without(masks: pd.Series, ignored: pd.Series) -> pd.Series:
    pairs = zip(masks, ignored, strict=True)
    kept = [mask if out is None else rle.encode(rle.decode(mask) & ~rle.decode(out)) for mask, out in pairs]
    return pd.Series(kept, index=masks.index, dtype=object)


def _refuse(fault: str, sent_ids: np.ndarray) -> None:
    if len(sent_ids):
        shown = ", ".join(map(str, sent_ids[:5])) + (", ..." if len(sent_ids) > 5 else "")
        raise UserError(
            f"{len(sent_ids)} expressions are {fault} (sent_id {shown}); "
            "score predictions that were gathered for this dataset and split."
        )


def _check_pair(row: Any) -> None:
    """Raise UserError where a prediction contradicts its truth or itself."""
    name = f"The expression with sent_id {row.sent_id}"
    for key in _STATED_TWICE:
        expected, found = getattr(row, key), getattr(row, f"{key}_predicted")
        if expected != found:
            raise UserError(
                f"{name} has {key} {expected!r} in the truth but {found!r} in the predictions; segment again."
            )
    if row.status not in tuple(Status):
        raise UserError(f"{name} has the status {row.status!r}; it must be one of {', '.join(Status)}.")
    for source, mask in _masks(row):
        if not rle.is_rle(mask):
            raise UserError(
                f"{name} has a mask in the {source} that is not a COCO RLE; make that file again."
            )
        height, width = mask["size"]
        if (height, width) != (row.height, row.width):
            raise UserError(
                f"{name} has a mask of {height}x{width} pixels in the {source} but its image has "
                f"{row.height}x{row.width} (height x width); segment the images of this dataset again."
            )
    if row.status != Status.OK and rle.area(row.mask_predicted) > 0:
        raise UserError(
            f"{name} has the status {row.status} and yet a mask that is not empty; segment it again."
        )


def _masks(row: Any) -> list[tuple[str, Any]]:
    """A row's masks, each with the name of the table it is from."""
    ignored = [] if row.ignore_mask is None else [("truth", row.ignore_mask)]
    return [("truth", row.mask), *ignored, ("predictions", row.mask_predicted)]
