"""Every family and every kind of training layer, with values that peft itself computes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from training_cases import (
    BASE_TOKENS,
    INTERNLM2,
    SA2VA_TOKENS,
    TARGETS,
    TEMPLATES,
    Case,
    CaseWriter,
    assert_is_expected,
    modules_to_save,
)

from refvessel.errors import UserError
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.naming import SAM2_PREFIX, embedding_name, head_name
from refvessel.model.processing import Sa2VAProcessor

ONE_TILE = (((16, 16),),)  # rows and columns of its image tokens


@pytest.mark.parametrize("names", ["mmengine", "peft"])
@pytest.mark.parametrize("architecture", TARGETS)
def test_lora_on_every_family_is_merged_as_peft_merges_it(architecture, names, tmp_path):
    lora = LoraConfig(
        r=3,
        lora_alpha=5,
        target_modules=TARGETS[architecture],
        modules_to_save=modules_to_save(architecture),
    )
    case = CaseWriter(tmp_path / "layers", architecture).train_lora({"language_model": lora}, names=names)
    report = case.convert(tmp_path / "out")
    assert_is_expected(tmp_path / "out", case.expected)
    updated = [name for name, entry in report["tensors"].items() if entry["source"] == "lora_merged"]
    assert len(updated) == 2 * len(TARGETS[architecture])
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["llm_config"]["architectures"] == [architecture]


@pytest.mark.parametrize("architecture", TARGETS)
def test_a_converted_model_of_every_family_loads_and_generates(architecture, tmp_path):
    writer = CaseWriter(tmp_path / "layers", architecture)
    lora = LoraConfig(
        r=2, target_modules=TARGETS[architecture], modules_to_save=modules_to_save(architecture)
    )
    case = writer.train_lora({"language_model": lora})
    template = TEMPLATES.get(architecture, "qwen_chat")
    case.convert(tmp_path / "out", overrides={"template": template})
    model = Sa2VAModel.load(tmp_path / "out", dtype=torch.float32)
    processor = Sa2VAProcessor.from_pretrained(tmp_path / "out")
    ids = torch.tensor([processor.prompt_ids("<image>\n Please segment vessel in this image.", ONE_TILE)])
    with torch.inference_mode():
        image = model.vision.embed_tiles(torch.randn(1, 3, 448, 448)).flatten(0, 1)
        prompt = model.embed_prompts(ids, image, processor.image_token_id)
        answer = model.language_model.generate(
            inputs_embeds=prompt,
            attention_mask=torch.ones_like(ids),
            eos_token_id=sorted(processor.stop_token_ids),
            pad_token_id=0,
            do_sample=False,
            max_new_tokens=3,
        )
    assert 0 < answer.shape[1] <= 3
    assert int((ids == processor.image_token_id).sum()) == len(image) == 256
    assert processor.seg_token_id == BASE_TOKENS


QWEN2 = "Qwen2ForCausalLM"
VISION = LoraConfig(r=4, lora_alpha=3, target_modules=["qkv", "proj", "fc1", "fc2"])
LANGUAGE = {"r": 3, "lora_alpha": 5, "target_modules": ["q_proj", "v_proj"]}
KINDS: dict[str, dict[str, LoraConfig]] = {
    "vision encoder": {"vision_model": VISION},
    "both, of different ranks": {"vision_model": VISION, "language_model": LoraConfig(**LANGUAGE)},
    "rank-stabilised": {"language_model": LoraConfig(**LANGUAGE, use_rslora=True)},
    "all biases": {"language_model": LoraConfig(**LANGUAGE, bias="all")},
    "biases of LoRA layers": {"language_model": LoraConfig(**LANGUAGE, bias="lora_only")},
    "a bias in LoRA": {"language_model": LoraConfig(**LANGUAGE, lora_bias=True)},
    "embeddings": {
        "language_model": LoraConfig(r=3, lora_alpha=5, target_modules=["embed_tokens", "q_proj"])
    },
    "output layer": {"language_model": LoraConfig(r=3, lora_alpha=5, target_modules=["lm_head"])},
    "saved modules": {"language_model": LoraConfig(**LANGUAGE, modules_to_save=["embed_tokens", "lm_head"])},
}


def test_lora_on_internvit_6b_is_merged_as_peft_merges_it(tmp_path):
    kind = {"norm_type": "rms_norm", "qk_normalization": True, "qkv_bias": False}
    writer = CaseWriter(tmp_path / "layers", QWEN2, vision=kind)
    case = writer.train_lora({"vision_model": VISION})
    report = case.convert(tmp_path / "out")
    assert_is_expected(tmp_path / "out", case.expected)
    norm = report["tensors"]["vision_model.encoder.layers.0.attn.q_norm.weight"]
    assert (norm["source"], norm["shape"]) == ("base_mllm", [16])
    Sa2VAModel.load(tmp_path / "out", dtype=torch.float32)


@pytest.mark.parametrize("frozen_too", [False, True], ids=["trained only", "whole state"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_lora_is_merged_as_peft_merges_it(kind, frozen_too, tmp_path):
    writer = CaseWriter(tmp_path / "layers", QWEN2)
    case = writer.train_lora(KINDS[kind], frozen_too=frozen_too or kind in ("embeddings", "output layer"))
    case.convert(tmp_path / "out")
    assert_is_expected(tmp_path / "out", case.expected)


def test_what_peft_keeps_of_a_saved_module_is_superseded(tmp_path):
    case = CaseWriter(tmp_path / "layers", QWEN2).train_lora(KINDS["saved modules"], frozen_too=True)
    report = case.convert(tmp_path / "out")
    prefix = "mllm.model.language_model.base_model.model."
    assert report["layers"]["trained"]["superseded"] == [
        f"{prefix}lm_head.original_module.weight",
        f"{prefix}model.embed_tokens.original_module.weight",
    ]


def full_training(writer: CaseWriter) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Everything trained, by training name and by official name."""
    expected = {name: tensor + torch.randn_like(tensor) for name, tensor in writer.tensors.items()}
    own = ("text_hidden_fcs.", SAM2_PREFIX)
    trained = {
        name if name.startswith(own) else f"mllm.model.{name}": each for name, each in expected.items()
    }
    return trained, expected


