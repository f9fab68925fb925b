import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import Qwen2Tokenizer

from refvessel.checkpoint import shards
from refvessel.files import sha256_of_file

POSITIONS = "grounding_encoder.sam2_model.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
Q_PROJ = "mllm.model.language_model.base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module", params=["mmengine", "peft"])
def either_layers(request, layers, make_layers):
    """The default layers, or those of another seed, rank and scale in peft's names."""
    if request.param == "mmengine":
        return layers
    return make_layers(seed=3, rank=5, alpha=24, peft_names=True)


def test_the_result_is_the_expected_model(either_layers, tmp_path):
    report = either_layers.convert(tmp_path / "out")
    written = load_file(tmp_path / "out/model.safetensors")
    expected = load_file(either_layers.folder / "expected.safetensors")
    assert written.keys() == expected.keys()
    for name, tensor in expected.items():
        assert written[name].dtype == torch.float32
        torch.testing.assert_close(written[name], tensor, rtol=0, atol=1e-6)
    sources = json.loads((either_layers.folder / "expected_sources.json").read_text())
    assert {name: entry["source"] for name, entry in report["tensors"].items()} == sources


def test_the_default_is_the_expected_model_in_bfloat16_with_exact_positions(layers, tmp_path):
    report = layers.convert(tmp_path / "out", dtype="bfloat16")
    written = load_file(tmp_path / "out/model.safetensors")
    for name, tensor in load_file(layers.folder / "expected.safetensors").items():
        assert torch.equal(written[name], tensor if name == POSITIONS else tensor.bfloat16()), name
    assert report["other_dtypes"] == {POSITIONS: "float32"}
    assert report["tensors"][POSITIONS]["dtype"] == "float32"


def test_the_report_proves_the_result(layers, tmp_path):
    report = layers.convert(tmp_path / "out")
    assert json.loads((tmp_path / "out/conversion.json").read_text()) == report
    names = {record["name"]: record for record in report["inputs"]}
    for path in (layers.sam2, layers.checkpoint, *layers.base_mllm.iterdir()):
        assert names[path.name] == {
            "layer": names[path.name]["layer"],
            "name": path.name,
            "bytes": path.stat().st_size,
            "sha256": sha256_of_file(path),
        }
    base = load_file(layers.base_mllm / "model.safetensors")
    expected = load_file(layers.folder / "expected.safetensors")
    for name, entry in report["tensors"].items():
        assert tuple(entry["shape"]) == expected[name].shape
        if entry["source"] == "lora_merged":
            norm = (expected[name] - base[name].float()).norm().item()
            assert entry["lora_delta_norm"] == pytest.approx(norm, rel=1e-4)
    assert report["sources"] == {"base_mllm": 62, "lora_merged": 21, "sam2": 277, "trained": 143}
    assert report["layers"]["trained"] == {"tensors": 185, "superseded": [], "left_out": []}
    assert "mlp1.0.bias" in report["layers"]["base_mllm"]["superseded"]
    assert report["equal_to_base"] == {"tensors": 62 + 277, "of": 503, "share": 339 / 503}
    assert report["warnings"] == []


