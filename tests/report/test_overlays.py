import numpy as np
import pandas as pd
import pytest

from refvessel.report.overlays import typical_cases


def cases(*dice: float, truth_pixels: int | list[int] = 5) -> pd.DataFrame:
    return pd.DataFrame({"sent_id": range(1, len(dice) + 1), "dice": dice, "truth_pixels": truth_pixels})


@pytest.mark.parametrize(
    ("dice", "expected"),
    [
        ([0.2, 0.9, 0.5], {"best": 2, "median": 3, "worst": 1}),
        ([0.1, 0.2, 0.3, 0.4, 0.5], {"best": 5, "median": 3, "worst": 1}),
        ([0.7, 0.7, 0.7], {"best": 1, "median": 2, "worst": 3}),
        ([0.3, 0.8], {"best": 2, "worst": 1}),
        ([0.4], {"best": 1}),
        ([], {}),
        ([np.nan, 0.4], {"best": 2}),
    ],
)
def test_best_median_and_worst_are_shown_once_each(dice, expected):
    shown = typical_cases(cases(*dice))
    assert dict(zip(shown["rank"], shown["sent_id"], strict=True)) == expected


def test_a_case_without_a_vessel_is_shown_only_among_its_like():
    mixed = typical_cases(cases(1.0, 0.6, 0.5, 0.4, truth_pixels=[0, 5, 5, 5]))
    assert mixed["sent_id"].tolist() == [2, 3, 4]
    alone = typical_cases(cases(1.0, 0.0, truth_pixels=0))
    assert alone["sent_id"].tolist() == [1, 2]
