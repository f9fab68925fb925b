"""The pictures of cases, and which cases are pictured as failures."""

import numpy as np
import pandas as pd
from PIL import Image

from refvessel import rle
from refvessel.report.agreement_figures import agreement
from refvessel.report.case_gallery import coloured
from refvessel.report.worst_cases import failures

NONE = float("nan")


def test_failures_are_the_worst_of_each_kind():
    columns = ["sent_id", "status", "truth_pixels", "predicted_pixels", "cldice", "hd95"]
    rows = [
        (1, "ok", 9, 9, 0.5, 4.0),
        (2, "ok", 9, 9, 0.2, 4.0),
        (3, "ok", 9, 9, NONE, 9.0),
        (4, "ok", 0, 5, 0.0, 90.0),
        (5, "ok", 0, 7, 0.0, 90.0),
        (6, "ok", 0, 0, 1.0, 0.0),
        (7, "failed", 9, 0, 0.0, 90.0),
    ]
    found = failures(pd.DataFrame(rows, columns=columns))
    assert {kind: some["sent_id"].tolist() for kind, some in found.items()} == {
        "cldice": [2, 1],
        "hd95": [3, 1, 2],
        "false": [5, 4],
        "unanswered": [7],
    }


def test_a_picture_shows_agreement_what_is_missed_and_what_is_false(tmp_path):
    truth, predicted = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    truth[1, :4], predicted[1, 2:] = True, True
    Image.new("L", (6, 4), 100).save(tmp_path / "a.png")
    case = {"image_id": "a", "height": 4, "width": 6}
    case |= {"truth_mask": rle.encode(truth), "predicted_mask": rle.encode(predicted)}
    shown = np.asarray(coloured(case, {"a": tmp_path / "a.png"}, side=64))
    over = {"missed": (0xF0, 0xE4, 0x42), "agreement": (0x56, 0xB4, 0xE9), "false": (0xD5, 0x5E, 0x00)}
    for column, kind in ((0, "missed"), (3, "agreement"), (5, "false")):
        expected = 0.4 * 100 + 0.6 * np.array(over[kind])
        assert np.abs(shown[1, column] - expected).max() <= 1.5
    assert (shown[[0, 2, 3]] == 100).all()


def test_limits_of_agreement_are_those_of_bland_and_altman():
    cases = pd.DataFrame({"truth_pixels": [10, 20, 30, 45], "predicted_pixels": [12, 17, 31, 45]})
    cases = cases.assign(truth_length=[1.0, 2.0, 3.0, 4.0], predicted_length=[2.0, 3.0, 4.0, 7.0])
    differences = [2, -3, 1, 0]
    found = agreement(cases, "pixels")
    assert found["bias"] == 0
    assert found["limit_high"] == -found["limit_low"] == 1.96 * np.std(differences, ddof=1)
    found = agreement(cases, "length")
    assert found["bias"] == 1.5
    assert found["limit_high"] == 1.5 + 1.96 * np.std([1, 1, 1, 3], ddof=1)
