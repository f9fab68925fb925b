"""The worst cases of an evaluation."""

import pandas as pd

from refvessel.answer_status import Status

MOST_OF_A_KIND = 4  # cases


def failures(cases: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The cases of each kind that has any, the worst first, at most MOST_OF_A_KIND.

    Of the two scores only answered cases whose truth has a vessel are among the worst; of equal ones the smaller
    sent_id comes first.
    """
    answered = (cases["status"] == Status.OK) & (cases["truth_pixels"] > 0)
    nothing_there = (cases["truth_pixels"] == 0) & (cases["predicted_pixels"] > 0)
    found = {
        "cldice": _worst(cases, answered, "cldice"),
        "hd95": _worst(cases, answered, "hd95", ascending=False),
        "false": _worst(cases, nothing_there, "predicted_pixels", ascending=False),
        "unanswered": _worst(cases, cases["status"] == Status.FAILED, "predicted_pixels"),  # all empty
    }
    return {kind: some for kind, some in found.items() if len(some)}


def _worst(cases: pd.DataFrame, among: pd.Series, score: str, *, ascending: bool = True) -> pd.DataFrame:
    # Of two columns: a million cases of all columns would be copied again and again.
    few = cases[[score, "sent_id"]].reset_index(drop=True)[among.to_numpy()].dropna()
    ranked = few.sort_values([score, "sent_id"], ascending=[ascending, True])
    return cases.iloc[ranked.index[:MOST_OF_A_KIND]]
