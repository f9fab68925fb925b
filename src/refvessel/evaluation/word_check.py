"""Whether masks depend on the words: `words.json`.

Two phrases about one image name two targets, and their masks should differ as the targets do. Asked besides were
absent targets, whose masks should be empty, and the data set's own in other words, whose masks should stay.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from refvessel.dataset.tree.expressions import Expression
from refvessel.evaluation.pairing import PREDICTED, pair_expressions, truth_table
from refvessel.metrics.overlap import overlap_ratios, overlap_scores, pixel_counts
from refvessel.metrics.patient_means import patient_mean
from refvessel.metrics.policy import resolve_policy
from refvessel.metrics.sanity_checks import same_mask_for_other_words
from refvessel.metrics.summary import plain
from refvessel.predictions.prediction import read_shard
from refvessel.predictions.word_cases import WordCase, word_cases
from refvessel.provenance import file_record, versions
from refvessel.rle import empty
from refvessel.settings.scores_section import Scores
from refvessel.settings.words_section import Words

OTHER_TARGETS = 0.5  # IoU of two truths up to which they count as different targets
_MOST_PAIRS = 20  # of an image


def check_words(
    predictions: pd.DataFrame,
    expressions: Sequence[Expression],
    settings: Scores,
    *,
    words: Words | None = None,
    answers: Sequence[Path] = (),
) -> dict[str, Any]:
    """What `words.json` says, but for the predictions that it was made from.

    Args:
        predictions: a table as `read_predictions` gives.
        expressions: of the split.
        settings: how Dice is formed where a mask is empty, and the draws of patients for the intervals.
        words: what was asked besides; None: nothing.
        answers: all shards of what was asked besides.

    Raises:
        UserError: as `pair_expressions` does, of predictions and of what was asked besides.
    """
    paired = pair_expressions(predictions, truth_table(expressions))
    swapped = _swapped(paired, settings.bootstrap_draws)
    besides = {} if words is None else _besides(paired, word_cases(expressions, words), answers, settings)
    return {
        "swapped": swapped,
        **besides,
        "sentinels": {"same_mask_for_other_words": same_mask_for_other_words(swapped)},
        "settings": {
            "different_targets_below_iou": OTHER_TARGETS,
            "bootstrap_draws": settings.bootstrap_draws,
            "words": words and words.canonical(),
        },
        "provenance": {"versions": versions(), "answers": [file_record(path) for path in answers]},
    }


def _swapped(paired: pd.DataFrame, draws: int) -> dict[str, Any]:
    """What the masks of two targets of one image have in common, with each other and with the truths.

    masks: IoU of the two masks; truths: of the two truths; own: of each mask with its own truth; other: with the
    other's.
    """
    rows = [pair for _, image in paired.groupby("image_id", sort=True) for pair in _pairs_of_image(image)]
    first, second = (paired.loc[[pair[which] for pair in rows]].reset_index(drop=True) for which in (0, 1))
    compared = pd.DataFrame(
        {
            "masks": _iou(first, "scored_prediction", second, "scored_prediction"),
            "truths": _iou(first, "scored_truth", second, "scored_truth"),
            "own": (_own(first) + _own(second)) / 2,
            "other": (
                _iou(first, "scored_prediction", second, "scored_truth")
                + _iou(second, "scored_prediction", first, "scored_truth")
            )
            / 2,
        }
    )
    # Targets that one phrase names as well as the other, or that are not there, have no masks to differ; and two
    # empty masks say nothing of words.
    known = compared["masks"].notna() & (compared["truths"] <= OTHER_TARGETS) & _shown(first) & _shown(second)
    patients = first["patient"][known]
    return {
        "n_images": int(first["image_id"][known].nunique()),
        **{str(name): patient_mean(compared[name][known], patients, draws) for name in compared},
    }


def _pairs_of_image(image: pd.DataFrame) -> list[tuple[Any, Any]]:
    """The rows of each two different phrases, of an image with many not all of them."""
    phrases = image["phrase"]
    pairs = ((one, two) for one, two in combinations(image.index, 2) if phrases[one] != phrases[two])
    return list(islice(pairs, _MOST_PAIRS))


def _besides(
    paired: pd.DataFrame,
    cases: Sequence[WordCase[Expression]],
    answers: Sequence[Path],
    settings: Scores,
) -> dict[str, Any]:
    """Of each kind of words what they changed."""
    if not cases:
        return {}
    records = [record for path in answers for record in read_shard(path)]
    table = pd.DataFrame({name: [getattr(each, name) for each in records] for name in PREDICTED})
    asked = pair_expressions(table, truth_table([_with_its_truth(case) for case in cases]))
    kinds = pd.Series([case.kind for case in cases])
    of = paired.set_index("sent_id").loc[[case.of for case in cases]].reset_index()
    draws = settings.bootstrap_draws
    found: dict[str, Any] = {"absent": _absent(asked[kinds == "absent"], paired, draws)}
    for name, kind in (("paraphrases", "paraphrase"), ("translations", "translation")):
        found[name] = _in_other_words(asked[kinds == kind], of[kinds == kind], settings)
    return found


def _with_its_truth(case: WordCase[Expression]) -> Expression:
    if case.kind != "absent":
        return case.asked
    nothing = empty(case.asked.height, case.asked.width)
    return replace(case.asked, truth=nothing)


def _absent(asked: pd.DataFrame, paired: pd.DataFrame, draws: int) -> dict[str, Any]:
    """n_acc: share of empty masks; as_shown: IoU of a mask that is not with the most similar one of the image."""
    said = asked["scored_prediction"].reset_index(drop=True)
    nothing = pixel_counts(said.tolist(), said.tolist(), [0] * len(said))["tp"] == 0
    own = {str(image): mine["scored_prediction"].tolist() for image, mine in paired.groupby("image_id")}
    shown = [
        _counts_iou([mask] * len(own[image]), own[image]).max()
        for mask, image in zip(said, asked["image_id"], strict=True)
    ]
    patients = asked["patient"].reset_index(drop=True)
    return {
        "n_acc": patient_mean(nothing.astype(float), patients, draws),
        "as_shown": patient_mean(pd.Series(shown, dtype=float).where(~nothing), patients, draws),
        "n_failed": _failed(asked),
    }


def _in_other_words(asked: pd.DataFrame, of: pd.DataFrame, settings: Scores) -> dict[str, Any]:
    """dice_change: by how much Dice is higher in other words; masks: IoU with the mask of the data set's words.

    Two empty masks are the same answer.
    """
    asked, of = asked.reset_index(drop=True), of.reset_index(drop=True)
    change = _dice(asked, settings) - _dice(of, settings)
    masks = _iou(asked, "scored_prediction", of, "scored_prediction").fillna(1.0)
    draws, patients = settings.bootstrap_draws, asked["patient"]
    compared = pd.DataFrame(
        {"phrase": of["phrase"], "words": asked["phrase"], "dice_change": change, "masks": masks}
    )
    by_words = compared.groupby(["phrase", "words"], as_index=False).agg(
        n=("masks", "size"), dice_change=("dice_change", "mean"), masks=("masks", "mean")
    )
    return {
        "dice_change": patient_mean(change, patients, draws),
        "masks": patient_mean(masks, patients, draws),
        "n_failed": _failed(asked),
        "by_words": [
            {str(name): plain(value) for name, value in row.items()} for row in by_words.to_dict("records")
        ],
    }


def _failed(asked: pd.DataFrame) -> int:
    return int(asked["error"].notna().sum())


def _shown(rows: pd.DataFrame) -> pd.Series:
    """Whether there is something to segment."""
    truths = rows["scored_truth"].tolist()
    return pixel_counts(truths, truths, [0] * len(rows))["tp"] > 0


def _own(rows: pd.DataFrame) -> pd.Series:
    return _iou(rows, "scored_prediction", rows, "scored_truth")


def _iou(first: pd.DataFrame, one: str, second: pd.DataFrame, two: str) -> pd.Series:
    return _counts_iou(first[one].tolist(), second[two].tolist())


def _counts_iou(one: list[Any], two: list[Any]) -> pd.Series:
    """IoU of each two masks; NaN where both are empty."""
    above, below = overlap_ratios(pixel_counts(one, two, [0] * len(one)))
    union = below["iou"]
    return pd.Series(np.divide(above["iou"], union, out=np.full_like(union, np.nan), where=union > 0))


def _dice(rows: pd.DataFrame, settings: Scores) -> pd.Series:
    predicted, true = rows["scored_prediction"].tolist(), rows["scored_truth"].tolist()
    counts = pixel_counts(predicted, true, rows["scored_pixels"].tolist())
    return overlap_scores(counts, resolve_policy(settings.empty_cases))["dice"]
