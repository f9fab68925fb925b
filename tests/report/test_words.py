"""Whether a model reads the words, and which question was chosen, on the report's page."""

from dataclasses import replace

import pytest
from stages import render_report

from refvessel.errors import UserError
from refvessel.files import read_json, write_json
from refvessel.provenance import file_record


def measured(mean, n=4):
    return {"mean": mean, "low": None, "high": None, "n": n, "n_patients": 2}


@pytest.fixture
def workspace(usual, tmp_path):
    """The usual evaluation with its words.json, as of a model that reads nothing."""
    copied = usual.copied(tmp_path / "copy")
    one = copied.evaluations[0]
    check = {"raised": True, "count": 4, "text": "The mask does not depend on the phrase."}
    other = {"dice_change": measured(-0.25), "masks": measured(0.5)}
    words = {
        "swapped": {
            "n_images": 2,
            "masks": measured(0.987),
            **{name: measured(0.1) for name in ("truths", "own", "other")},
        },
        "absent": {"n_acc": measured(0.125), "as_shown": measured(0.75)},
        "paraphrases": {
            **other,
            "by_words": [{"phrase": "vessel", "words": "the tube", "n": 2, **_plain(other)}],
        },
        "translations": {**other, "by_words": []},
        "sentinels": {"same_mask_for_other_words": check},
        "settings": {"different_targets_below_iou": 0.5},
        "predictions": file_record(one.predictions),
    }
    write_json(one.scores_dir / "words.json", words)
    return copied


def _plain(other):
    return {name: each["mean"] for name, each in other.items()}


@pytest.mark.usefixtures("without_figures")
def test_words_have_a_section_and_a_finding(workspace, tmp_path):
    render_report(**workspace.inputs, output=tmp_path / "report")
    page = (tmp_path / "report/index.html").read_text()
    for text in (
        "Does it read the words?",
        "0.987",
        "0.125",
        "-0.250",
        "the tube",
        "(same_mask_for_other_words)",
    ):
        assert text in page


def test_words_of_other_predictions_are_refused(workspace, tmp_path):
    path = workspace.evaluations[0].scores_dir / "words.json"
    write_json(path, read_json(path) | {"predictions": {"sha256": "0"}})
    with pytest.raises(UserError, match=r"words\.json was made from other predictions"):
        render_report(**workspace.inputs, output=tmp_path / "report")


@pytest.mark.usefixtures("without_figures")
def test_the_chosen_question_is_told_with_what_the_others_scored(workspace, tmp_path):
    one = workspace.evaluations[0]
    choice = {
        "question": "?",
        "name": "demo-short",
        "run": {"split": "val"},
        "candidates": [
            {"name": name, "question": question, "n_expressions": 9, "n_patients": 3}
            | {"dice_patient_mean": mean, "dice_patient_mean_low": 0.25, "dice_patient_mean_high": 0.75}
            for name, question, mean in (("demo-short", "?", 0.625), ("demo-long", "Please?", 0.375))
        ],
    }
    write_json(tmp_path / "question.json", choice)
    chosen = replace(one, choice=tmp_path / "question.json")
    inputs = workspace.inputs | {"evaluations": [chosen]}
    render_report(**inputs, output=tmp_path / "report")
    page = (tmp_path / "report/index.html").read_text()
    for text in ("Which question was chosen", "demo-long", "Please?", "0.625", "0.375", "on the split val"):
        assert text in page
    summary = read_json(one.scores_dir / "summary.json")
    summary["provenance"]["predictions"]["made_from"]["run"]["question"] = "another"
    write_json(one.scores_dir / "summary.json", summary)
    with pytest.raises(UserError, match="names another question than was asked"):
        render_report(**inputs, output=tmp_path / "report")
