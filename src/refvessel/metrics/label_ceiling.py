"""The ceiling of the labels: what a second, equally right drawing of the truths scores against them.

No model can be expected to agree better with a truth than the truth agrees with itself, drawn again.
"""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from refvessel.metrics.border_calibration import FROM_LOGITS
from refvessel.metrics.policy import ERRORS, SCORES, EmptyPolicy
from refvessel.metrics.subgroups import subgroups
from refvessel.metrics.summary import Summary, plain, summarise, summarise_by
from refvessel.sentences import marked

# Ways of drawing a truth again, besides other rasterisers, which have their own names.
JITTERED = marked("corners moved")
WIDER, THINNER = marked("one pixel wider"), marked("one pixel thinner")
ONE_PIXEL_OFF = marked("one pixel off")  # where no truth has corners: wider and thinner in one mean

CEILING_SCORES = tuple(score for score in SCORES if score not in FROM_LOGITS)
SHARES = tuple(score for score in CEILING_SCORES if score not in ERRORS)  # best when greatest


def basis_of(drawn: Collection[str]) -> tuple[str, ...]:
    """The ways of drawing, among those drawn, that the ceiling is the mean of."""
    return (JITTERED,) if JITTERED in drawn else (WIDER, THINNER)


def label_ceiling(drawn: Mapping[str, pd.DataFrame], means: Summary, policy: EmptyPolicy) -> dict[str, Any]:
    """The ceiling of each score, in all and by vessel width, and the share of it that was reached.

    Args:
        drawn: by way of drawing, the table of cases of a sample of truths so drawn, scored as predictions; those
            of `basis_of` have every score.
        means: the summary of the predictions.
        policy: for empty masks.

    Returns:
        basis: JITTERED where truths have corners, else ONE_PIXEL_OFF.
        n_expressions: over how many the ceilings are means.
        scores: of each of CEILING_SCORES its ceiling; of an error, the least that can be expected.
        share: of each of SHARES the mean over the predictions divided by its ceiling.
        by_vessel_width: n_expressions and scores of each group.
        drawings: the same of each way of drawing; None for a score that it was not judged by.

        Empty where nothing was drawn again.
    """
    if not drawn:
        return {}
    basis = JITTERED if JITTERED in drawn else ONE_PIXEL_OFF
    cases = pd.concat([drawn[name] for name in basis_of(drawn)])
    widths = subgroups(cases)["vessel_width"]
    whole = _stated(summarise(cases, policy), cases["sent_id"])
    return {
        "basis": basis,
        **whole,
        "share": {score: _share(means.get(f"{score}_mean"), whole["scores"][score]) for score in SHARES},
        "by_vessel_width": {
            name: _stated(summary, cases["sent_id"][widths == name])
            for name, summary in summarise_by(cases, widths, policy).items()
        },
        "drawings": {
            name: _stated(summarise(table, policy), table["sent_id"]) for name, table in drawn.items()
        },
    }


def _stated(summary: Summary, sent_ids: pd.Series) -> dict[str, Any]:
    scores = {score: summary.get(f"{score}_mean") for score in CEILING_SCORES}
    return {"n_expressions": int(sent_ids.nunique()), "scores": scores}


def _share(mean: float | None, ceiling: float | None) -> float | None:
    return plain(mean / ceiling) if mean is not None and ceiling else None
