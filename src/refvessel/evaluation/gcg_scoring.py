"""Grounded captions scored as the official script does, and by plain definitions beside."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refvessel.evaluation.caption_texts import NAMES, TextScores, UnscoredTextsError, score_texts
from refvessel.evaluation.grounded_caption_files import (
    CaptionedImage,
    CaptionTruth,
    read_caption_truth,
    read_predicted_captions,
    strangers,
)
from refvessel.evaluation.text_similarity import TextSimilarity
from refvessel.files import write_json
from refvessel.metrics import coco_average_precision as coco
from refvessel.metrics.grounded_captions import (
    LEAST_IOU,
    Matches,
    mask_ious,
    official_matches,
    official_miou,
    plain_average_precision,
    plain_matches,
    plain_miou,
)
from refvessel.predictions.captions import PredictedCaption
from refvessel.provenance import file_record, versions

_CATEGORY = 1  # of predictions, and of the truths that the official AP looks at
_IOUS = {"AP50": [LEAST_IOU], "AP75": [0.75], "AP": np.linspace(LEAST_IOU, 0.95, 10).tolist()}
DEFINITIONS = {
    "AP50": "The precision at IoU 0.5 of all predictions at once, since all are equally confident, times the "
    "share of COCO's 101 recall levels that the recall reaches; truths of every category; empty against empty is found. "
    "The official one follows the order of the images' ids.",
    "mIoU": "The mean over truths of the IoU with the prediction that the best pairing gives each (0 for none, 1 "
    "for empty against empty), mean over images with truth. The official one averages over the pairs found.",
    "recall": "Pairs of IoU and text similarity of at least 0.5, taken greedily by IoU, per label. The official "
    "one stops at the first best pair that fails.",
    "METEOR": "The mean over images. The official one is computed from statistics summed over images.",
    "CIDEr": "CIDEr of its authors' equations 1 to 3. The official one is CIDEr-D: clipped counts, and a penalty "
    "for another length.",
}


@dataclass(frozen=True)
class _Scored:
    """An image, what was predicted of it, and how both agree."""

    truth: CaptionedImage
    predicted: PredictedCaption
    ious: np.ndarray
    similarities: np.ndarray
    matches: Matches


def score_grounded_captions(
    *, masks: Path, captions: Path, predictions: Path, similarity: TextSimilarity, output: Path
) -> dict[str, Any]:
    """Score grounded captions and write the scores as JSON; return what is written.

    Args:
        masks: COCO file of the truth's masks.
        captions: COCO file of its captions and labels.
        predictions: folder of one JSON per image.
        similarity: how phrases are compared.
        output: JSON file to write.

    Returns:
        AP50, mIoU, recall, METEOR, CIDEr and others as the official script computes them, `plain` by definition,
        `notes` on what it drops, and `per_image`. What cannot be computed is None, with the reason in `notes`.

    Raises:
        UserError: naming all that is wrong with the files.
    """
    truth = read_caption_truth(masks, captions)
    predicted = read_predicted_captions(predictions, truth)
    scored = [_compare(*each, similarity) for each in zip(truth.images, predicted, strict=True)]
    notes = _notes(truth, scored, strangers(predictions, truth))
    texts: TextScores | None = None
    try:
        texts = score_texts([each.captions for each in truth.images], [each.caption for each in predicted])
    except UnscoredTextsError as error:
        notes.append(f"METEOR, CIDEr, BLEU and ROUGE-L are null: {error}.")
    content = {
        **_official(truth, scored, texts, notes),
        "plain": _plain(truth, scored, texts),
        "definitions": DEFINITIONS,
        "text_similarity": similarity.description,
        "notes": notes,
        "per_image": {str(each.truth.image_id): _of_image(i, each, texts) for i, each in enumerate(scored)},
        "made_from": {"masks": file_record(masks), "captions": file_record(captions), "versions": versions()},
    }
    write_json(output, content)
    return content


def _compare(truth: CaptionedImage, predicted: PredictedCaption, similarity: TextSimilarity) -> _Scored:
    ious = mask_ious(truth.masks, predicted.masks)
    similarities = np.zeros((len(truth.labels), len(predicted.phrases)))
    for i, label in enumerate(truth.labels):
        similarities[i] = [similarity.of(label, phrase) for phrase in predicted.phrases]
    return _Scored(truth, predicted, ious, similarities, official_matches(ious, similarities))


def _official(
    truth: CaptionTruth, scored: Sequence[_Scored], texts: TextScores | None, notes: list[str]
) -> dict[str, Any]:
    """What the official script prints, unrounded."""
    results = [
        {"image_id": each.truth.image_id, "category_id": _CATEGORY, "segmentation": mask, "score": 1.0}
        for each in scored
        for mask in each.predicted.masks
    ]
    precision: dict[str, float | None] = dict.fromkeys(coco.NAMES)
    if results:
        precision = coco.coco_average_precision(truth.coco, results, _CATEGORY)
    else:
        notes.append("AP and AR are null: no prediction has a mask, which stops the official script.")
    found, labels = sum(len(each.matches.pairs) for each in scored), _labels(scored)
    return {
        "AP50": precision.pop("AP50"),
        "mIoU": float(np.mean([official_miou(each.ious) for each in scored])),
        "recall": found / labels if labels else 0.0,
        **dict.fromkeys(("METEOR", "CIDEr")),
        **precision,
        **(texts.total if texts else dict.fromkeys(NAMES)),
        "recall_true_positives": found,
        "recall_labels": labels,
    }


def _plain(truth: CaptionTruth, scored: Sequence[_Scored], texts: TextScores | None) -> dict[str, Any]:
    ious = [each.ious for each in scored]
    more = sum(len(image.annotations) for image in truth.uncaptioned)
    with_truth = [value for each in scored if (value := plain_miou(each.ious)) is not None]
    found = sum(len(plain_matches(each.ious, each.similarities).pairs) for each in scored)
    labels = _labels(scored)
    return {
        "AP50": plain_average_precision(ious, _IOUS["AP50"], more),
        "mIoU": float(np.mean(with_truth)) if with_truth else None,
        "recall": found / labels if labels else None,
        "METEOR": float(np.mean(texts.by_image["METEOR"])) if texts else None,
        "CIDEr": texts.plain_cider if texts else None,
        "AP75": plain_average_precision(ious, _IOUS["AP75"], more),
        "AP": plain_average_precision(ious, _IOUS["AP"], more),
        "recall_true_positives": found,
        "recall_labels": labels,
    }


def _labels(scored: Sequence[_Scored]) -> int:
    return sum(len(each.truth.labels) for each in scored)


def _of_image(number: int, each: _Scored, texts: TextScores | None) -> dict[str, Any]:
    return {
        "mIoU": official_miou(each.ious),
        "plain_mIoU": plain_miou(each.ious),
        "matches": [{"truth": truth, "prediction": prediction} for truth, prediction in each.matches.pairs],
        "error": each.matches.error,
        **({name: texts.by_image[name][number] for name in NAMES} if texts else {}),
    }


def _notes(truth: CaptionTruth, scored: Sequence[_Scored], unread: Sequence[str]) -> list[str]:
    """What the official numbers leave out or count in a way of their own."""
    lost = [each for each in scored if each.matches.error]
    nothing = [each for each in scored if np.isnan(each.ious).any()]
    several = [image for image in truth.images if len(image.captions) > 1]
    many = [each for each in scored if len(each.predicted.masks) > coco.MOST_PREDICTIONS]
    others = sum(annotation["category_id"] != _CATEGORY for annotation in truth.coco["annotations"])
    told = (
        (
            lost,
            "The official recall loses all pairs of {}, where a best pair has a mask without a label or a phrase "
            "(IndexError), and keeps their labels.",
        ),
        (
            nothing,
            "An empty mask meets an empty truth on {}: the official mIoU is 0, and the recall takes it first.",
        ),
        (
            several,
            "The official recall takes the labels of the first caption of {}; all captions are references.",
        ),
        (many, f"The official AP looks at {coco.MOST_PREDICTIONS} masks of {{}} only."),
    )
    notes = [text.format(_named(images)) for images, text in told if images]
    if others:
        notes.append(f"The official AP leaves out truths of other categories than {_CATEGORY}: {others}.")
    if truth.uncaptioned:
        notes.append(
            f"The truths of {_named(truth.uncaptioned)} count in AP alone: the captions do not have them."
        )
    if unread:
        notes.append(f"{len(unread)} files of the predictions are of no image of the truth; none was read.")
    return notes


def _named(images: Sequence[CaptionedImage | _Scored], most: int = 5) -> str:
    """How many, and the first of them."""
    ids = [str((each.truth if isinstance(each, _Scored) else each).image_id) for each in images]
    more = ", ..." if len(ids) > most else ""
    return f"{len(ids)} image{'s' * (len(ids) > 1)} ({', '.join(ids[:most])}{more})"
