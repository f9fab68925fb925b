"""Texts compared by a BERT of a local folder."""

import json

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from refvessel.errors import UserError
from refvessel.model.sentence_similarity import SentenceEncoder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "blood", "vessel", "wire", "##s"]


@pytest.fixture
def folder(tmp_path):
    """A very small BERT with random weights, saved as published ones are: with the head of its training."""
    torch.manual_seed(3)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(vocab_size=len(WORDS), max_position_embeddings=12, **sizes)
    BertForMaskedLM(config).save_pretrained(tmp_path / "bert")
    (tmp_path / "bert/vocab.txt").write_text("\n".join(WORDS))
    return tmp_path / "bert"


def mean_state(folder, words):
    """By the model with its head, of tokens written by hand."""
    model = BertForMaskedLM.from_pretrained(folder).eval()
    ids = torch.tensor([[WORDS.index(word) for word in ("[CLS]", *words, "[SEP]")]])
    with torch.no_grad():
        return model(ids, output_hidden_states=True).hidden_states[-1][0].mean(0).numpy()


def test_it_is_the_cosine_of_the_mean_states_of_all_tokens(folder):
    first, second = mean_state(folder, ["a", "blood", "vessel", "##s"]), mean_state(folder, ["a", "wire"])
    expected = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    encoder = SentenceEncoder(folder)
    assert encoder.similarity("A blood vessels", "a wire") == pytest.approx(expected, abs=1e-6)
    assert encoder.similarity("a wire", "a wire") == pytest.approx(1, abs=1e-6)
    assert encoder.similarity("a " * 50, "a") < 1.0001  # longer than the model reads: cut
    assert encoder.description == "bert"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            lambda folder: (folder / "config.json").write_text(json.dumps({"model_type": "gpt2"})),
            "is not bert",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "holds no"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"{}"), "cannot be read as a BERT"),
        (lambda folder: (folder / "vocab.txt").unlink(), "has neither tokenizer.json nor vocab.txt"),
    ],
)
def test_what_is_no_bert_is_refused(folder, damage, sentence):
    damage(folder)
    with pytest.raises(UserError, match=sentence):
        SentenceEncoder(folder)
