"""Whether masks depend on the words, counted by hand on masks of a few pixels."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from expressions import expression

from refvessel.errors import UserError
from refvessel.evaluation.pairing import pair_expressions, truth_table
from refvessel.evaluation.word_check import WordCheck
from refvessel.predictions.prediction import Prediction, Status
from refvessel.predictions.word_cases import word_cases
from refvessel.rle import encode
from refvessel.settings.scores_section import Scores
from refvessel.settings.words_section import Words

SIDE = 8
DRAWS = Scores(bootstrap_draws=100)
WORDS = Words.model_validate(
    {"absent": ["bone"], "paraphrases": {"vessel": ["tube"]}, "translations": {"vessel": ["Rohr"]}}
)


def rows(first, last):
    """A mask of these rows."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[first:last] = 1
    return mask


def iou(one, two):
    return (one & two).sum() / (one | two).sum()


def dice(one, two):
    return 2 * (one & two).sum() / (one.sum() + two.sum())


VESSEL, WIRE = rows(0, 4), rows(5, 8)  # the truths


@pytest.fixture
def split():
    """Three images of two patients, each with a vessel and a wire."""
    return [
        expression(
            sent_id=image * 10 + number,
            ref_id=image * 10 + number,
            image_id=f"i{image}",
            phrase=phrase,
            patient=f"p{min(image, 1)}",
            height=SIDE,
            width=SIDE,
            truth=encode(truth),
        )
        for image in range(3)
        for number, (phrase, truth) in enumerate((("vessel", VESSEL), ("wire", WIRE)))
    ]


def predicted(expressions, answer):
    """A prediction for each: `answer` gives the mask for an image_id and a phrase."""
    return [
        Prediction(
            image_id=each.image_id,
            ref_id=each.ref_id,
            sent_id=each.sent_id,
            phrase=each.phrase,
            prompt=each.phrase,
            answer="[SEG]",
            num_seg=1,
            status=Status.OK,
            error=None,
            mask=encode(answer(each.image_id, each.phrase)),
            masks=[],
            score=0.5,
            seconds=0.1,
        )
        for each in expressions
    ]


def table(records):
    return pd.DataFrame([vars(each) for each in records])


def check_words(predictions, expressions, settings, *, words=None, answers=()):
    cases = [] if words is None else word_cases(expressions, words)
    check = WordCheck(settings, words=words, cases=cases, answers=answers)
    check.add(pair_expressions(predictions, truth_table(expressions)))
    return check.result()


def test_a_model_that_reads_has_masks_as_different_as_the_truths(split):
    found = check_words(
        table(predicted(split, lambda _, phrase: VESSEL if phrase == "vessel" else WIRE)), split, DRAWS
    )
    swapped = found["swapped"]
    assert [swapped[name]["mean"] for name in ("masks", "truths", "own", "other")] == [0, 0, 1, 0]
    assert (swapped["n_images"], swapped["masks"]["n"], swapped["masks"]["n_patients"]) == (3, 3, 2)
    assert not found["sentinels"]["same_mask_for_other_words"]["raised"]
    assert "absent" not in found


def test_a_model_that_segments_the_same_whatever_is_asked_is_found_out(split):
    wide = rows(0, 5)
    found = check_words(table(predicted(split, lambda *_: wide)), split, DRAWS)
    swapped = found["swapped"]
    assert swapped["masks"]["mean"] == 1
    assert swapped["own"]["mean"] == swapped["other"]["mean"] == pytest.approx((iou(wide, VESSEL) + 0) / 2)
    check = found["sentinels"]["same_mask_for_other_words"]
    assert check["raised"]
    assert check["text"].endswith(
        "an IoU of 1.000 (their truths 0.000; 3 pairs in 3 images): the mask does not depend on the phrase."
    )


def test_the_means_are_over_patients(split):
    """The first patient has one image, the second two: 1 and the mean of 0 and 0."""
    answer = lambda image, phrase: VESSEL if image == "i0" or phrase == "vessel" else WIRE  # noqa: E731
    swapped = check_words(table(predicted(split, answer)), split, DRAWS)["swapped"]
    assert swapped["masks"]["mean"] == pytest.approx(0.5)
    assert swapped["masks"]["low"] <= 0.5 <= swapped["masks"]["high"]


def test_targets_that_are_the_same_or_absent_and_masks_that_are_empty_say_nothing(split):
    empty = np.zeros((SIDE, SIDE), np.uint8)
    same = [replace(each, truth=encode(VESSEL)) for each in split[:2]]
    absent = [split[2], replace(split[3], truth=encode(empty))]
    unanswered = split[4:]
    expressions = [*same, *absent, *unanswered]
    answer = lambda image, phrase: empty if image == "i2" else VESSEL  # noqa: E731
    found = check_words(table(predicted(expressions, answer)), expressions, DRAWS)
    assert (found["swapped"]["masks"]["n"], found["swapped"]["masks"]["mean"]) == (0, None)
    assert not found["sentinels"]["same_mask_for_other_words"]["raised"]


@pytest.fixture
def asked(split, tmp_path):
    """A function that writes the answers to what is asked besides."""

    def write(answer, change=lambda records: records):
        cases = [case.asked for case in word_cases(split, WORDS)]
        shard = tmp_path / "1-of-1.jsonl"
        shard.write_text("".join(each.to_line() for each in change(predicted(cases, answer))))
        return shard

    return write


def test_absent_targets_and_other_words_are_scored_as_defined(split, asked):
    empty, less, more = np.zeros((SIDE, SIDE), np.uint8), rows(0, 3), rows(0, 5)
    own = lambda _, phrase: VESSEL if phrase == "vessel" else WIRE  # noqa: E731

    def besides(image, phrase):
        if phrase == "bone":
            return empty if image == "i0" else WIRE
        return less if phrase == "tube" else more

    found = check_words(table(predicted(split, own)), split, DRAWS, words=WORDS, answers=[asked(besides)])
    assert found["absent"]["n_acc"]["mean"] == pytest.approx((1 + 0) / 2)  # of two patients
    assert (found["absent"]["as_shown"]["mean"], found["absent"]["as_shown"]["n"]) == (1, 2)
    for name, mask, words in (("paraphrases", less, "tube"), ("translations", more, "Rohr")):
        change = dice(mask, VESSEL) - 1
        assert found[name]["dice_change"]["mean"] == pytest.approx(change)
        assert found[name]["masks"]["mean"] == pytest.approx(iou(mask, VESSEL))
        (row,) = found[name]["by_words"]
        assert (row["phrase"], row["words"], row["n"]) == ("vessel", words, 3)
        assert row["dice_change"] == pytest.approx(change)
    json.dumps(found, allow_nan=False)


def test_answers_that_are_missing_or_to_other_words_are_refused(split, asked):
    own = table(predicted(split, lambda *_: VESSEL))
    for change, told in (
        (lambda records: records[1:], "without a prediction"),
        (lambda records: [replace(records[0], phrase="stone"), *records[1:]], "has phrase 'bone'"),
    ):
        shard = asked(lambda *_: VESSEL, change)
        with pytest.raises(UserError, match=told):
            check_words(own, split, DRAWS, words=WORDS, answers=[shard])
