"""Layers of a Qwen-VL's training: names from transformers and peft, values from the definition of LoRA."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from PIL import Image
from safetensors.torch import load_file, save_file
from small_sizes import SAM2
from stages import convert_checkpoint, segment_shard
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from refvessel.checkpoint.link import link_checkpoint
from refvessel.checkpoint.official_folder import read_official_folder
from refvessel.errors import UserError
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.naming import SAM2_PREFIX
from refvessel.model.official_tensors import official_shapes
from refvessel.model.processing import Sa2VAProcessor

SA2VA_TOKENS = ["[SEG]", "<p>", "</p>", "<vp>", "</vp>"]
CHAT_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
CHAT_TOKENS += ["<|image_pad|>", "<|video_pad|>"]
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
TOKENS = len(BYTES) + len(CHAT_TOKENS)
PADDED = 128 * 3  # rows of the published vocabulary, more than it has tokens
IDS = {token: len(BYTES) + number for number, token in enumerate(CHAT_TOKENS)}
TEXT = {
    "vocab_size": PADDED,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_theta": 1e6,
    "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
}
VISION = {"depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "out_hidden_size": 32}
OF_THE_WHOLE = {
    "image_token_id": IDS["<|image_pad|>"],
    "video_token_id": IDS["<|video_pad|>"],
    "vision_start_token_id": IDS["<|vision_start|>"],
    "vision_end_token_id": IDS["<|vision_end|>"],
}
KINDS: dict[str, Any] = {
    "qwen2_5_vl": (
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLConfig,
        {},
        {"patch_size": 14, "window_size": 112, "fullatt_block_indexes": [1]},
    ),
    "qwen3_vl": (
        Qwen3VLForConditionalGeneration,
        Qwen3VLConfig,
        {"head_dim": 8, "rope_scaling": {"rope_type": "default", "mrope_section": [1, 1, 2]}},
        {"patch_size": 16, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]},
    ),
}
RANK, ALPHA = 3, 5
LAYERS = r".*language_model\.layers.*\.(q|k|v|o|gate|up|down)_proj"
CONFIG = (
    "template = 'qwen_chat'\nspecial_tokens = {tokens}\n"
    "model = dict(mllm=dict(llm_lora=dict(type='peft.LoraConfig', r={rank}, lora_alpha={alpha})))\n"
)
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}"
    "{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(BYTES)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(CHAT_TOKENS)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": "<|im_end|>", "chat_template": CHAT})
    )


def older_name(name: str) -> str:
    """What transformers called a tensor before 4.52."""
    return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")


@dataclass
class Case:
    """Layers on disk, and the Qwen-VL's tensors that their conversion must give, by their official names."""

    folder: Path
    expected: dict[str, torch.Tensor]

    def convert(self, output: Path, **changes: Any) -> dict[str, Any]:
        layers = {name: self.folder / name for name in ("base_mllm", "sam2", "checkpoint")}
        return convert_checkpoint(**layers | {"dtype": "float32"} | changes, output=output)

    def assert_converted(self, folder: Path) -> None:
        written = load_file(folder / "model.safetensors")
        others = load_file(self.folder / "others.safetensors")
        assert written.keys() == (self.expected | others).keys()
        for name, tensor in (self.expected | others).items():
            torch.testing.assert_close(written[name], tensor.float(), rtol=0, atol=1e-6, msg=name)