PLAIN_TEXT = (
    f"template = 'qwen_chat'\nspecial_tokens = {SA2VA_TOKENS}\nmodel = dict(mllm=dict(llm_lora=None))\n"
)


@pytest.mark.parametrize("architecture", TARGETS)
def test_full_fine_tuning_replaces_the_language_model(architecture, tmp_path):
    writer = CaseWriter(tmp_path / "layers", architecture)
    trained, expected = full_training(writer)
    kept = {name: each for name, each in trained.items() if name.startswith("mllm.model.language_model.")}
    changed = {name: expected[name] for name in expected if name.startswith("language_model.")}
    case = writer.write(kept, changed, PLAIN_TEXT)
    report = case.convert(tmp_path / "out")
    assert_is_expected(tmp_path / "out", case.expected)
    assert set(report["sources"]) == {"base_mllm", "sam2", "trained"}


@pytest.mark.parametrize("bare", [False, True])
def test_a_complete_sa2va_needs_neither_sam2_nor_a_training_config(bare, tmp_path):
    writer = CaseWriter(tmp_path / "layers", QWEN2)
    trained, expected = full_training(writer)
    case = writer.write({}, expected, None)
    torch.save(trained if bare else {"state_dict": trained}, case.checkpoint)
    overrides = {"template": "qwen_chat", "special_tokens": SA2VA_TOKENS}
    report = case.convert(tmp_path / "out", sam2=None, overrides=overrides)
    assert_is_expected(tmp_path / "out", expected)
    assert set(report["sources"]) == {"trained"}
    assert report["warnings"] == []
    with pytest.raises(UserError, match=r"no training config in meta\.cfg: no prompt template"):
        case.convert(tmp_path / "without", sam2=None)


