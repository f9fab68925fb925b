"""The chosen question has the highest Dice, as the mean over patients, of the split that it is chosen on."""

import numpy as np
import pytest
from expressions import expression
from stages import choose_question

from refvessel.errors import UserError
from refvessel.evaluation import choosing
from refvessel.files import read_json
from refvessel.predictions.chosen_question import read_chosen_question
from refvessel.rle import encode

SIDE = 4
TRUTH = np.tri(SIDE, dtype=np.uint8)


@pytest.fixture
def candidates(tables, tmp_path, monkeypatch):
    """A function that takes the Dice of each expression's answer by question, four expressions of two patients."""

    def make(runs=None, **right):
        tabled, made_from = {}, {}
        for name, each in right.items():
            cases = [{"truth": TRUTH, "prediction": TRUTH * np.uint8(good)} for good in each]
            tabled[name], truth = tables(cases)
            run = {"question": f"{name} {{phrase}} <image>", "split": "val", "model": "m"}
            made_from[name] = {"made_from": {"run": run | (runs or {}).get(name, {}), "dataset": "d"}}
        expressions = [
            expression(
                **{key: row[key] for key in ("image_id", "ref_id", "sent_id", "phrase", "height", "width")},
                patient="p0" if number == 0 else "p1",
                truth=encode(TRUTH),
            )
            for number, row in enumerate(truth.to_dict("records"))
        ]
        monkeypatch.setattr(choosing, "read_expressions", lambda root, split: expressions)
        monkeypatch.setattr(
            choosing, "read_predictions", lambda path: (tabled[path.name], made_from[path.name])
        )
        return {name: tmp_path / name for name in right}

    return make


def choose(candidates, tmp_path):
    return choose_question(
        candidates=candidates, dataset=tmp_path, output=tmp_path / "q.json", bootstrap_draws=100
    )


def test_it_is_the_best_over_patients_not_over_expressions(candidates, tmp_path):
    """The patient with one image weighs as much as the one with three."""
    chosen = choose(candidates(many=[0, 1, 1, 0], one=[1, 0, 0, 1]), tmp_path)
    assert chosen["name"] == "one"
    means = {each["name"]: each["dice_patient_mean"] for each in chosen["candidates"]}
    assert means == pytest.approx({"many": (0 + 2 / 3) / 2, "one": (1 + 1 / 3) / 2})
    assert read_json(tmp_path / "q.json") == chosen
    assert read_chosen_question(tmp_path / "q.json") == "one {phrase} <image>"


def test_of_equal_ones_it_is_the_first(candidates, tmp_path):
    assert choose(candidates(b=[1, 0, 0, 0], a=[1, 0, 0, 0]), tmp_path)["name"] == "b"


def test_candidates_that_differ_in_more_than_the_question_are_refused(candidates, tmp_path):
    with pytest.raises(UserError, match="predictions of a, b differ in more than their question"):
        choose(candidates(runs={"b": {"split": "test"}}, a=[1, 0, 0, 0], b=[1, 0, 0, 0]), tmp_path)
    with pytest.raises(UserError, match="nothing to choose from"):
        choose(candidates(a=[1, 0, 0, 0]), tmp_path)


def test_a_file_that_names_no_question_is_refused(tmp_path):
    (tmp_path / "q.json").write_text("{}")
    with pytest.raises(UserError, match="names no question"):
        read_chosen_question(tmp_path / "q.json")
