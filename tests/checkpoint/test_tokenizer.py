import json
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor
from sentencepiece_models import slow_ids, train_sentencepiece, write_sentencepiece
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

from refvessel.checkpoint.tokenizer import extended_tokenizer
from refvessel.errors import UserError
from refvessel.model.isolation import tokenizer_alone

TOKENS = ("[SEG]", "<p>", "</p>", "<vp>", "</vp>")
TEXT = "<|im_start|>user\nPlease segment vessel.<|im_end|>Sure, [SEG] and <p>it</p>."


def written(files: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_the_extended_files_are_those_of_the_official_conversion(official_folder, tmp_path):
    files, count = extended_tokenizer(without_sa2va_tokens(official_folder, tmp_path / "base"), TOKENS)
    assert count == 383
    for name in (
        "tokenizer.json",
        "tokenizer_config.json",
        "added_tokens.json",
        "vocab.json",
        "special_tokens_map.json",
    ):
        assert json.loads(files[name]) == json.loads((official_folder / name).read_text()), name
    assert files["merges.txt"] == (official_folder / "merges.txt").read_bytes()


def without_sa2va_tokens(official: Path, folder: Path) -> Path:
    """The tokenizer that an official folder's was before Sa2VA's tokens were added."""
    written(
        {
            path.name: path.read_bytes()
            for path in official.iterdir()
            if path.suffix != ".safetensors" and path.is_file()
        },
        folder,
    )
    edit(folder / "added_tokens.json", lambda ids: [ids.pop(token) for token in TOKENS])
    edit(
        folder / "tokenizer.json",
        lambda whole: whole.update(added_tokens=whole["added_tokens"][: -len(TOKENS)]),
    )
    edit(
        folder / "tokenizer_config.json",
        lambda settings: [settings["added_tokens_decoder"].popitem() for _ in TOKENS],
    )
    return folder


def without_decoder(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    edit(folder / "tokenizer_config.json", lambda settings: settings.pop("added_tokens_decoder"))


@pytest.mark.parametrize(
    "reduce",
    [
        lambda folder: None,
        lambda folder: (folder / "tokenizer.json").unlink(),
        lambda folder: (folder / "added_tokens.json").unlink(),
        lambda folder: [
            (folder / name).unlink() for name in ("vocab.json", "merges.txt", "added_tokens.json")
        ],
        without_decoder,
    ],
    ids=["all files", "slow only", "no added_tokens.json", "fast only", "slow without decoder"],
)
@pytest.mark.parametrize("loader", [Qwen2Tokenizer, AutoTokenizer])
def test_transformers_gives_the_ids_that_it_gives_when_it_adds_the_tokens(
    loader, reduce, base_copy, layers, tmp_path
):
    reduce(base_copy)
    files, count = extended_tokenizer(base_copy, TOKENS)
    tokenizer = loader.from_pretrained(written(files, tmp_path / "extended"))
    assert len(tokenizer) == count == 349
    assert tokenizer.convert_tokens_to_ids(list(TOKENS)) == [344, 345, 346, 347, 348]
    added = Qwen2Tokenizer.from_pretrained(layers.base_mllm)
    added.add_tokens(list(TOKENS), special_tokens=True)
    assert tokenizer.encode(TEXT) == added.encode(TEXT)


def test_the_order_of_the_tokens_is_the_order_of_their_ids(layers, tmp_path):
    files, _ = extended_tokenizer(layers.base_mllm, TOKENS[::-1])
    tokenizer = Qwen2Tokenizer.from_pretrained(written(files, tmp_path / "extended"))
    assert tokenizer.convert_tokens_to_ids(list(TOKENS)) == [348, 347, 346, 345, 344]


def test_a_token_that_the_base_has_keeps_its_id(layers, tmp_path):
    extended, _ = extended_tokenizer(layers.base_mllm, TOKENS)
    again, count = extended_tokenizer(written(extended, tmp_path / "extended"), TOKENS[::-1])
    assert count == 349
    assert json.loads(again["tokenizer.json"]) == json.loads(extended["tokenizer.json"])


def test_remote_code_is_not_carried_over(base_copy):
    edit(
        base_copy / "tokenizer_config.json",
        lambda settings: settings.update(auto_map={"AutoTokenizer": ["x.X", None]}),
    )
    files, _ = extended_tokenizer(base_copy, TOKENS)
    assert "auto_map" not in json.loads(files["tokenizer_config.json"])


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("vocab.json", lambda content: content.update(extra=400), "not 0 to"),
        ("vocab.json", lambda content: content.update({"<img>": 3}), "the ids"),
        ("added_tokens.json", lambda content: content.update({"<img>": 3}), "the ids"),
        ("tokenizer.json", lambda content: content.pop("model"), "malformed"),
        ("tokenizer.json", lambda content: content["added_tokens"].append(1), "malformed"),
        ("vocab.json", lambda content: content.update(extra="400"), "malformed"),
    ],
)
def test_files_that_contradict_each_other_are_refused(name, change, reason, base_copy):
    edit(base_copy / name, change)
    with pytest.raises(UserError, match=reason):
        extended_tokenizer(base_copy, TOKENS)


@pytest.mark.parametrize(
    "names", [["tokenizer_config.json"], ["tokenizer.json", "vocab.json"], ["tokenizer.json", "merges.txt"]]
)
def test_files_that_make_no_tokenizer_are_refused(names, base_copy):
    for name in names:
        (base_copy / name).unlink()
    with pytest.raises(UserError, match="no whole tokenizer"):
        extended_tokenizer(base_copy, TOKENS)


@pytest.mark.parametrize(
    "kind", [{"model_type": "bpe", "vocab_size": 400, "byte_fallback": True}, {"vocab_size": 52}]
)
def test_a_sentencepiece_model_is_extended_and_kept(kind, tmp_path):
    model = train_sentencepiece(**kind)
    reference = SentencePieceProcessor(model_proto=model)
    size = reference.get_piece_size()
    base = write_sentencepiece(tmp_path / "base", model, **{"added_tokens.json": {"<img>": size}})
    files, count = extended_tokenizer(base, TOKENS)
    assert count == size + 1 + len(TOKENS)
    assert files["tokenizer.model"] == model
    assert json.loads(files["added_tokens.json"])["[SEG]"] == size + 1
    folder = written(files, tmp_path / "extended")
    added = {token: size + number for number, token in enumerate(["<img>", *TOKENS])}
    text = "Please segment <p>the vessel</p> in <img>, it is [SEG]."
    expected = slow_ids(reference, added, text)
    for names in (
        ["tokenizer.json"],
        [],
    ):  # the fast one of the conversion, and one made anew of the slow files
        with tokenizer_alone(folder) as place:
            tokenizer = PreTrainedTokenizerFast.from_pretrained(place)
        assert tokenizer.encode(text, add_special_tokens=False) == expected
        assert tokenizer.encode(text)[0] == reference.bos_id()
        for name in names:
            (folder / name).unlink()
    assert extended_tokenizer(folder, TOKENS)[1] == count