def write_zero2(writer: CaseWriter, case: Case, processes: int) -> Path:
    """The training checkpoint as DeepSpeed's ZeRO 2 leaves it."""
    content = torch.load(case.checkpoint, weights_only=True)
    folder = writer.folder / "iter_2.pth"
    folder.mkdir()
    weights = content["state_dict"]
    states = {
        "module": {},
        "buffer_names": [],
        "param_shapes": [{name: tensor.shape for name, tensor in weights.items()}],
        "meta": content["meta"],
    }
    torch.save(states, folder / "mp_rank_00_model_states.pt")
    flat = torch.cat([tensor.float().flatten() for tensor in weights.values()])
    flat = torch.nn.functional.pad(flat, (0, -len(flat) % (2 * processes)))
    for rank, part in enumerate(flat.chunk(processes)):
        groups = {"single_partition_of_fp32_groups": [part.clone()], "partition_count": [processes]}
        path = folder / f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"
        torch.save({"optimizer_state_dict": groups}, path)
    return folder


def test_a_zero_folder_converts_to_the_same_model_as_its_single_file(tmp_path):
    writer = CaseWriter(tmp_path / "layers", QWEN2)
    case = writer.train_lora(KINDS["embeddings"], frozen_too=True)
    single = case.convert(tmp_path / "single")
    zero = case.convert(tmp_path / "zero", checkpoint=write_zero2(writer, case, 3))
    assert zero["identity"] == single["identity"]
    assert len([record for record in zero["inputs"] if record["layer"] == "trained"]) == 4


# Output layers that are the embeddings.


@pytest.fixture
def tied(tmp_path) -> Callable[..., tuple[CaseWriter, dict[str, torch.Tensor]]]:
    """A base whose configuration ties, and fully trained weights without the output layer."""

    def write(architecture: str) -> tuple[CaseWriter, dict[str, torch.Tensor]]:
        writer = CaseWriter(tmp_path / "layers", architecture, tie_word_embeddings=True)
        assert head_name(architecture) not in writer.tensors
        return writer, full_training(writer)[0]

    return write


@pytest.mark.parametrize("architecture", [QWEN2, INTERNLM2])
@pytest.mark.parametrize("base_has_it", [False, True])
def test_a_tied_output_layer_is_left_to_the_embeddings(architecture, base_has_it, tied, tmp_path):
    writer, trained = tied(architecture)
    weights = writer.folder / "base_mllm/model.safetensors"
    if base_has_it:
        tensors = load_file(weights)
        save_file(tensors | {head_name(architecture): tensors[embedding_name(architecture)].clone()}, weights)
    case = writer.write(trained, {}, PLAIN_TEXT)
    report = case.convert(tmp_path / "out")
    assert head_name(architecture) not in report["tensors"]
    assert report["layers"]["base_mllm"]["left_out"] == [head_name(architecture)] * base_has_it
    assert json.loads((tmp_path / "out/config.json").read_text())["llm_config"]["tie_word_embeddings"]
    model = Sa2VAModel.load(tmp_path / "out", dtype=torch.float32)
    embedding = trained[f"mllm.model.{embedding_name(architecture)}"]
    assert torch.equal(model.language_model.lm_head.weight, embedding)


def test_an_output_layer_that_training_untied_is_kept(tied, tmp_path):
    writer, trained = tied(QWEN2)
    head = torch.randn(BASE_TOKENS + len(SA2VA_TOKENS), 32)
    case = writer.write(trained | {f"mllm.model.{head_name(QWEN2)}": head}, {}, PLAIN_TEXT)
    case.convert(tmp_path / "out")
    model = Sa2VAModel.load(tmp_path / "out", dtype=torch.float32)
    assert torch.equal(model.language_model.lm_head.weight, head)
    assert not torch.equal(model.language_model.model.embed_tokens.weight, head)


