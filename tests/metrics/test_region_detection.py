from itertools import permutations

import numpy as np
import pytest

from refvessel import rle
from refvessel.metrics.region_detection import Regions, matches, region_summary


def box(top: int, left: int, height: int = 6, width: int = 6) -> rle.RLE:
    mask = np.zeros((40, 40), bool)
    mask[top : top + height, left : left + width] = True
    return rle.encode(mask)


def regions(truths, predictions, image="a", patient="P1", phrase="stenosis", confidence=None) -> Regions:
    return Regions(image, phrase, patient, truths, predictions, confidence or [1.0] * len(predictions))


def by_every_assignment(truths: list[np.ndarray], predictions: list[np.ndarray]) -> float:
    """The highest summed IoU of matches above 0.5, trying all."""
    few, many = sorted([truths, predictions], key=len)

    def iou(one, other):
        value = (one & other).sum() / (one | other).sum()
        return value if value > 0.5 else 0

    return max(sum(map(iou, few, chosen)) for chosen in permutations(many, len(few)))


@pytest.mark.parametrize("seed", range(12))
def test_matches_are_those_of_the_highest_summed_iou(seed):
    random = np.random.default_rng(seed)

    def some(number):
        masks = np.zeros((number, 12, 12), bool)
        for mask in masks:
            top, left = random.integers(0, 3, 2)
            mask[top : top + random.integers(4, 9), left : left + random.integers(4, 9)] = True
        return list(masks)

    truths, predictions = some(random.integers(1, 5)), some(random.integers(1, 5))
    found = matches(regions([*map(rle.encode, truths)], [*map(rle.encode, predictions)]))
    assert found["iou"] == pytest.approx(by_every_assignment(truths, predictions), abs=1e-12)


def test_an_iou_of_a_half_is_no_match():
    assert matches(regions([box(0, 0, 6, 6)], [box(0, 0, 6, 3)]))["matched"] == 0
    assert matches(regions([box(0, 0, 6, 6)], [box(0, 0, 6, 4)]))["matched"] == 1


def test_f1_is_the_mean_over_images_and_pq_is_pooled():
    found = [
        regions([box(0, 0), box(20, 20)], [box(0, 0), box(20, 21)], "a", "P1"),  # F1 1, IoU 1 and 30/42
        regions([box(0, 0)], [box(0, 0), box(30, 30)], "b", "P1"),  # F1 2/3
        regions([], [box(10, 10)], "c", "P3"),  # F1 0
        regions([], [], "d", "P4"),  # nothing to find, nothing found: 1
    ]
    summary = region_summary(found, draws=100)
    assert summary["f1"] == pytest.approx(((1 + 2 / 3) / 2 + 0 + 1) / 3)
    assert summary["pq"] == pytest.approx((1 + 30 / 42 + 1) / (3 + 2 / 2 + 0))
    numbers = ("n_images", "n_truths", "n_predictions", "n_matched")
    assert [summary[name] for name in numbers] == [4, 3, 5, 3]
    assert summary["f1_low"] <= summary["f1"] <= summary["f1_high"]
    assert summary["pq_low"] <= summary["pq"] <= summary["pq_high"]


def test_average_precision_falls_with_false_regions_above_the_true_ones():
    right, wrong = [box(0, 0), box(20, 20)], box(30, 0)
    sure = regions(right, [*right, wrong], confidence=[0.9, 0.8, 0.1])
    unsure = regions(right, [*right, wrong], confidence=[0.9, 0.1, 0.8])
    assert region_summary([sure], 100)["AP50"] == pytest.approx(1)
    # Precision 1 up to a recall of 1/2, which is 51 of COCO's 101 recalls, and 2/3 beyond.
    assert region_summary([unsure], 100)["AP50"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_average_precision_is_the_mean_over_phrases_and_none_without_any_truth():
    both = [
        regions([box(0, 0)], [box(0, 0)], phrase="stenosis"),
        regions([box(0, 0)], [], phrase="plaque"),
        regions([], [box(5, 5)], phrase="stent"),
    ]
    assert region_summary(both, 100)["AP"] == pytest.approx(0.5)
    assert region_summary(both[2:], 100)["AP"] is None
