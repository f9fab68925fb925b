"""The worst cases of an evaluation."""

import pandas as pd

from refvessel.answer_status import Status

MOST_OF_A_KIND = 4  # cases
_LOOKED_AT = ["sent_id", "status", "truth_pixels", "predicted_pixels", "cldice", "hd95"]


def failures(cases: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The cases of each kind that has any, the worst first, at most MOST_OF_A_KIND.

    Of the two scores only answered cases whose truth has a vessel are among the worst; of equal ones the smaller
    sent_id comes first.
    """
    few = cases[_LOOKED_AT].reset_index(drop=True)  # of a million cases all columns would be copied often
    answered = few[(few["status"] == Status.OK) & (few["truth_pixels"] > 0)]
    empty = few[(few["truth_pixels"] == 0) & (few["predicted_pixels"] > 0)]
    found = {
        "cldice": answered.dropna(subset="cldice").sort_values(["cldice", "sent_id"]),
        "hd95": answered.dropna(subset="hd95").sort_values(["hd95", "sent_id"], ascending=[False, True]),
        "false": empty.sort_values(["predicted_pixels", "sent_id"], ascending=[False, True]),
        "unanswered": few[few["status"] == Status.FAILED].sort_values("sent_id"),
    }
    return {kind: cases.iloc[some.index[:MOST_OF_A_KIND]] for kind, some in found.items() if len(some)}
