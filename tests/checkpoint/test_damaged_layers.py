"""Layers with a hole, with numbers that are none, with the names of other savers, or that were never fetched."""

import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from refvessel.checkpoint.link import link_checkpoint
from refvessel.errors import UserError

LAYER = "mllm.model.language_model.base_model.model.model.layers.1"
HEAD = "mllm.model.language_model.base_model.model.lm_head.modules_to_save.default.weight"
EMBEDDING = "mllm.model.language_model.base_model.model.model.embed_tokens.modules_to_save.default.weight"


def without(part: str):
    def change(content):
        weights = content["state_dict"]
        found = [name for name in weights if "lora_" in name and part in name]
        assert found
        for name in found:
            del weights[name]

    return change


@pytest.mark.parametrize("part", [".layers.1.", ".layers.0.self_attn.k_proj.", ".layers.2.mlp.down_proj."])
def test_factors_that_one_layer_lost_are_named(part, demo_case):
    assert f"language_model.model{part}" in demo_case.refusal(checkpoint=demo_case.trained(without(part)))


def with_setting(setting: str):
    def change(content):
        content["meta"]["cfg"] = content["meta"]["cfg"].replace("r=8,", f"r=8, {setting},")

    return change


def both(*changes):
    return lambda content: [change(content) for change in changes]


@pytest.mark.parametrize(
    "setting", ["layers_to_transform=[0, 2]", "exclude_modules=['model.layers.1.mlp.up_proj']"]
)
def test_factors_that_the_training_config_leaves_out_are_no_gap(setting, demo_case):
    part = ".layers.1." if "layers_to" in setting else ".layers.1.mlp.up_proj."
    report, _ = demo_case.convert(checkpoint=demo_case.trained(both(with_setting(setting), without(part))))
    assert report["warnings"] == []


def test_an_expression_that_chooses_modules_is_not_evaluated_but_a_gap_is_told(demo_case):
    change = both(with_setting("target_modules='(a+)+$'"), without(".layers.1."))
    report, _ = demo_case.convert(checkpoint=demo_case.trained(change))
    assert "not evaluated" in report["warnings"][0]


def test_a_module_that_the_training_config_names_has_factors(demo_case):
    change = both(with_setting("target_modules=['q_proj', 'k_proj']"), without("k_proj"))
    assert "self_attn.k_proj" in demo_case.refusal(checkpoint=demo_case.trained(change))


def fully_tuned(*lost: str):
    """Plain weights of all layers of the language model but those whose names begin so."""

    def change(content):
        without("lora_")(content)
        content["meta"]["cfg"] = content["meta"]["cfg"].replace("llm_lora=dict(", "unused=dict(")
        weights = load_file(change.base / "model.safetensors")
        content["state_dict"] |= {
            f"mllm.model.{name}": tensor.float()
            for name, tensor in weights.items()
            if name.startswith("language_model.model.layers.")
            and not name.startswith(tuple(f"language_model.model.layers.{each}" for each in lost))
        }

    return change


@pytest.mark.parametrize("lost", ["1.", "2.", "0.mlp.up_proj"])
def test_plain_weights_that_one_layer_lost_are_named(lost, demo_case):
    change = fully_tuned(lost)
    change.base = demo_case.layers["base_mllm"]
    assert f"language_model.model.layers.{lost}" in demo_case.refusal(checkpoint=demo_case.trained(change))


def test_first_layers_that_were_frozen_are_a_warning(demo_case):
    change = fully_tuned("0.")
    change.base = demo_case.layers["base_mllm"]
    report, _ = demo_case.convert(checkpoint=demo_case.trained(change))
    assert "language_model.model.layers.0." in report["warnings"][0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "name",
    [
        f"{LAYER}.mlp.up_proj.lora_B.default.weight",
        "text_hidden_fcs.2.bias",
        EMBEDDING,
        "mllm.model.mlp1.1.weight",
    ],
)
def test_a_number_that_is_not_finite_is_named_before_anything_is_written(value, name, demo_case):
    def spoil(content):
        content["state_dict"][name].view(-1)[-1] = value

    assert f"in {name}" in demo_case.refusal(checkpoint=demo_case.trained(spoil))


