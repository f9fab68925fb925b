"""A learning curve shows what the summaries of its checkpoints say, and nothing else."""

import json

import pandas as pd
import pytest

from refvessel.artifacts import CURVE, CURVE_TABLE, PAGE, SUMMARY
from refvessel.files import sha256_of_file
from refvessel.report.learning_curve import write_learning_curve

DICE = {"m-iter_1000": 0.75, "m-iter_200": 0.5, "m-iter_2000": 0.625}


@pytest.fixture
def scored(tmp_path):
    """Checkpoint -> step and folder of scores; the second score is an error, and undefined of one."""
    found = {}
    for name, dice in DICE.items():
        folder = tmp_path / name
        folder.mkdir()
        summary = {"n_expressions": 12, "n_patients": 4, "n_failed": 0}
        for score, value in (("dice", dice), ("hd95", None if dice == 0.625 else 10 * dice)):
            for end, difference in (("", 0), ("_low", -0.125), ("_high", 0.125)):
                summary[f"{score}_patient_mean{end}"] = None if value is None else value + difference
        (folder / SUMMARY).write_text(json.dumps(summary))
        found[name] = (int(name.rpartition("_")[2]), folder)
    return found


def written(scored, folder, *scores):
    return write_learning_curve(
        scored, folder, scores=scores, kind="iter", title="m on <data>, val", language="en"
    )


def test_the_table_has_each_checkpoint_with_its_interval_by_its_step(scored, tmp_path):
    assert written(scored, tmp_path, "dice", "hd95") == "m-iter_1000"
    table = pd.read_csv(tmp_path / CURVE_TABLE)
    assert table["checkpoint"].tolist() == ["m-iter_200", "m-iter_1000", "m-iter_2000"]
    assert table["dice"].tolist() == [0.5, 0.75, 0.625]
    assert (table["dice_high"] - table["dice_low"]).tolist() == [0.25] * 3
    assert table["hd95"].isna().tolist() == [False, False, True]
    assert table["summary_sha256"].tolist() == [
        sha256_of_file(scored[name][1] / SUMMARY) for name in table["checkpoint"]
    ]


def test_the_best_of_an_error_is_the_smallest(scored, tmp_path):
    assert written(scored, tmp_path, "hd95", "dice") == "m-iter_200"


def test_the_page_shows_curve_and_table_and_escapes_names(scored, tmp_path):
    written(scored, tmp_path, "dice", "hd95")
    page = (tmp_path / PAGE).read_text("utf-8")
    assert "m on &lt;data&gt;, val" in page
    assert '<tr class="title"><td>m-iter_1000</td>' in page
    assert "<td>0.750 (0.625 to 0.875)</td>" in page
    assert "<td>undefined</td>" in page
    assert page.count("<svg") == 1
    assert (tmp_path / CURVE).with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        CURVE,
        "learning_curve.pdf",
        CURVE_TABLE,
        PAGE,
    }
