"""Vocabularies with more rows than the tokenizer has ids."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from stages import convert_checkpoint
from training_cases import BASE_TOKENS, SA2VA_TOKENS, Case, CaseWriter, assert_is_expected

from refvessel.checkpoint.link import link_checkpoint
from refvessel.checkpoint.tokenizer import extended_tokenizer
from refvessel.errors import UserError
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor

QWEN2 = "Qwen2ForCausalLM"
VOCABULARY = ("language_model.lm_head.weight", "language_model.model.embed_tokens.weight")
TOKENS = BASE_TOKENS + len(SA2VA_TOKENS)
PADDED = 320  # the next multiple of 64


def padded(tensor: torch.Tensor, rows: int = PADDED) -> torch.Tensor:
    return torch.cat([tensor, torch.full((rows - len(tensor), tensor.shape[1]), 9.0)])


@pytest.fixture
def official(tmp_path) -> Path:
    """An official folder whose vocabulary was padded in training, as its configuration says."""
    writer = CaseWriter(tmp_path / "layers", QWEN2)
    folder = tmp_path / "official"
    folder.mkdir()
    for name, content in extended_tokenizer(writer.folder / "base_mllm", SA2VA_TOKENS)[0].items():
        (folder / name).write_bytes(content)
    config = writer.config | {"model_type": "sa2va_chat", "template": "qwen_chat"}
    config["llm_config"] = config["llm_config"] | {"vocab_size": PADDED}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = writer.tensors | {name: padded(writer.tensors[name]) for name in VOCABULARY}
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_an_official_folder_keeps_its_padding(official, tmp_path):
    record = link_checkpoint(folder=official, output=tmp_path / "linked")
    assert record["tensors"][VOCABULARY[0]]["shape"] == [PADDED, 32]
    model = Sa2VAModel.load(tmp_path / "linked", dtype=torch.float32)
    assert model.language_model.lm_head.weight.shape == (PADDED, 32)
    processor = Sa2VAProcessor.from_pretrained(tmp_path / "linked")
    assert processor.answer_text([processor.seg_token_id, PADDED - 1]) == "[SEG]"


def test_what_is_trained_on_it_keeps_it_too(official, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    name = "base_model.model.language_model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    factors = {name.format(layer, part): torch.ones(2, 32) for layer in (0, 1) for part in "A"}
    factors |= {name.format(layer, "B"): torch.ones(32, 2) for layer in (0, 1)}
    head = torch.randn(PADDED, 32)
    save_file(
        factors | {"base_model.model.language_model.lm_head.weight": head},
        adapter / "adapter_model.safetensors",
    )
    stated = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "modules_to_save": ["lm_head"]}
    (adapter / "adapter_config.json").write_text(json.dumps(stated))
    report = convert_checkpoint(folder=official, checkpoint=adapter, output=tmp_path / "out", dtype="float32")
    written = load_file(tmp_path / "out/model.safetensors")
    assert torch.equal(written[VOCABULARY[0]], head)
    assert torch.equal(written[VOCABULARY[1]], load_file(official / "model.safetensors")[VOCABULARY[1]])
    assert json.loads((tmp_path / "out/config.json").read_text())["llm_config"]["vocab_size"] == PADDED
    assert report["warnings"] == []


def test_a_configuration_that_knows_nothing_of_the_padding_is_refused(official, tmp_path):
    config = json.loads((official / "config.json").read_text())
    config["llm_config"]["vocab_size"] = TOKENS
    (official / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"of shape \[320, 32\] where its config.json describes \["):
        link_checkpoint(folder=official, output=tmp_path / "linked")


@pytest.fixture
def case(tmp_path) -> tuple[CaseWriter, Case]:
    writer = CaseWriter(tmp_path / "layers", QWEN2)
    lora = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj"])
    return writer, writer.train_lora({"language_model": lora})


def without_vocabulary(case: Case) -> None:
    content = torch.load(case.checkpoint, weights_only=True)
    for name in VOCABULARY:
        content["state_dict"].pop(f"mllm.model.{name}")
    torch.save(content, case.checkpoint)


def base_with_rows(writer: CaseWriter, case: Case, rows: int) -> None:
    weights = case.base_mllm / "model.safetensors"
    tensors = load_file(weights)
    save_file(tensors | {name: padded(writer.tensors[name], rows).bfloat16() for name in VOCABULARY}, weights)


@pytest.mark.parametrize("trained", [True, False])
def test_a_padded_base_gives_what_the_tokens_reach_and_it_is_told_where_it_counts(trained, case, tmp_path):
    writer, layers = case
    base_with_rows(writer, layers, PADDED)
    if not trained:
        without_vocabulary(layers)
    report = layers.convert(tmp_path / "out")
    assert_is_expected(tmp_path / "out", layers.expected)
    told = [
        f"base_mllm holds {VOCABULARY[0]} with {PADDED} rows, of which the tokenizer's {TOKENS} tokens reach the "
        "first; the padding is left out."
    ]
    assert report["warnings"] == ([] if trained else told)


def test_a_base_with_other_rows_than_padding_is_refused(case, tmp_path):
    writer, layers = case
    base_with_rows(writer, layers, TOKENS + 3)
    without_vocabulary(layers)
    with pytest.raises(UserError, match=f"with the {TOKENS} rows that the tokenizer needs"):
        layers.convert(tmp_path / "out")


@pytest.mark.parametrize("rows", [320, 384, TOKENS + 3], ids=["64", "128", "the base's"])
def test_a_vocabulary_that_training_padded_is_cut_and_it_is_told(rows, case, tmp_path):
    writer, layers = case
    if rows % 64:
        base_with_rows(writer, layers, rows)
    content = torch.load(layers.checkpoint, weights_only=True)
    for name in VOCABULARY:
        content["state_dict"][f"mllm.model.{name}"] = padded(writer.tensors[name], rows)
    torch.save(content, layers.checkpoint)
    report = layers.convert(tmp_path / "out")
    assert_is_expected(tmp_path / "out", layers.expected)
    (told,) = report["warnings"]
    assert f"with {rows} rows, of which the tokenizer's {TOKENS} tokens reach the first" in told