def test_other_layers_are_searched_too(demo_case):
    base = shutil.copytree(demo_case.layers["base_mllm"], demo_case.folder / "base")
    weights = load_file(base / "model.safetensors")
    weights["vision_model.embeddings.class_embedding"].view(-1)[0] = math.nan
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    assert "NaN in vision_model.embeddings.class_embedding" in demo_case.refusal(base_mllm=base)
    sam2 = torch.load(demo_case.layers["sam2"])
    sam2["model"]["no_mem_embed"][0, 0, 0] = math.inf
    torch.save(sam2, demo_case.folder / "sam2.pt")
    assert "an infinity in no_mem_embed" in demo_case.refusal(sam2=demo_case.folder / "sam2.pt")
    torch.save({"mlp1.0.bias": torch.full((1,), math.nan)}, demo_case.folder / "first.pth")
    assert demo_case.refusal(pretrained=demo_case.folder / "first.pth")


@pytest.mark.parametrize(("factor", "dtype"), [(1e20, "float32"), (1e20, "bfloat16")])
def test_an_overflow_of_the_merge_is_found_before_anything_is_written(factor, dtype, demo_case):
    def enlarge(content):
        for side in "AB":
            content["state_dict"][f"{LAYER}.mlp.up_proj.lora_{side}.default.weight"].fill_(factor)

    sentence = demo_case.refusal(checkpoint=demo_case.trained(enlarge), dtype=dtype)
    assert "the merged language_model.model.layers.1.mlp.up_proj.weight" in sentence


def test_an_overflow_of_a_narrower_dtype_is_found(demo_case):
    def enlarge(content):
        bias = content["state_dict"]["text_hidden_fcs.2.bias"]
        content["state_dict"]["text_hidden_fcs.2.bias"] = torch.full_like(bias, 3.4e38)

    checkpoint = demo_case.trained(enlarge)
    assert "text_hidden_fcs.2.bias in bfloat16" in demo_case.refusal(checkpoint=checkpoint, dtype="bfloat16")
    demo_case.convert(checkpoint=checkpoint)


def renamed(function):
    def change(content):
        content["state_dict"] = {function(name): tensor for name, tensor in content["state_dict"].items()}

    return change


@pytest.mark.parametrize(
    "wrap",
    [
        lambda name: f"module.{name}",
        lambda name: f"_orig_mod.module.{name}",
        lambda name: name.replace("mllm.model.", "mllm.model._orig_mod.", 1),
        lambda name: name.replace(".layers.1.", ".layers.1._fsdp_wrapped_module._checkpoint_wrapped_module."),
        lambda name: name.replace("grounding_encoder.", "grounding_encoder.module."),
    ],
)
def test_names_of_wrappers_are_seen_through(wrap, demo_case, plain):
    _, same = demo_case.convert(checkpoint=demo_case.trained(renamed(wrap)))
    assert all(torch.equal(same[name], tensor) for name, tensor in plain.items())


@pytest.mark.parametrize("multiple", [8, 64, 256])
def test_the_padding_of_a_vocabulary_is_left_out_and_told(multiple, demo_case, plain):
    def pad(content):
        for name in (HEAD, EMBEDDING):
            rows = content["state_dict"][name]
            more = -len(rows) % multiple or multiple
            content["state_dict"][name] = torch.cat([rows, torch.ones(more, *rows.shape[1:])])

    report, same = demo_case.convert(checkpoint=demo_case.trained(pad))
    assert all(torch.equal(same[name], tensor) for name, tensor in plain.items())
    assert "the padding is left out" in report["warnings"][0]


