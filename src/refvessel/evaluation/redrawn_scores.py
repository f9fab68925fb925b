"""What redrawn truths score, and what predictions score against them."""

from collections.abc import Mapping

import pandas as pd

from refvessel.answer_status import Status
from refvessel.evaluation.judging import Measure, judge_outlines, judge_pairs
from refvessel.evaluation.pairing import pair_expressions
from refvessel.metrics.cases import EXPRESSION
from refvessel.metrics.label_ceiling import basis_of
from refvessel.metrics.policy import EmptyPolicy
from refvessel.rle import RLE

TRUTHS_RASTERISER = "coco"


def cases_by_rasteriser(
    cases: pd.DataFrame,
    predictions: pd.DataFrame,
    truth: pd.DataFrame,
    redrawn: Mapping[str, Mapping[int, RLE]],
    policy: EmptyPolicy,
    measure: Measure,
) -> dict[str, pd.DataFrame]:
    """The cases of the expressions that were drawn again: against the truth itself, then by each rasteriser.

    The latter have the scores of `judge_outlines` alone.
    """
    tables: dict[str, pd.DataFrame] = {}
    for name, by_sent_id in redrawn.items():
        drawn = truth[truth["sent_id"].isin(by_sent_id)]
        answers = predictions[predictions["sent_id"].isin(by_sent_id)]
        tables.setdefault(TRUTHS_RASTERISER, cases[cases["sent_id"].isin(by_sent_id)])
        redrawn_truth = drawn.assign(mask=drawn["sent_id"].map(by_sent_id))
        tables[name] = judge_outlines(pair_expressions(answers, redrawn_truth), policy, measure)
    return tables


def cases_of_drawings(
    truth: pd.DataFrame,
    drawn_again: Mapping[str, Mapping[int, RLE]],
    policy: EmptyPolicy,
    measure: Measure,
) -> dict[str, pd.DataFrame]:
    """The cases of truths drawn again, as if they were predictions, by the way of drawing.

    Those that the ceiling rests on have every score, the others those of `judge_outlines`.
    """
    tables = {}
    for name, by_sent_id in drawn_again.items():
        drawn = truth[truth["sent_id"].isin(by_sent_id)]
        masks = drawn["sent_id"].map(by_sent_id)
        answers = drawn[list(EXPRESSION)].assign(status=Status.OK, error=None, num_seg=1, mask=masks)
        paired = pair_expressions(answers, drawn)
        whole = name in basis_of(drawn_again)
        tables[name] = (
            judge_pairs(paired, policy, measure).cases if whole else judge_outlines(paired, policy, measure)
        )
    return tables
