"""What is asked besides: the same cases for every model, each a phrase that the data set does not ask."""

import random

import pytest
from expressions import expression

from refvessel.errors import UserError
from refvessel.predictions.word_cases import word_cases
from refvessel.settings.words_section import Words


@pytest.fixture(scope="module")
def expressions():
    """Five images, about each of which two phrases are asked."""
    phrases = ("blood vessel", "guide wire")
    return [
        expression(sent_id=image * 10 + number, image_id=f"i{image}", phrase=phrase)
        for image in range(5)
        for number, phrase in enumerate(phrases)
    ]


def told(cases):
    return [
        (case.kind, case.asked.image_id, case.asked.sent_id, case.asked.phrase, case.of) for case in cases
    ]


def test_the_cases_do_not_depend_on_the_order_of_the_expressions(expressions):
    shuffled = random.Random(1).sample(expressions, len(expressions))
    assert told(word_cases(expressions, Words())) == told(word_cases(shuffled, Words()))


def test_they_are_numbered_and_about_as_many_images_as_are_asked_for(expressions):
    cases = word_cases(expressions, Words(images=2))
    assert [case.asked.sent_id for case in cases] == list(range(len(cases)))
    assert len({case.asked.image_id for case in cases}) == 2


def test_by_default_absent_things_paraphrases_and_known_translations_are_asked(expressions):
    cases = word_cases(expressions, Words(images=1))
    assert [(case.kind, case.asked.phrase) for case in cases] == [
        ("absent", "bicycle"),
        ("absent", "traffic light"),
        ("paraphrase", "the blood vessel"),
        ("paraphrase", "every blood vessel"),
        ("translation", "Blutgefäß"),
        ("translation", "vaisseau sanguin"),
        ("translation", "vaso sanguíneo"),
        ("paraphrase", "the guide wire"),
        ("paraphrase", "every guide wire"),
    ]
    bases = {each.sent_id: each for each in expressions}
    for case in cases[2:]:
        base = bases[case.of]
        assert (base.image_id, case.asked.truth) == (case.asked.image_id, base.truth)
        assert base.phrase in case.asked.phrase or case.kind == "translation"


def test_what_is_stated_is_asked_and_nothing_else(expressions):
    words = Words.model_validate({"absent": [], "paraphrases": {"guide wire": ["wire"]}, "translations": {}})
    assert {(case.kind, case.asked.phrase) for case in word_cases(expressions, words)} == {
        ("paraphrase", "wire")
    }


def test_a_phrase_of_the_data_set_is_not_absent(expressions):
    with pytest.raises(
        UserError, match=r"words\.absent names 'Guide wire', which is a phrase of the data set"
    ):
        word_cases(expressions, Words(absent=("Guide wire",)))
