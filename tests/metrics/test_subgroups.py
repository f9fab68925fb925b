import numpy as np
import pandas as pd
import pytest
from stages import score_cases

from refvessel.metrics.policy import resolve_policy
from refvessel.metrics.subgroups import subgroups
from refvessel.metrics.summary import summarise, summarise_by

POLICY = resolve_policy()


def table(**columns) -> pd.DataFrame:
    usual = {
        "phrase": "blood vessel",
        "patient": "P1",
        "truth_regions": 1,
        "vessel_width": 5.0,
        "truth_pixels": 10,
        "tp": 5,
        "fp": 0,
        "fn": 5,
        "tn": 90,
        "width": 10,
        "height": 10,
    }
    number = len(next(iter(columns.values())))
    return pd.DataFrame({**{name: [value] * number for name, value in usual.items()}, **columns})


@pytest.mark.parametrize(
    ("name", "column", "values", "expected"),
    [
        (
            "truth_regions",
            "truth_regions",
            [0, 1, 2, 3, 9],
            ["no vessel", "1", "2", "3 or more", "3 or more"],
        ),
        (
            "vessel_width",
            "vessel_width",
            [np.nan, 3.99, 4, 6, 12],
            ["no vessel", "under 4 px", "4 px to 6 px", "6 px to 8 px", "12 px or more"],
        ),
        (
            "foreground_share",
            "truth_pixels",
            [0, 0.9, 1, 5, 10],
            ["no vessel", "under 1%", "1% to 2%", "5% to 10%", "10% or more"],
        ),
        ("image_size", "width", [512, 99], ["512x10", "99x10"]),
    ],
)
def test_a_case_falls_into_the_group_of_its_value(name, column, values, expected):
    assert subgroups(table(**{column: values}))[name].tolist() == expected


def test_groups_are_shown_from_small_to_large_and_only_where_they_have_cases():
    cases = table(width=[512, 99, 512])
    assert list(subgroups(cases)["image_size"].cat.categories) == ["99x10", "512x10"]
    widths = subgroups(table(vessel_width=[20.0, 1.0, np.nan]))["vessel_width"]
    assert widths.sort_values().tolist() == ["no vessel", "under 4 px", "12 px or more"]


def test_every_grouping_splits_the_cases_without_losing_one(tables, vessel_cases):
    cases = score_cases(*tables(vessel_cases), POLICY)
    for name, labels in subgroups(cases).items():
        summaries = summarise_by(cases, labels, POLICY, draws=20)
        assert sum(each["n_expressions"] for each in summaries.values()) == len(cases), name
        for label, summary in summaries.items():
            alone = summarise(cases[labels == label], POLICY, draws=20)
            assert summary == {
                key: value if value is None else pytest.approx(value, abs=1e-12)
                for key, value in alone.items()
            }
