import numpy as np
import pytest
from stages import score_cases

from refvessel.metrics.policy import resolve_policy
from refvessel.metrics.sanity_checks import equal_between, sanity_checks

POLICY = resolve_policy()
EMPTY, SOME, FULL = np.zeros((4, 4), bool), np.eye(4, dtype=bool), np.ones((4, 4), bool)


@pytest.fixture
def cases_of(tables):
    return lambda *cases: score_cases(*tables(list(cases)), POLICY)


def raised(cases, max_failures=0) -> dict[str, int]:
    return {name: it["count"] for name, it in sanity_checks(cases, max_failures).items() if it["raised"]}


def test_an_ordinary_run_raises_none(cases_of, vessel_cases):
    usual = [case for case in vessel_cases if case.get("status", "ok") == "ok"]
    assert raised(cases_of(*usual)) == {}


def test_a_prediction_that_is_the_truth_is_found(cases_of):
    cases = cases_of({"truth": SOME, "prediction": SOME}, {"truth": SOME, "prediction": SOME[::-1]})
    assert raised(cases) == {"equal_to_truth": 1}


def test_correctly_empty_answers_are_not_copies_of_the_truth_or_of_each_other(cases_of):
    empty = {"truth": EMPTY, "prediction": EMPTY}
    assert raised(cases_of(empty, empty, {"truth": SOME, "prediction": SOME[::-1]})) == {}


def test_a_prediction_repeated_on_another_image_is_found(cases_of):
    one = {"truth": SOME, "prediction": SOME[::-1]}
    assert raised(cases_of(one, one, {"truth": SOME, "prediction": SOME ^ FULL})) == {
        "equal_across_images": 2
    }
    same_image = {**one, "image_id": "a"}
    assert raised(cases_of(same_image, same_image)) == {}


def test_nothing_but_empty_answers_is_found(cases_of):
    empty = {"truth": SOME, "prediction": EMPTY}
    assert raised(cases_of(empty, empty)) == {"all_empty": 2}
    assert raised(cases_of(empty, {"truth": SOME, "prediction": SOME[::-1]})) == {}


def test_an_answer_that_covers_the_image_is_found(cases_of):
    assert raised(cases_of({"truth": SOME, "prediction": FULL})) == {"full_image": 1}
    ignored = {"truth": EMPTY, "prediction": FULL ^ SOME, "ignore": SOME}
    assert raised(cases_of(ignored)) == {"full_image": 1}


def test_answers_without_seg_and_failures_are_counted(cases_of, vessel_cases):
    cases = cases_of(*vessel_cases)
    assert raised(cases) == {"no_seg": 1, "failures": 1}
    assert raised(cases, max_failures=1) == {"no_seg": 1}
    assert sanity_checks(cases, 0)["no_seg"]["text"] == (
        "1 of 6 answers (16.7%) contained no [SEG]: they count as empty masks and stay in every mean."
    )


def test_predictions_that_two_models_share_are_found(cases_of):
    first = cases_of({"truth": SOME, "prediction": SOME}, {"truth": SOME, "prediction": EMPTY})
    second = cases_of({"truth": SOME, "prediction": SOME}, {"truth": SOME, "prediction": EMPTY})
    other = cases_of({"truth": SOME, "prediction": FULL}, {"truth": SOME, "prediction": EMPTY})
    assert equal_between(first, second)["raised"]
    assert equal_between(first, second)["count"] == 1
    assert not equal_between(first, other)["raised"]
