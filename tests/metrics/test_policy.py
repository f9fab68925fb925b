import pytest

from refvessel.errors import UserError
from refvessel.metrics.policy import EMPTY_POLICY, resolve_policy


def test_without_changes_the_policy_is_the_default():
    assert resolve_policy() == EMPTY_POLICY


def test_a_changed_cell_leaves_the_others_and_the_default_alone():
    policy = resolve_policy({"recall": {"truth_empty": 0}})
    assert policy["recall"] == {"both_empty": 1.0, "truth_empty": 0.0, "prediction_empty": 0.0}
    assert policy["dice"] == EMPTY_POLICY["dice"]
    assert EMPTY_POLICY["recall"]["truth_empty"] is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dise": {"both_empty": 1}}, "'dise'"),
        ({"dice": {"all_empty": 1}}, "'all_empty'"),
        ({"dice": {"both_empty": 2}}, "dice.both_empty"),
        ({"dice": {"both_empty": float("nan")}}, "dice.both_empty"),
        ({"dice": {"both_empty": True}}, "dice.both_empty"),
        ({"dice": {"both_empty": "skip"}}, "dice.both_empty"),
    ],
)
def test_a_mistake_in_the_policy_is_named(changes, named):
    with pytest.raises(UserError, match=named):
        resolve_policy(changes)