def write_case(folder: Path, kind: str, *, tied: bool = False, older: bool = False, **lora: Any) -> Case:
    """A base model, SAM2, and what a training left of which peft wraps the whole Qwen-VL.

    Args:
        folder: where to.
        kind: a key of KINDS.
        tied: whether the base's output layer is that of its embeddings.
        older: whether configuration and names of the base are those of transformers before 4.52.
        lora: further settings of LoRA; `names` are mmengine's or peft's.
    """
    torch.manual_seed(0)
    model_class, config_class, text, vision = KINDS[kind]
    names = lora.pop("names", "mmengine")
    text, vision = TEXT | text, VISION | vision
    sections = {"text_config": text | {"tie_word_embeddings": tied}, "vision_config": vision}
    model = model_class(config_class(**OF_THE_WHOLE, **sections, tie_word_embeddings=tied))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((0.2 * torch.randn_like(parameter)).bfloat16())
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    base, before = folder / "base_mllm", {name: each.clone() for name, each in model.state_dict().items()}
    base.mkdir(parents=True)
    stated = {"model_type": kind, "architectures": [model_class.__name__], "tie_word_embeddings": tied}
    stated["grounding_encoder_config"] = SAM2
    if older:
        content = stated | OF_THE_WHOLE | text | {"vision_config": vision}
    else:
        parts = {"text_config": {"model_type": f"{kind}_text"} | sections["text_config"]}
        content = stated | OF_THE_WHOLE | parts | {"vision_config": {"model_type": kind} | vision}
    (base / "config.json").write_text(json.dumps(content))
    save_file(
        {
            older_name(name) if older else name: each.bfloat16().contiguous()
            for name, each in before.items()
            if not (tied and name == "lm_head.weight")
        },
        base / "model.safetensors",
    )
    write_tokenizer(base)
    preprocessor = {"patch_size": vision["patch_size"], "merge_size": 2, "temporal_patch_size": 2}
    preprocessor |= {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.25, 0.26, 0.27]}
    (base / "preprocessor_config.json").write_text(json.dumps(preprocessor))

    model.resize_token_embeddings(TOKENS + len(SA2VA_TOKENS), mean_resizing=False)
    settings = {"r": RANK, "lora_alpha": ALPHA, "target_modules": LAYERS} | lora
    if tied:
        model.config.tie_word_embeddings = model.config.text_config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    wrapped = get_peft_model(model, LoraConfig(**settings))
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.3)
    state = wrapped.state_dict()
    if names == "peft":
        trained = get_peft_model_state_dict(wrapped)
    else:
        trained = {name: state[name] for name, each in wrapped.named_parameters() if each.requires_grad}
    expected = {}
    for name, tensor in before.items():
        inner = f"base_model.model.{name.removesuffix('.weight')}"
        value = tensor[: TOKENS + len(SA2VA_TOKENS)] if tensor.shape[0] == PADDED else tensor
        if f"{inner}.lora_A.default.weight" in state:
            a, b = (state[f"{inner}.lora_{part}.default.weight"] for part in "AB")
            value = value + ALPHA / RANK * b @ a
        if f"{inner}.modules_to_save.default.weight" in state:
            value = state[f"{inner}.modules_to_save.default.weight"]
        expected[f"model.{name}"] = value.detach().clone()
    write_others(
        folder, content, {f"mllm.model.{name}": each.detach().clone() for name, each in trained.items()}
    )
    return Case(folder, expected)


def write_others(folder: Path, config: dict, trained: dict[str, torch.Tensor]) -> None:
    """SAM2, Sa2VA's own part, and the training checkpoint that holds it."""
    official = config | {"model_type": "sa2va_chat", "template": "qwen_chat"}
    others = {
        name: torch.randn(shape)
        for name, shape in official_shapes(official).items()
        if not name.startswith("model.")
    }
    save_file(others, folder / "others.safetensors")
    sam2 = {
        name.removeprefix(SAM2_PREFIX).replace(".g_weight", ".gamma"): each
        for name, each in others.items()
        if name.startswith(SAM2_PREFIX)
    }
    torch.save({"model": sam2}, folder / "sam2")
    own = {name: each for name, each in others.items() if name.startswith("text_hidden_fcs.")}
    text = CONFIG.format(tokens=SA2VA_TOKENS, rank=RANK, alpha=ALPHA)
    torch.save({"state_dict": trained | own, "meta": {"cfg": text}}, folder / "checkpoint")


