"""A very small byte-level tokenizer in Qwen2's format: any text encodes, the demo's sentences into few tokens."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

BASE_TOKENS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|im_start|>",
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
    "<quad>",
    "</quad>",
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
)
SA2VA_TOKENS = ("[SEG]", "<p>", "</p>", "<vp>", "</vp>")
_MERGES = 96
_END, _PADDING = "<|im_end|>", "<|endoftext|>"


def train_tokenizer(sentences: Iterable[str]) -> Tokenizer:
    """Byte-pair merges of the most frequent pairs of `sentences`, on top of the 256 bytes; no special tokens."""
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=""))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + _MERGES, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sentences, trainer)
    return tokenizer


def write_tokenizer(folder: Path, words: Tokenizer, special_tokens: Iterable[str]) -> None:
    """Write `words` and, with the ids after them, `special_tokens`, as the files of a Qwen2 model's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    words.model.save(str(folder))  # vocab.json, merges.txt
    whole = Tokenizer.from_str(words.to_str())
    whole.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special_tokens])
    whole.save(str(folder / "tokenizer.json"))
    added = {token: whole.token_to_id(token) for token in special_tokens}
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    settings = {
        "added_tokens_decoder": {
            str(index): {"content": token, **flags, "special": True} for token, index in added.items()
        },
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": _END,
        "errors": "replace",
        "extra_special_tokens": {},
        "model_max_length": 8192,
        "pad_token": _PADDING,
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    special = {
        name: {"content": token, **flags} for name, token in (("eos_token", _END), ("pad_token", _PADDING))
    }
    for name, content in (
        ("tokenizer_config", settings),
        ("added_tokens", added),
        ("special_tokens_map", special),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")


def load_tokenizer(folder: Path) -> Qwen2Tokenizer:
    """Read the tokenizer of a folder written here."""
    return Qwen2Tokenizer.from_pretrained(folder, local_files_only=True)