def test_a_whole_sa2va_as_the_official_tool_saves_it_is_read(demo_case, plain):
    def official(name: str) -> str:
        name = (
            f"mllm.model.{name}" if name.startswith(("vision_model.", "language_model.", "mlp1.")) else name
        )
        return name.replace(".g_weight", ".gamma")

    whole = {official(name): tensor for name, tensor in plain.items()}
    assert any(name.endswith(".gamma") for name in whole)
    torch.save(whole, demo_case.folder / "whole.pth")
    overrides = {"template": "qwen_chat", "special_tokens": ["[SEG]", "<p>", "</p>", "<vp>", "</vp>"]}
    _, alone = demo_case.convert(checkpoint=demo_case.folder / "whole.pth", sam2=None, overrides=overrides)
    assert all(torch.equal(alone[name], tensor) for name, tensor in plain.items())
    report, _ = demo_case.convert(pretrained=demo_case.folder / "whole.pth")
    assert report["sources"]["pretrained"]


POINTERS = {
    "git-LFS": "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 4975603\n",
    "git-annex": "/annex/objects/SHA256E-s4975603--" + "0" * 64 + ".pt\n",
}


@pytest.mark.parametrize("system", POINTERS)
@pytest.mark.parametrize(
    "layer", ["sam2", "checkpoint", "pretrained", "model.safetensors", "tokenizer.json", "merges.txt"]
)
def test_a_pointer_in_the_place_of_a_file_is_called_so(layer, system, demo_case):
    if "." in layer:
        base = shutil.copytree(demo_case.layers["base_mllm"], demo_case.folder / "base")
        (base / layer).write_text(POINTERS[system])
        sentence, name = demo_case.refusal(base_mllm=base), layer
    else:
        pointer = demo_case.folder / f"{layer}.pth"
        pointer.write_text(POINTERS[system])
        sentence, name = demo_case.refusal(**{layer: pointer}), pointer.name
    assert name in sentence
    assert f"pointer of {system}" in sentence


@pytest.mark.parametrize("number", ["9" * 4301, "1e400", "NaN"])
def test_numbers_beyond_bounds_in_a_base_configuration_are_refused(number, demo_case):
    base = shutil.copytree(demo_case.layers["base_mllm"], demo_case.folder / "base")
    text = (base / "config.json").read_text()
    assert '"llm_config": {' in text
    (base / "config.json").write_text(text.replace('"llm_config": {', f'"llm_config": {{"a": {number}, ', 1))
    assert "config.json" in demo_case.refusal(base_mllm=base)


def test_a_linked_folder_keeps_card_licence_and_generation_settings_but_no_number_that_is_none(demo_case):
    demo_case.convert()
    official = shutil.copytree(demo_case.folder / "place/out", demo_case.folder / "official")
    (official / "conversion.json").unlink()
    for name in ("README.md", "LICENSE", "NOTICE.txt", "adapter_config.json", "evil.py"):
        (official / name).write_text("{}")
    report = link_checkpoint(folder=official, output=demo_case.folder / "linked")
    linked = {path.name for path in (demo_case.folder / "linked").iterdir()}
    assert {"README.md", "LICENSE", "NOTICE.txt", "generation_config.json"} <= linked
    assert not {"adapter_config.json", "evil.py"} & linked
    (official / "README.md").write_text("another card")
    assert (
        link_checkpoint(folder=official, output=demo_case.folder / "linked")["identity"] == report["identity"]
    )
    weights = load_file(official / "model.safetensors")
    weights["mlp1.0.bias"][0] = math.nan
    save_file(weights, official / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"NaN in mlp1\.0\.bias"):
        link_checkpoint(folder=official, output=demo_case.folder / "linked")


def test_a_converted_folder_has_generation_settings(demo_case):
    demo_case.convert()
    settings = json.loads((demo_case.folder / "place/out/generation_config.json").read_text())
    added = json.loads((demo_case.folder / "place/out/tokenizer_config.json").read_text())[
        "added_tokens_decoder"
    ]
    assert "<|im_end|>" in {added[str(index)]["content"] for index in settings["eos_token_id"]}
    base = shutil.copytree(demo_case.layers["base_mllm"], demo_case.folder / "base")
    (base / "generation_config.json").write_text('{"eos_token_id": [3], "max_new_tokens": 7}')
    demo_case.convert(base_mllm=base)
    kept = json.loads((demo_case.folder / "place/out/generation_config.json").read_text())
    assert kept == {"eos_token_id": [3], "max_new_tokens": 7}
