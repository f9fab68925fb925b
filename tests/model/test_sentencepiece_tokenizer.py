"""Ids of fast tokenizers beside those of sentencepiece itself, between the added tokens."""

import random
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2
from sentencepiece_models import WORDS, slow_ids, train_sentencepiece, write_sentencepiece
from transformers import PreTrainedTokenizerFast

from refvessel.errors import UserError
from refvessel.model.isolation import tokenizer_alone
from refvessel.model.processing import Sa2VAProcessor
from refvessel.model.sentencepiece_charsmap import is_sound
from refvessel.model.sentencepiece_tokenizer import fast_tokenizer

AS_THEY_ARE = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
BYTES = {"model_type": "bpe", "vocab_size": 400, "byte_fallback": True}
SYMBOLS = ["[UNUSED_TOKEN_1]", "ima", "--"]
KINDS = {
    "InternLM2": BYTES | AS_THEY_ARE | {"add_dummy_prefix": False},
    "Llama": BYTES | AS_THEY_ARE,
    "with symbols": BYTES | AS_THEY_ARE | {"add_dummy_prefix": False, "user_defined_symbols": SYMBOLS},
    "with symbols and prefix": BYTES | AS_THEY_ARE | {"user_defined_symbols": SYMBOLS},
    "trimmed": BYTES | {"normalization_rule_name": "identity"},
    "sentencepiece's defaults, bpe": {"model_type": "bpe", "vocab_size": 130},
    "sentencepiece's defaults": {"vocab_size": 52},
}
ADDED = ["<|im_start|>", "<|im_end|>", "<img>", "[SEG]", "<p>", "</p>", "<vp>", "</vp>"]
PIECES = [*"abegimnst<>_ .\n\t", "  ", "管", "é", "e\u0301", "😀", "ﬁ", "<unk>", "</s>", "<0x41>", "\u2581"]


def load(folder: Path) -> PreTrainedTokenizerFast:
    with tokenizer_alone(folder) as place:
        return PreTrainedTokenizerFast.from_pretrained(place, local_files_only=True)


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    """Reference and fast tokenizer of one model, with tokens behind its own."""
    model = train_sentencepiece(**KINDS[request.param])
    reference = sentencepiece.SentencePieceProcessor(model_proto=model)
    size = reference.get_piece_size()
    behind = {token: size + number for number, token in enumerate(ADDED)}
    folder = write_sentencepiece(
        tmp_path_factory.mktemp("kind") / "model", model, **{"added_tokens.json": behind}
    )
    named = {token: reference.piece_to_id(token) for token in ("<unk>", "<s>", "</s>")}
    return reference, behind | named, load(folder)


def test_ids_are_those_of_sentencepiece_between_the_added_tokens(kind):
    reference, added, fast = kind

    @settings(max_examples=60)
    @given(
        st.lists(st.one_of(st.sampled_from(PIECES + WORDS + ADDED + SYMBOLS), st.characters(codec="utf-8")))
    )
    def check(parts):
        text = "".join(parts)
        symbols = [part for part in parts if part in SYMBOLS]
        between = [text]
        for token in added:
            between = [piece for each in between for piece in each.split(token)]
        if any(piece in symbols for piece in between):
            return  # the one case that is said to differ
        assert fast.encode(text, add_special_tokens=False) == slow_ids(reference, added, text)

    check()


def test_text_comes_back(kind):
    reference, _, fast = kind
    text = "Please segment the blood vessel"
    ids = fast.encode(text, add_special_tokens=False)
    assert fast.decode(ids) == reference.decode(ids) == text


def test_a_token_takes_the_place_of_a_piece(tmp_path):
    model = train_sentencepiece(**KINDS["with symbols"])
    reference = sentencepiece.SentencePieceProcessor(model_proto=model)
    place = reference.piece_to_id("[UNUSED_TOKEN_1]")
    decoder = {str(place): {"content": "<|im_start|>", "special": True}}
    fast = load(
        write_sentencepiece(
            tmp_path / "m", model, **{"tokenizer_config.json": {"added_tokens_decoder": decoder}}
        )
    )
    assert fast.encode("<|im_start|>it", add_special_tokens=False) == [place, *reference.encode("it")]
    assert fast.decode([place]) == "<|im_start|>"
    assert len(fast) == reference.get_piece_size()


