from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvessel.dataset.patients.splits import (
    SplitRule,
    require_one_split,
    require_ratios,
    split_by_frames,
    split_by_hash,
)
from refvessel.dataset.patients.stated import Origin
from refvessel.dataset.problems import Problems
from refvessel.errors import UserError
from refvessel.settings.dataset_section import DEFAULT_RATIOS


def test_ratios_are_met_in_expectation():
    splits = split_by_hash([f"patient {i}" for i in range(5000)], DEFAULT_RATIOS, 1)
    counts = Counter(splits.values())
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
    assert split_by_hash(expected, DEFAULT_RATIOS, 1) == expected


def test_another_seed_gives_another_split():
    patients = [str(i) for i in range(50)]
    assert split_by_hash(patients, DEFAULT_RATIOS, 1) != split_by_hash(patients, DEFAULT_RATIOS, 2)


def test_a_single_split_takes_everyone():
    assert set(split_by_hash([str(i) for i in range(100)], {"testA": 1.0}, 1).values()) == {"testA"}


def frames_of(splits, frames) -> Counter:
    counts = Counter()
    for patient, split in splits.items():
        counts[split] += frames[patient]
    return counts


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 50), min_size=3), st.integers(0, 99))
def test_by_frames_the_ratios_are_met_as_closely_as_whole_patients_allow(frames, seed):
    counts = frames_of(split_by_frames(frames, DEFAULT_RATIOS, seed), frames)
    total, largest = sum(frames.values()), max(frames.values())
    for split, ratio in DEFAULT_RATIOS.items():
        assert abs(counts[split] - ratio * total) <= largest


def test_by_frames_a_patient_more_moves_few_others():
    frames = {f"patient {i}": 1 + i % 7 for i in range(300)}
    before = split_by_frames(frames, DEFAULT_RATIOS, 1)
    after = split_by_frames(frames | {"one more": 5}, DEFAULT_RATIOS, 1)
    assert sum(before[patient] != after[patient] for patient in frames) <= 4


def test_a_single_split_wins_over_the_origin_and_the_origin_over_the_ratios():
    origins = [Origin("p1", None, "val"), Origin("p2", None, None)]
    for rule, expected in (
        (SplitRule("testA", None, 1, False), ["testA", "testA"]),
        (SplitRule(None, {"test": 1.0}, 1, False), ["val", "test"]),
    ):
        split_of = rule.splits(origins)
        assert [split_of(origin) for origin in origins] == expected


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


def test_the_order_in_which_splits_are_written_moves_no_patient():
    origins = [Origin(f"p{number}", None, None) for number in range(50)]
    ratios = {"train": 0.5, "val": 0.2, "testB": 0.2, "testA": 0.1}
    turned = dict(reversed(ratios.items()))
    for by_frames in (False, True):
        one, other = (SplitRule(None, each, 1, by_frames).splits(origins) for each in (ratios, turned))
        assert [one(origin) for origin in origins] == [other(origin) for origin in origins]
