"""Which shards each model of a job is to write."""

from pathlib import Path

import pytest

from refvessel.inference.sheets import Wanted, wanted_of_models
from refvessel.settings.words_section import Words

ONE, OTHER = Path("one"), Path("other")
SHARDS = [Path("a"), Path("b"), Path("c")]


def test_each_model_has_its_questions_and_behind_them_what_is_asked_besides():
    words = Words()
    wanted = wanted_of_models([ONE, OTHER, ONE], ["?", "??", "???"], SHARDS, [None, None, words], [Path("w")])
    assert wanted == {
        ONE: [Wanted("?", SHARDS[0]), Wanted("???", SHARDS[2]), Wanted("???", Path("w"), words)],
        OTHER: [Wanted("??", SHARDS[1])],
    }


def test_a_shard_without_a_question_is_a_bug():
    with pytest.raises(ValueError, match="longer"):
        wanted_of_models([ONE], ["?"], SHARDS)
    with pytest.raises(ValueError, match="longer"):
        wanted_of_models([ONE], ["?"], SHARDS[:1], [], [Path("w")])
