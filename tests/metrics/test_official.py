"""What the official evaluator gives for the same predictions, where it differs from ours, against its formulas."""

import numpy as np
import pytest
from stages import score

from refvessel import rle
from refvessel.evaluation.pairing import pair_expressions
from refvessel.metrics.official import OfficialReading, official_scores


def expected(pairs) -> dict[str, float]:
    """Pixel by pixel over (truth, prediction)."""
    intersections = [int((truth & predicted).sum()) for truth, predicted in pairs]
    unions = [int((truth | predicted).sum()) for truth, predicted in pairs]
    shares = [1 if u == 0 else i / (u + 1e-5) for i, u in zip(intersections, unions, strict=True)]
    return {"ciou": sum(intersections) / sum(unions), "giou": np.mean(shares)}


def test_without_a_difference_the_numbers_are_ours(tables, vessel_cases, tmp_path):
    predictions, truth = tables(vessel_cases)
    summary = score(predictions=predictions, truth=truth, output=tmp_path, bootstrap_draws=100)
    official = summary["official"]
    assert official["differences"] == []
    assert official["n_expressions"] == len(vessel_cases)
    assert official["ciou"] == pytest.approx(summary["ciou"], abs=1e-15)
    assert official["giou"] == pytest.approx(summary["giou"], abs=1e-15)


def test_ignored_pixels_count_for_the_official_evaluator(tables, vessel_cases, tmp_path):
    for case in vessel_cases[:2]:
        case["ignore"] = np.zeros(case["truth"].shape, bool)
        case["ignore"][:, :8] = True
    vessel_cases[4]["ignore"] = ~vessel_cases[4]["truth"]  # without foreground, so without a difference
    predictions, truth = tables(vessel_cases)
    summary = score(predictions=predictions, truth=truth, output=tmp_path, bootstrap_draws=100)
    official = summary["official"]
    shown = [case["prediction"] & (case.get("status", "ok") == "ok") for case in vessel_cases]
    pairs = [(case["truth"], predicted) for case, predicted in zip(vessel_cases, shown, strict=True)]
    assert {name: official[name] for name in ("ciou", "giou")} == pytest.approx(expected(pairs), abs=1e-12)
    assert official["ciou"] != pytest.approx(summary["ciou"], abs=1e-3)
    (difference,) = official["differences"]
    assert (difference["cause"], difference["n_expressions"]) == ("ignored_pixels", 2)
    assert difference["text"].startswith("2 of 6 expressions have foreground among the pixels that no score")


def test_other_truths_of_the_official_loader_are_scored(tables, vessel_cases):
    predictions, truth = tables(vessel_cases)
    theirs = ~vessel_cases[0]["truth"]
    reading = OfficialReading("val", len(truth), {1: rle.encode(theirs)})
    official = official_scores(pair_expressions(predictions, truth), reading)
    shown = [case["prediction"] & (case.get("status", "ok") == "ok") for case in vessel_cases]
    truths = [theirs, *(case["truth"] for case in vessel_cases[1:])]
    pairs = list(zip(truths, shown, strict=True))
    assert {name: official[name] for name in ("ciou", "giou")} == pytest.approx(expected(pairs), abs=1e-12)
    assert [(each["cause"], each["n_expressions"]) for each in official["differences"]] == [
        ("overlapping_parts", 1)
    ]


@pytest.mark.parametrize(
    ("split", "n", "named"),
    [("testA", 9, "takes 9 expressions for testA"), ("hospital", None, "no split called hospital")],
)
def test_of_another_split_there_are_no_official_numbers(tables, vessel_cases, split, n, named):
    paired = pair_expressions(*tables(vessel_cases))
    official = official_scores(paired, OfficialReading(split, n))
    assert (official["ciou"], official["giou"], official["n_expressions"]) == (None, None, n)
    (difference,) = official["differences"]
    assert difference["cause"] == "split"
    assert named in difference["text"]


def test_of_nothing_but_empty_masks_the_ciou_is_undefined(tables):
    empty = np.zeros((4, 5), bool)
    predictions, truth = tables([{"truth": empty, "prediction": empty}])
    official = official_scores(pair_expressions(predictions, truth))
    assert (official["ciou"], official["giou"], official["differences"]) == (None, 1, [])