BOTH = {"modules_to_save": ["embed_tokens", "lm_head"]}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("qwen2_5_vl", BOTH),
        ("qwen2_5_vl", BOTH | {"older": True, "names": "peft", "tied": True}),
        ("qwen3_vl", BOTH | {"tied": True}),
        ("qwen3_vl", {"names": "peft"}),
    ],
    ids=["2.5", "2.5 older, tied, peft's names", "3 tied", "3 peft's names, embeddings untrained"],
)
def test_the_layers_are_merged_as_lora_is_defined(kind, options, tmp_path):
    case = write_case(tmp_path / "layers", kind, **options)
    report = case.convert(tmp_path / "out")
    case.assert_converted(tmp_path / "out")
    assert report["sources"]["lora_merged"] == 14
    assert not [entry for entry in report["layers"].values() if entry["left_out"]]
    padded = f"model.safetensors holds {{}} with {PADDED} rows"
    told = [warning for warning in report["warnings"] if "rows, of which the tokenizer's" in warning]
    assert len(told) == ("modules_to_save" not in options), padded
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["architectures"] == ["Sa2VAChatModelQwen"]
    assert config["model_type"] == "sa2va_chat"
    assert config["text_config"]["vocab_size"] == TOKENS + len(SA2VA_TOKENS)
    assert config["tie_word_embeddings"] is config["text_config"]["tie_word_embeddings"] is False
    assert read_official_folder(tmp_path / "out").tensors.keys() == report["tensors"].keys()


@pytest.fixture(scope="module", params=KINDS)
def converted(request, tmp_path_factory) -> tuple[Case, Path]:
    folder = tmp_path_factory.mktemp("converted")
    case = write_case(folder / "layers", request.param, **BOTH, older=request.param == "qwen2_5_vl")
    case.convert(folder / "out")
    return case, folder / "out"


def test_a_converted_model_segments(converted, tree, tmp_path):
    _, folder = converted
    segment_shard(
        model=folder,
        dataset=tree,
        split="test",
        output=tmp_path / "all.jsonl",
        device="cpu",
        max_new_tokens=4,
    )
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    assert {line["status"] for line in lines} <= {"ok", "no_seg"}


def test_a_converted_model_is_what_transformers_computes_of_the_expected_tensors(converted):
    case, folder = converted
    kind = json.loads((folder / "config.json").read_text())["vision_config"].get("model_type", "qwen2_5_vl")
    model_class, config_class, text, vision = KINDS[kind]
    settings = TEXT | text | {"vocab_size": TOKENS + len(SA2VA_TOKENS)}
    plain = model_class(config_class(**OF_THE_WHOLE, text_config=settings, vision_config=VISION | vision))
    plain.load_state_dict({name.removeprefix("model."): each for name, each in case.expected.items()})
    ids = torch.tensor([[3, 9, 4, 11, 6, 2]])
    loaded = Sa2VAModel.load(folder, dtype=torch.float32)
    with torch.inference_mode():
        expected = plain.eval()(input_ids=ids).logits
        states = loaded.language_model.model(inputs_embeds=loaded.language_model.model.embed_tokens(ids))
        logits = loaded.language_model.lm_head(states.last_hidden_state)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_the_folder_has_the_bases_processor_with_the_new_tokens(converted):
    case, folder = converted
    for name in ("preprocessor_config.json",):
        assert (folder / name).read_bytes() == (case.folder / "base_mllm" / name).read_bytes()
    processor = Sa2VAProcessor.from_pretrained(folder)
    assert processor.seg_token_id == TOKENS
    image = processor.process_image(Image.new("RGB", (64, 64)))
    assert image.whole.shape == (3, 256, 256)


def test_it_is_linked_with_the_same_identity(converted, tmp_path):
    _, folder = converted
    record = json.loads((folder / "conversion.json").read_text())
    assert link_checkpoint(folder=folder, output=tmp_path / "linked")["identity"] == record["identity"]
    assert Sa2VAProcessor.from_pretrained(tmp_path / "linked").seg_token_id == TOKENS


