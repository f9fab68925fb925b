from collections import Counter

import pytest

from refvessel.dataset.problems import Problems
from refvessel.dataset.splits import DEFAULT_RATIOS, require_one_split, require_ratios, split_by_hash
from refvessel.errors import UserError


def test_ratios_are_met_in_expectation():
    counts = Counter(split_by_hash(f"patient {i}", DEFAULT_RATIOS) for i in range(5000))
    for split, ratio in DEFAULT_RATIOS.items():
        assert counts[split] / 5000 == pytest.approx(ratio, abs=0.025)


def test_a_split_never_changes():
    """Frozen values: a change would move patients between training and test from one version to the next."""
    expected = {
        "a": "train",
        "b": "val",
        "c": "train",
        "d": "val",
        "p1": "train",
        "p2": "train",
        "p3": "train",
        "p4": "train",
    }
    assert {patient: split_by_hash(patient, DEFAULT_RATIOS) for patient in expected} == expected


def test_a_single_split_takes_everyone():
    assert {split_by_hash(str(i), {"testA": 1.0}) for i in range(100)} == {"testA"}


@pytest.mark.parametrize(
    ("ratios", "reason"),
    [
        ({"train": 0.5, "test": 0.4}, "add up to 0.9"),
        ({"train": 1.2, "test": -0.2}, "'test' is -0.2"),
        ({"train": float("nan")}, "'train' is nan"),
        ({"training": 1}, "'training' is not train, val"),
        ({}, "add up to 0"),
    ],
)
def test_unusable_ratios_are_refused(ratios, reason):
    with pytest.raises(UserError, match=reason):
        require_ratios(ratios)


def test_a_key_in_two_splits_is_told_once():
    problems = Problems()
    members = [("a", "train", "1.png"), ("b", "test", "2.png"), ("a", "test", "3.png"), ("a", "val", "4.png")]
    require_one_split("are of one patient", members, problems)
    with pytest.raises(UserError, match=r"^3\.png \(test\) and 1\.png \(train\) are of one patient; .*\.$"):
        problems.raise_any()