def test_the_folder_is_an_official_one(layers, trunk, tmp_path):
    layers.convert(tmp_path / "out", dtype="bfloat16")
    official = {
        "model_type": "sa2va_chat",
        "architectures": ["Sa2VAChatModel"],
        "auto_map": {
            "AutoConfig": "configuration_sa2va_chat.Sa2VAChatConfig",
            "AutoModel": "modeling_sa2va_chat.Sa2VAChatModel",
            "AutoModelForCausalLM": "modeling_sa2va_chat.Sa2VAChatModel",
        },
        "grounding_encoder_config": trunk,
        "force_image_size": 448,
        "hidden_size": 64,
    }
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["template"] == "internlm2_chat"
    assert {key: config[key] for key in official} == official
    assert config["llm_config"]["vocab_size"] == 349
    with safe_open(tmp_path / "out/model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert Qwen2Tokenizer.from_pretrained(tmp_path / "out").convert_tokens_to_ids("[SEG]") == 344


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_conversions_are_equal_in_every_byte(layers, tmp_path):
    layers.convert(tmp_path / "one")
    layers.convert(tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_shards_hold_the_same_model_and_have_the_same_identity(layers, tmp_path, monkeypatch):
    single = layers.convert(tmp_path / "single")
    monkeypatch.setattr(shards.plan_shards, "__defaults__", (20_000_000,))
    sharded = layers.convert(tmp_path / "sharded")
    index = json.loads((tmp_path / "sharded/model.safetensors.index.json").read_text())
    files = sorted(set(index["weight_map"].values()))
    assert files == [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    merged = {}
    for file in files:
        part = load_file(tmp_path / "sharded" / file)
        assert {index["weight_map"][name] for name in part} == {file}
        merged |= part
    whole = load_file(tmp_path / "single/model.safetensors")
    assert merged.keys() == whole.keys()
    assert all(torch.equal(merged[name], whole[name]) for name in whole)
    assert sharded["identity"] == single["identity"]


def test_one_element_of_one_tensor_changes_the_identity(layers, changed, tmp_path):
    def nudge(content):
        content["state_dict"]["text_hidden_fcs.0.bias"][0] += 1

    before = layers.convert(tmp_path / "before")
    after = layers.convert(tmp_path / "after", checkpoint=changed(layers.checkpoint, nudge))
    assert before["identity"] != after["identity"]
    differing = [name for name, entry in before["tensors"].items() if entry != after["tensors"][name]]
    assert differing == ["text_hidden_fcs.0.bias"]


def test_a_zero_lora_update_is_warned_of(layers, changed, tmp_path):
    def forget(content):
        content["state_dict"][f"{Q_PROJ}.lora_B.default.weight"].zero_()

    report = layers.convert(tmp_path / "out", checkpoint=changed(layers.checkpoint, forget))
    name = "language_model.model.layers.0.self_attn.q_proj.weight"
    assert [name in warning for warning in report["warnings"]] == [True]
    assert report["tensors"][name]["equals_base"]


def test_a_pretrained_layer_lies_between_base_and_training(layers, changed, tmp_path):
    pretrained = tmp_path / "pretrained.pth"
    shift = load_file(layers.base_mllm / "model.safetensors")["language_model.model.norm.weight"].float() + 1
    torch.save(
        {
            "mllm.model.language_model.model.norm.weight": shift,
            "text_hidden_fcs.0.bias": torch.full((64,), 5.0),
            "grounding_encoder.sam2_model.no_mem_embed": torch.full((1, 1, 256), 5.0),
        },
        pretrained,
    )
    report = layers.convert(tmp_path / "out", pretrained=pretrained)
    written = load_file(tmp_path / "out/model.safetensors")
    assert torch.equal(written["language_model.model.norm.weight"], shift)
    assert written["grounding_encoder.sam2_model.no_mem_embed"].unique().tolist() == [5.0]
    assert report["sources"]["pretrained"] == 2
    assert report["layers"]["pretrained"]["superseded"] == ["text_hidden_fcs.0.bias"]


def test_rank_stabilised_lora_is_scaled_by_the_root_of_the_rank(layers, changed, tmp_path):
    def stabilise(content):
        content["meta"]["cfg"] = content["meta"]["cfg"].replace("r=8,", "r=8, use_rslora=True,")

    layers.convert(tmp_path / "out", checkpoint=changed(layers.checkpoint, stabilise))
    name = "language_model.model.layers.0.self_attn.q_proj.weight"
    base = load_file(layers.base_mllm / "model.safetensors")[name].float()
    expected = load_file(layers.folder / "expected.safetensors")[name]
    written = load_file(tmp_path / "out/model.safetensors")[name]
    torch.testing.assert_close(written - base, (expected - base) * 8**0.5, rtol=1e-5, atol=1e-5)


def test_a_stated_grounding_encoder_is_passed_through(layers, base_copy, trunk, tmp_path):
    stated = trunk | {"memory_dim": 64}
    edit_config(base_copy, grounding_encoder_config=stated)
    layers.convert(tmp_path / "out", base_mllm=base_copy)
    assert json.loads((tmp_path / "out/config.json").read_text())["grounding_encoder_config"] == stated


def edit_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_earlier_conversion_is_replaced(layers, tmp_path):
    layers.convert(tmp_path / "out")
    layers.convert(tmp_path / "out", dtype="bfloat16")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert json.loads((tmp_path / "out/conversion.json").read_text())["dtype"] == "bfloat16"
