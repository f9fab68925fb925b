"""Sentencepiece models of a few words, and what their slow tokenizer gives."""

import io
import json
import random
from pathlib import Path

import sentencepiece

WORDS = [
    "Please",
    "segment",
    "the",
    "blood",
    "vessel",
    "in",
    "this",
    "image",
    "catheter",
    "stenosis",
    "Sure",
    "it",
    "is",
    "naïve",
    "Gefäß",
    "血管",
    "造影",
    "42",
]


def train_sentencepiece(**options) -> bytes:
    chooser, model = random.Random(0), io.BytesIO()
    texts = [" ".join(chooser.choices(WORDS, k=8)) + chooser.choice(".!\t") for _ in range(500)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, minloglevel=2, **options
    )
    return model.getvalue()


def write_sentencepiece(folder: Path, model: bytes, **stated) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model)
    for name, content in ({"tokenizer_config.json": {}} | stated).items():
        (folder / name).write_text(json.dumps(content))
    return folder


def slow_ids(model: sentencepiece.SentencePieceProcessor, added: dict[str, int], text: str) -> list[int]:
    """The ids of a text that is cut at added tokens, the longest first, and read by sentencepiece between them."""
    ids, begun, place = [], 0, 0
    while place < len(text):
        here = max((token for token in added if text.startswith(token, place)), key=len, default="")
        if here:
            ids += [*model.encode(text[begun:place]), added[here]]
            begun = place = place + len(here)
        place += not here
    return ids + model.encode(text[begun:])