@pytest.mark.parametrize("prefix", ["", "model."], ids=["of the Qwen-VL", "of the whole Sa2VA"])
def test_an_adapter_of_it_goes_on_the_official_folder(prefix, converted, tmp_path):
    _, folder = converted
    base = load_file(folder / "model.safetensors")
    inner = "model.language_model.layers.1.mlp.up_proj"
    a, b = torch.randn(2, 32), torch.randn(40, 2)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    of_layer = f"base_model.model.{prefix}{inner.replace('1.mlp', '{}.mlp')}.lora_{{}}.weight"
    factors = {of_layer.format(1, "A"): a, of_layer.format(1, "B"): b}
    factors |= {of_layer.format(0, "A"): 0 * a, of_layer.format(0, "B"): 0 * b}
    save_file(factors, adapter / "adapter_model.safetensors")
    stated = {"peft_type": "LORA", "r": 2, "lora_alpha": 8, "target_modules": LAYERS}
    (adapter / "adapter_config.json").write_text(json.dumps(stated))
    report = convert_checkpoint(folder=folder, checkpoint=adapter, output=tmp_path / "out", dtype="float32")
    written = load_file(tmp_path / "out/model.safetensors")
    changed = f"model.{inner}.weight"
    torch.testing.assert_close(written[changed], base[changed] + 4 * b @ a)
    assert all(torch.equal(each, base[name]) for name, each in written.items() if name != changed)
    assert report["sources"] == {"lora_merged": 2, "official": len(base) - 2}
    (told,) = report["warnings"]
    assert told.startswith(f"The LoRA update of model.{inner.replace('1.mlp', '0.mlp')}.weight is zero")
    assert Sa2VAProcessor.from_pretrained(tmp_path / "out").seg_token_id == TOKENS


def retrained(case: Case, change) -> None:
    content = torch.load(case.folder / "checkpoint", weights_only=True)
    change(content["state_dict"])
    torch.save(content, case.folder / "checkpoint")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Case:
    """Layers of a base whose output layer is its embeddings, of which training trained neither."""
    return write_case(tmp_path_factory.mktemp("trained") / "layers", "qwen3_vl", tied=True)


@pytest.fixture
def case(trained, tmp_path) -> Case:
    """The same, free to be changed."""
    return Case(Path(shutil.copytree(trained.folder, tmp_path / "layers")), trained.expected)


def test_embeddings_that_were_not_trained_are_the_bases_twice(case, tmp_path):
    report = case.convert(tmp_path / "out")
    case.assert_converted(tmp_path / "out")
    assert report["layers"]["base_mllm"]["superseded"] == []


PREFIX = "mllm.model.base_model.model.model."


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda state: state.update({f"{PREFIX}visual.extra.weight": torch.ones(1)}), "which has no place"),
        (
            lambda state: state.pop(
                f"{PREFIX}language_model.layers.1.self_attn.q_proj.lora_A.default.weight"
            ),
            "without its other LoRA factor",
        ),
        (
            lambda state: [state.pop(name) for name in [*state] if "layers.1.mlp.up_proj" in name],
            r"no LoRA factors of model\.model\.language_model\.layers\.1\.mlp\.up_proj\.weight",
        ),
        (
            lambda state: [state.pop(name) for name in [*state] if "lora_" in name],
            "states llm_lora in its training config but holds no LoRA factors",
        ),
        (
            lambda state: state[
                f"{PREFIX}language_model.layers.1.self_attn.q_proj.lora_A.default.weight"
            ].fill_(float("nan")),
            "holds NaN",
        ),
        (
            lambda state: state.pop("text_hidden_fcs.0.weight"),
            r"No layer .* holds text_hidden_fcs\.0\.weight",
        ),
    ],
)
def test_what_is_not_whole_is_refused(change, sentence, case, tmp_path):
    retrained(case, change)
    with pytest.raises(UserError, match=sentence) as caught:
        case.convert(tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


EMBEDDING = torch.ones(TOKENS + len(SA2VA_TOKENS), 32)


def test_saved_embeddings_of_a_tied_base_without_the_output_layer_are_refused(case, tmp_path):
    saved = f"{PREFIX}language_model.embed_tokens.modules_to_save.default.weight"
    retrained(case, lambda state: state.update({saved: EMBEDDING}))
    with pytest.raises(UserError, match=r"no model\.lm_head\.weight; save both"):
        case.convert(tmp_path / "out")


def test_full_fine_tuning_of_a_tied_base_gives_both(case, tmp_path):
    whole = {"mllm.model.model.language_model.embed_tokens.weight": EMBEDDING}
    retrained(case, lambda state: state.update(whole))
    case.convert(tmp_path / "out")
    written = load_file(tmp_path / "out/model.safetensors")
    assert torch.equal(written["model.lm_head.weight"], EMBEDDING)
    assert torch.equal(written["model.model.language_model.embed_tokens.weight"], EMBEDDING)