def test_saved_embeddings_without_the_output_layer_that_was_tied_are_refused(tied, tmp_path):
    writer, trained = tied(QWEN2)
    saved = {
        name.replace("embed_tokens.", "embed_tokens.modules_to_save.default."): each
        for name, each in trained.items()
    }
    with pytest.raises(UserError, match=r"no language_model\.lm_head\.weight; save both"):
        writer.write(saved, {}, PLAIN_TEXT).convert(tmp_path / "out")


# Settings from outside.


def test_an_override_replaces_the_training_config_and_a_contradiction_is_reported(tmp_path):
    case = CaseWriter(tmp_path / "layers", QWEN2).train_lora(KINDS["rank-stabilised"])
    overrides = {"template": "internlm2_chat", "llm_lora": {"use_rslora": False, "r": 3}}
    report = case.convert(tmp_path / "out", overrides=overrides)
    assert report["training"]["template"] == "internlm2_chat"
    assert report["training"]["llm_lora"] == {"rank": 3, "alpha": 5.0, "rank_stabilised": False}
    assert report["warnings"] == [
        f"{case.checkpoint} states {key}, but the configuration overrides it with {value}."
        for key, value in [
            ("template = 'qwen_chat'", "'internlm2_chat'"),
            ("llm_lora.use_rslora = True", "False"),
        ]
    ]
    name = "language_model.model.layers.0.self_attn.q_proj.weight"
    base = load_file(case.base_mllm / "model.safetensors")[name].float()
    written = load_file(tmp_path / "out/model.safetensors")[name]
    torch.testing.assert_close(written - base, (case.expected[name] - base) / 3**0.5, rtol=1e-5, atol=1e-6)


def test_tensors_are_left_out_where_they_are_named_and_recorded(tmp_path):
    case = CaseWriter(tmp_path / "layers", QWEN2).train_lora(KINDS["vision encoder"])
    content = torch.load(case.checkpoint, weights_only=True)
    content["state_dict"] |= {"ema.decay": torch.ones(1), "ema.steps": torch.ones(1, dtype=torch.int64)}
    torch.save(content, case.checkpoint)
    with pytest.raises(UserError, match=r"holds ema\.decay, which has no place"):
        case.convert(tmp_path / "out", leave_out=["ema.steps"])
    report = case.convert(tmp_path / "out", leave_out=["ema.*"])
    assert_is_expected(tmp_path / "out", case.expected)
    assert report["layers"]["trained"]["left_out"] == ["ema.decay", "ema.steps"]
    assert report["warnings"] == ["2 tensors of the layer trained are left out, among them ema.decay."]
    with pytest.raises(UserError, match=r"matches 'typo\.\*', which leave_out names; remove it"):
        case.convert(tmp_path / "out", leave_out=["ema.*", "typo.*"])


def test_an_unknown_template_is_refused_at_conversion(tmp_path):
    case = CaseWriter(tmp_path / "layers", QWEN2).train_lora(KINDS["vision encoder"])
    with pytest.raises(
        UserError, match=r"iter_1\.pth on .*template 'vicuna' is unknown; known are qwen_chat"
    ):
        case.convert(tmp_path / "out", overrides={"template": "vicuna"})
    assert not (tmp_path / "out").exists()


def test_pytorch_weights_of_the_base_give_the_same_model(tmp_path):
    case = CaseWriter(tmp_path / "layers", QWEN2).train_lora(KINDS["vision encoder"])
    before = case.convert(tmp_path / "before")
    torch.save(load_file(case.base_mllm / "model.safetensors"), case.base_mllm / "pytorch_model.bin")
    (case.base_mllm / "model.safetensors").unlink()
    assert case.convert(tmp_path / "after")["identity"] == before["identity"]