@pytest.mark.parametrize(
    ("stated", "first", "last"),
    [
        ({}, "<s>", None),
        ({"add_bos_token": False}, None, None),
        ({"add_eos_token": True}, "<s>", "</s>"),
        ({"add_bos_token": True}, "<s>", None),
        ({"add_bos_token": True, "bos_token": "[SEG]"}, "[SEG]", None),
    ],
)
def test_texts_begin_and_end_as_the_settings_say(stated, first, last, tmp_path):
    model = train_sentencepiece(**KINDS["InternLM2"])
    size = sentencepiece.SentencePieceProcessor(model_proto=model).get_piece_size()
    files = {"tokenizer_config.json": stated, "added_tokens.json": {"[SEG]": size}}
    tokens = load(write_sentencepiece(tmp_path / "m", model, **files)).tokenize(
        "vessel", add_special_tokens=True
    )
    assert (tokens[0] if first else None) == first
    assert (tokens[-1] if last else None) == last
    assert len(tokens) == 1 + bool(first) + bool(last)


def test_a_folder_as_it_is_published_is_read(config, tmp_path):
    config["llm_config"] |= {"architectures": ["InternLM2ForCausalLM"]}
    config["template"] = "internlm2-chat"
    model = train_sentencepiece(**KINDS["InternLM2"])
    reference = sentencepiece.SentencePieceProcessor(model_proto=model)
    tokens = ["<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", *ADDED[3:]]
    added = {token: reference.get_piece_size() + number for number, token in enumerate(tokens)}
    named = {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "InternLM2Tokenizer"}
    files = {"config.json": config, "tokenizer_config.json": named, "added_tokens.json": added}
    processor = Sa2VAProcessor.from_pretrained(write_sentencepiece(tmp_path / "m", model, **files))
    question = "Please segment Gefäß in this image."
    image = "<img>" + "<IMG_CONTEXT>" * 256 + "</img>"
    turn = f"<|im_start|>user\n{image}\n{question}<|im_end|>\n<|im_start|>assistant\n"
    ids = processor.prompt_ids(f"<image>\n{question}", (((16, 16),),))
    assert ids == [reference.bos_id(), *slow_ids(reference, added, turn)]
    assert processor.answer_text(processor.answer_ids("Sure, [SEG].<|im_end|>")) == "Sure, [SEG].<|im_end|>"
    assert processor.seg_token_id == added["[SEG]"]


def changed(model: bytes, change) -> bytes:
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    change(proto)
    return proto.SerializeToString()


def long_pieces(proto) -> None:
    proto.pieces[-1].piece = "a" * 20000


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda proto: setattr(proto.trainer_spec, "model_type", 3), "a model of words or characters"),
        (lambda proto: setattr(proto.trainer_spec, "model_type", 1), "unigram model with the piece"),
        (
            lambda proto: setattr(proto.trainer_spec, "treat_whitespace_as_suffix", True),
            "at the end of words",
        ),
        (lambda proto: setattr(proto.trainer_spec, "unk_id", 10**6), "no piece for what is unknown"),
        (lambda proto: proto.pieces.add(piece=proto.pieces[-1].piece), "or one twice"),
        (long_pieces, "longer pieces than any tokenizer"),
    ],
)
def test_what_is_no_such_model_is_refused_in_one_sentence(change, sentence, tmp_path):
    folder = write_sentencepiece(tmp_path / "m", changed(train_sentencepiece(**KINDS["InternLM2"]), change))
    with pytest.raises(UserError, match=sentence) as caught:
        fast_tokenizer(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "ids", [{"[SEG]": 401}, {"<img>": 400, "<s>": 401}, {"[SEG]": 7, "<p>": 400, "</s>": 8}]
)
def test_added_tokens_that_contradict_the_model_are_refused(ids, tmp_path):
    folder = write_sentencepiece(
        tmp_path / "m", train_sentencepiece(**KINDS["InternLM2"]), **{"added_tokens.json": ids}
    )
    with pytest.raises(UserError, match="leave ids out, or give one text two"):
        fast_tokenizer(folder)


def test_a_damaged_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"tokenizer\.model is no sentencepiece model"):
        fast_tokenizer(write_sentencepiece(tmp_path / "m", b"\xff" * 100))


def test_a_damaged_table_of_characters_is_refused_before_a_library_walks_it(tmp_path):
    model, chooser = train_sentencepiece(**KINDS["sentencepiece's defaults, bpe"]), random.Random(0)
    sound = sentencepiece_model_pb2.ModelProto.FromString(model).normalizer_spec.precompiled_charsmap
    assert is_sound(sound)
    assert not is_sound(sound[:1000])
    refused = 0
    for _ in range(30):
        table = bytearray(sound)
        for _ in range(50):
            table[chooser.randrange(len(table))] = chooser.randrange(256)
        damaged = changed(model, lambda proto, table=table: damage(proto, bytes(table)))
        try:
            load(write_sentencepiece(tmp_path / "m", damaged)).encode("Gefäß ﬁ ①")
        except UserError:
            refused += 1
    assert refused


def damage(proto, table: bytes) -> None:
    proto.normalizer_spec.precompiled_charsmap = table
