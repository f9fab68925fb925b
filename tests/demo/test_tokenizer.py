import json

import pytest
from demo_checkpoint.tokenizer import (
    BASE_TOKENS,
    SA2VA_TOKENS,
    load_tokenizer,
    train_tokenizer,
    write_tokenizer,
)
from hypothesis import given, settings
from hypothesis import strategies as st

_SENTENCE = "Please segment blood vessel in this image."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    output = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(output, train_tokenizer([_SENTENCE] * 3), BASE_TOKENS + SA2VA_TOKENS)
    return output


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(folder)


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_encoding_but_for_unicode_normalisation(tokenizer, text):
    import unicodedata

    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)


def test_a_known_sentence_takes_few_tokens_and_an_unknown_one_many(tokenizer):
    assert len(tokenizer.encode(_SENTENCE)) < 0.4 * len(_SENTENCE)
    assert len(tokenizer.encode("Öäü?")) == 7


def test_special_tokens_are_one_token_each_with_the_highest_ids_in_their_order(tokenizer):
    ids = [tokenizer.encode(token) for token in BASE_TOKENS + SA2VA_TOKENS]
    first = len(tokenizer) - len(ids)
    assert ids == [[first + index] for index in range(len(ids))]


def test_all_files_agree_on_the_ids(folder, tokenizer):
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    added = json.loads((folder / "added_tokens.json").read_text("utf-8"))
    decoder = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))["added_tokens_decoder"]
    assert vocabulary | added == tokenizer.get_vocab()
    assert {int(index): entry["content"] for index, entry in decoder.items()} == {
        i: t for t, i in added.items()
    }


def test_an_answer_ends_with_the_end_of_sequence_token(tokenizer):
    assert tokenizer.encode("Sure, [SEG].<|im_end|>")[-1] == tokenizer.eos_token_id
