"""What is a region where each expression asks for one: equal masks are one, ignored pixels are of none."""

import json

import numpy as np
import pandas as pd
from stages import score

from refvessel import rle
from refvessel.evaluation.found_regions import found_regions
from refvessel.evaluation.pairing import pair_expressions


def box(*corners: tuple[int, int]) -> np.ndarray:
    mask = np.zeros((20, 20), bool)
    for row, column in corners:
        mask[row : row + 5, column : column + 5] = True
    return mask


FIRST, SECOND, ELSEWHERE = box((1, 1)), box((1, 10)), box((12, 12))


def asked(tables, **rest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two stenoses of one image; one question, so that both expressions get the same two masks."""
    cases = [
        {"truth": truth, "prediction": FIRST | ELSEWHERE, "image_id": "a", "phrase": "stenosis", **rest}
        for truth in (FIRST, SECOND)
    ]
    predictions, truth = tables(cases)
    masks = [rle.encode(FIRST), rle.encode(ELSEWHERE)]
    return predictions.assign(masks=[masks, masks], num_seg=2, score=[0.9, 0.9]), truth


def test_one_answer_to_all_expressions_of_an_image_is_its_regions_once(tables):
    predictions, truth = asked(tables)
    (found,) = found_regions(predictions, pair_expressions(predictions, truth))
    assert [*map(rle.area, found.truths), *map(rle.area, found.predictions)] == [25, 25, 25, 25]
    assert found.confidence == [0.9, 0.9]


def test_ignored_pixels_are_of_no_region(tables):
    predictions, truth = asked(tables, ignore=ELSEWHERE)
    (found,) = found_regions(predictions, pair_expressions(predictions, truth))
    assert len(found.predictions) == 1


def test_the_summary_says_how_many_are_found_where_regions_are_asked_for(tables, tmp_path):
    predictions, truth = asked(tables)
    options = {"predictions": predictions, "truth": truth, "bootstrap_draws": 100}
    summary = score(**options, output=tmp_path / "regions", of_regions=True)
    regions = summary["regions"]
    assert [regions[name] for name in ("n_truths", "n_predictions", "n_matched")] == [2, 2, 1]
    assert regions["f1"] == regions["pq"] == 0.5
    assert 0 < regions["AP50"] < 1
    assert summary == json.loads((tmp_path / "regions/summary.json").read_text("utf-8"))
    assert "regions" not in score(**options, output=tmp_path / "phrases")
