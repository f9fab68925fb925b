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
from refvessel.predictions.word_cases import WordCase
from refvessel.provenance import file_record, versions
from refvessel.rle import empty
from refvessel.settings.scores_section import Scores
from refvessel.settings.words_section import Words

OTHER_TARGETS = 0.5  # IoU of two truths up to which they count as different targets
_MOST_PAIRS = 20  # of an image
_SHARES = ("masks", "truths", "own", "other")  # see `_compared`


class WordCheck:
    """Whether the masks of a split depend on the words; its expressions are added some at a time.

    All of an image are added at once.
    """

    def __init__(
        self,
        settings: Scores,
        *,
        words: Words | None = None,
        cases: Sequence[WordCase[Expression]] = (),
        answers: Sequence[Path] = (),
    ) -> None:
        """Begin without any expression.

        Args:
            settings: how Dice is formed where a mask is empty, and the draws of patients for the intervals.
            words: what was asked besides; None: nothing.
            cases: what that is of the split.
            answers: all shards of what was asked besides.

        Raises UserError as `pair_expressions` does, of what was asked besides.
        """
        self._settings, self._words, self._cases, self._answers = settings, words, cases, answers
        self._asked = _asked(cases, answers) if cases else None
        self._images = {case.asked.image_id for case in cases}
        self._compared: list[pd.DataFrame] = []
        self._asked_besides: list[pd.DataFrame] = []

    def add(self, paired: pd.DataFrame) -> None:
        """Look at a table of `pair_expressions`."""
        self._compared.append(_compared(paired))
        if self._images:
            self._asked_besides.append(paired[paired["image_id"].isin(self._images)])

    def result(self) -> dict[str, Any]:
        """What `words.json` says, but for the predictions that it was made from."""
        swapped = _swapped(self._compared, self._settings.bootstrap_draws)
        besides: dict[str, Any] = {}
        if self._asked is not None:
            own = pd.concat(self._asked_besides, ignore_index=True)
            besides = _besides(own, self._cases, self._asked, self._settings)
        return {
            "swapped": swapped,
            **besides,
            "sentinels": {"same_mask_for_other_words": same_mask_for_other_words(swapped)},
            "settings": {
                "different_targets_below_iou": OTHER_TARGETS,
                "bootstrap_draws": self._settings.bootstrap_draws,
                "words": self._words and self._words.canonical(),
            },
            "provenance": {
                "versions": versions(),
                "answers": [file_record(path) for path in self._answers],
            },
        }


def _compared(paired: pd.DataFrame) -> pd.DataFrame:
    """What the masks of two targets of one image have in common, with each other and with the truths.

    masks: IoU of the two masks; truths: of the two truths; own: of each mask with its own truth; other: with the
    other's. Beside them stand image_id and patient.
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
    return compared[known].assign(image_id=first["image_id"][known], patient=first["patient"][known])


def _swapped(compared: Sequence[pd.DataFrame], draws: int) -> dict[str, Any]:
    """The means of `_compared` over patients, image by image."""
    rows = pd.concat(compared, ignore_index=True).sort_values("image_id", kind="stable", ignore_index=True)
    return {
        "n_images": int(rows["image_id"].nunique()),
        **{name: patient_mean(rows[name], rows["patient"], draws) for name in _SHARES},
    }


def _pairs_of_image(image: pd.DataFrame) -> list[tuple[Any, Any]]:
    """The rows of each two different phrases, of an image with many not all of them."""
    phrases = image["phrase"]
    pairs = ((one, two) for one, two in combinations(image.index, 2) if phrases[one] != phrases[two])
    return list(islice(pairs, _MOST_PAIRS))


def _asked(cases: Sequence[WordCase[Expression]], answers: Sequence[Path]) -> pd.DataFrame:
    """What was asked besides, paired with its truths."""
    records = [record for path in answers for record in read_shard(path)]
    table = pd.DataFrame({name: [getattr(each, name) for each in records] for name in PREDICTED})
    return pair_expressions(table, truth_table([_with_its_truth(case) for case in cases]))


def _besides(
    paired: pd.DataFrame,
    cases: Sequence[WordCase[Expression]],
    asked: pd.DataFrame,
    settings: Scores,
) -> dict[str, Any]:
    """Of each kind of words what they changed."""
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
