"""`limit`: some patients of each split, the same ones each time, and said wherever numbers are."""

import json

import pytest

from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.stated_facts import FirstLook, first_look, has_truth
from refvessel.errors import UserError

pytestmark = pytest.mark.usefixtures("converted_here")

PATTERN = r"(?P<patient>[a-z]+)_(?P<frame>\d)$"
PATIENTS = ("ada", "ben", "cleo", "dan", "eva")


@pytest.fixture
def people(source):
    """Five patients with two frames each."""
    for patient in PATIENTS:
        for frame in (1, 2):
            source.labelme(f"{patient}_{frame}.png")


def looked_at(convert, limit, tree):
    convert(patient_pattern=PATTERN, single_split="test", limit=limit, pseudonymise=False)
    return {each.patient for each in read_expressions(tree, "test")}


def test_a_larger_limit_adds_to_a_smaller_one(people, convert, tmp_path):
    tree = tmp_path / "tree"
    two, three, everyone = (looked_at(convert, limit, tree) for limit in (2, 3, None))
    assert (len(two), len(three), len(everyone)) == (2, 3, 5)
    assert two < three < everyone
    assert first_look(tree, "test") is None


def test_it_is_said_where_the_tree_describes_itself(people, convert, tmp_path):
    summary = convert(patient_pattern=PATTERN, single_split="test", limit=2)
    assert summary["first_look"] == {"test": {"patients": 2, "of": 5}}
    assert summary["counts"]["images"] == 4
    assert summary["warnings"][0].startswith("A first look: some patients only (test 2 of 5)")
    assert first_look(tmp_path / "tree", "test") == FirstLook(2, 5)
    assert first_look(tmp_path / "tree", "val") is None


def test_a_limit_that_leaves_nobody_out_is_none(people, convert, tmp_path):
    summary = convert(patient_pattern=PATTERN, single_split="test", limit=5)
    assert summary["first_look"] == {}
    assert not any("first look" in warning for warning in summary["warnings"])
    assert first_look(tmp_path / "tree", "test") is None


def test_images_without_annotations_are_asked_every_phrase_and_have_no_truth(source, convert, tmp_path):
    for name in ("a.png", "sub/b.png"):
        source.image(name)
    summary = convert("images", phrases={"v": "blood vessel", "c": "catheter"}, single_split="test")
    assert summary["truth"] is False
    assert not has_truth(tmp_path / "tree")
    expressions = read_expressions(tmp_path / "tree", "test")
    assert sorted(each.phrase for each in expressions) == [
        "blood vessel",
        "blood vessel",
        "catheter",
        "catheter",
    ]
    assert not any("No annotation has a label" in warning for warning in summary["warnings"])


def test_they_cannot_be_scored(source, convert, tmp_path):
    from stages import score_split

    source.image("a.png")
    convert("images", phrases={"v": "blood vessel"}, single_split="test")
    with pytest.raises(UserError, match="has no truth, so nothing on it can be scored"):
        score_split(
            predictions=tmp_path / "p", dataset=tmp_path / "tree", split="test", output=tmp_path / "scores"
        )


@pytest.mark.parametrize("asked", [{}, {"phrases": {"v": "vessel"}, "target": "region"}])
def test_what_is_asked_of_them_must_be_stated(source, convert, asked):
    source.image("a.png")
    with pytest.raises(UserError, match="in which nothing is annotated; state in phrases"):
        convert("images", single_split="test", **asked)


def test_a_tree_of_others_has_a_truth_and_all_patients(tmp_path):
    assert has_truth(tmp_path)
    assert first_look(tmp_path, "test") is None
    (tmp_path / "dataset.json").write_text(json.dumps({"truth": False}))
    assert not has_truth(tmp_path)
