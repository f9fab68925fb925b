"""A model folder is another person's: nothing in it chooses code, files or an endless computation."""

import builtins
import json
import os
import shutil
import time

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from refvessel.checkpoint.official_folder import read_official_folder
from refvessel.errors import UserError
from refvessel.model.configuration import read_config
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor

ONE_TILE = (((16, 16),),)


def load(folder):
    return Sa2VAModel.load(folder, dtype=torch.float32)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def folder(demo_model, tmp_path):
    """The demo's model, free to be changed."""
    copy = shutil.copytree(demo_model, tmp_path / "model")
    (copy / "conversion.json").unlink()
    return copy


def test_an_adapter_in_the_folder_is_not_applied(write_folder, official_tensors, random_model):
    folder = write_folder(official_tensors)
    adapter = get_peft_model(
        load(folder), LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    )
    adapter.save_pretrained(folder)
    assert (folder / "adapter_config.json").exists()
    again = load(folder)
    assert not any("lora" in name for name in again.state_dict())
    for name, tensor in random_model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


KERNEL = "kernels-community/flash-attn"


@pytest.mark.parametrize(
    "settings",
    [
        {"attn_implementation": KERNEL},
        {"_attn_implementation": KERNEL, "_attn_implementation_internal": KERNEL},
        {"experts_implementation": KERNEL, "use_kernels": True, "kernel_config": {"RMSNorm": KERNEL}},
        {"fusion_config": {"patch_embeddings": True}},
        {"transformers_weights": "other.safetensors"},
        {
            "tp_plan": "auto",
            "base_model_tp_plan": {"layers.*": "colwise"},
            "distributed_config": {"tp_size": 2},
        },
        {"torch_dtype": "hub", "dtype": "load"},
        {"_name_or_path": "somebody/else", "name_or_path": "somebody/else", "_commit_hash": "0"},
        {"per_layer_config": {"0": {"hidden_size": 3}}},
        {"auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "somebody/else--evil.M"}},
    ],
)
@pytest.mark.parametrize("part", [None, "llm_config", "vision_config"])
def test_a_setting_that_transformers_would_act_on_does_nothing(
    part, settings, config, write_folder, official_tensors, random_model
):
    folder = write_folder(official_tensors)
    edit(folder / "config.json", lambda content: (content[part] if part else content).update(settings))
    model = load(folder)
    for each in (model.config, model.config.llm_config, model.config.vision_config):
        assert "kernels-community" not in str(each.to_dict())
        assert each._attn_implementation in ("sdpa", "eager", None)
    assert torch.equal(
        model.state_dict()["text_hidden_fcs.0.bias"], random_model.state_dict()["text_hidden_fcs.0.bias"]
    )


@pytest.mark.parametrize("part", [None, "llm_config"])
def test_quantisation_in_the_configuration_is_refused(part, write_folder, official_tensors):
    folder = write_folder(official_tensors)
    stated = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    edit(folder / "config.json", lambda content: (content[part] if part else content).update(stated))
    with pytest.raises(UserError, match="quantization_config is stated"):
        load(folder)


def test_settings_of_a_tokenizer_choose_no_class_and_no_file(folder):
    ids = Sa2VAProcessor.from_pretrained(folder).prompt_ids("<image>\nvessel", ONE_TILE)
    for path in (
        "evil.py",
        "tokenizer.4.0.0.json",
        "custom_generate/generate.py",
        "additional_chat_templates/a.jinja",
    ):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text("raise SystemExit")
    (folder / "processor_config.json").write_text('{"auto_map": {"AutoProcessor": "evil.P"}}')
    (folder / "chat_template.jinja").write_text("{% for i in range(10**9) %}{% endfor %}{{ '' | unknown }}")
    evil = {
        "tokenizer_class": "evil.Tokenizer",
        "auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]},
        "fast_tokenizer_files": ["tokenizer.4.0.0.json"],
        "tokenizer_file": "/etc/hostname",
        "vocab_file": "/etc/hostname",
        "trust_remote_code": True,
        "init_inputs": [1, 2],
        "tokenizer_object": 3,
        "chat_template": "{{ 1 / 0 }}",
    }
    edit(folder / "tokenizer_config.json", lambda content: content.update(evil))
    assert Sa2VAProcessor.from_pretrained(folder).prompt_ids("<image>\nvessel", ONE_TILE) == ids


def test_of_a_folder_no_file_is_opened_but_those_of_known_names(folder, monkeypatch):
    (folder / "adapter_config.json").write_text("{}")
    (folder / "generation_config.json").write_text("{")
    opened, original = set(), builtins.open

    def watched(file, *arguments, **options):
        opened.add(str(file))
        return original(file, *arguments, **options)

    monkeypatch.setattr(builtins, "open", watched)
    load(folder)
    Sa2VAProcessor.from_pretrained(folder)
    here = [name for name in opened if str(folder) in name or "refvessel-" in name]
    assert here
    assert not [name for name in here if "adapter" in name or "generation" in name or ".jinja" in name]


@pytest.mark.parametrize(
    ("part", "settings", "sentence"),
    [
        (
            None,
            {"max_dynamic_patch": 10**8},
            "max_dynamic_patch is 100000000, not a whole number from 1 to 128",
        ),
        (None, {"max_dynamic_patch": 0}, "max_dynamic_patch is 0"),
        (None, {"max_dynamic_patch": None}, "max_dynamic_patch is None"),
        (None, {"min_dynamic_patch": 13}, "above max_dynamic_patch"),
        (None, {"force_image_size": 448.5}, "force_image_size"),
        (None, {"use_thumbnail": "yes"}, "use_thumbnail"),
        (None, {"template": ["qwen_chat"]}, "template"),
        (None, {"llm_config": []}, "llm_config"),
        ("llm_config", {"num_hidden_layers": 10**8}, "llm_config.num_hidden_layers is 100000000"),
        ("llm_config", {"vocab_size": 10**4000}, "llm_config.vocab_size"),
        ("llm_config", {"hidden_size": True}, "llm_config.hidden_size"),
        ("llm_config", {"num_attention_heads": -1}, "llm_config.num_attention_heads"),
        ("llm_config", {"hidden_act": "unheard_of"}, "no model that can be built"),
        ("llm_config", {"rope_scaling": {"rope_type": "unheard_of"}}, "no model that can be built"),
        ("llm_config", {"rope_theta": 0}, "llm_config.rope_theta is 0, not above 0"),
        ("vision_config", {"num_hidden_layers": 10**8}, "vision_config.num_hidden_layers"),
        ("vision_config", {"patch_size": 0}, "vision_config.patch_size"),
        ("grounding_encoder_config", {"stages": [1, 1, 10**8, 1]}, "grounding_encoder_config.stages"),
        ("grounding_encoder_config", {"stages": "1112"}, "grounding_encoder_config.stages"),
        ("grounding_encoder_config", {"memory_attention_layers": 10**8}, "memory_attention_layers"),
        ("grounding_encoder_config", {"num_heads": 5}, "embed_dim is .*, no multiple of 5"),
        ("grounding_encoder_config", {"image_size": 1000}, "image_size is 1000, no multiple of 32"),
        ("grounding_encoder_config", {"global_att_blocks": [999]}, "names block 999"),
    ],
)
def test_what_a_configuration_may_ask_for_is_bounded(part, settings, sentence, folder):
    edit(folder / "config.json", lambda content: (content[part] if part else content).update(settings))
    begin = time.monotonic()
    with pytest.raises(UserError, match=sentence):
        read_official_folder(folder)
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize("number", ["9" * 5000, "1e400", "-Infinity", "NaN"])
def test_a_number_that_is_none_is_refused(number, folder):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(
        text.replace('"llm_config": {', f'"llm_config": {{"rms": {number}, ', 1)
    )
    with pytest.raises(UserError, match=r"config\.json"):
        read_config(folder)


def with_index(content):
    def damage(folder):
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors.index.json").write_text(json.dumps(content))

    return damage


def pipe(path):
    path.unlink()
    os.mkfifo(path)


DAMAGES = {
    "a list for a configuration": lambda folder: (folder / "config.json").write_text("[]"),
    "deep": lambda folder: (folder / "config.json").write_text("[" * 100_000),
    "no text": lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\x00"),
    "shards elsewhere": with_index({"weight_map": {"mlp1.0.bias": "../../secret.safetensors"}}),
    "a shard of a long name": with_index({"weight_map": {"mlp1.0.bias": "a" * 5000}}),
    "a shard with a NUL in its name": with_index({"weight_map": {"mlp1.0.bias": "a\0.safetensors"}}),
    "a pipe for weights": lambda folder: pipe(folder / "model.safetensors"),
    "a pipe for a configuration": lambda folder: pipe(folder / "config.json"),
    "a shard that is a number": with_index({"weight_map": {"mlp1.0.bias": 3}}),
    "no index": with_index([]),
    "empty weights": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "another shape": lambda folder: save_file({"mlp1.0.bias": torch.ones(3)}, folder / "model.safetensors"),
    "no tokenizer": lambda folder: (folder / "tokenizer_config.json").unlink(),
    "an empty tokenizer": lambda folder: (folder / "tokenizer.json").write_text("{}"),
    "merges of one": lambda folder: edit(
        folder / "tokenizer.json", lambda content: content["model"].update(merges=[["a"]])
    ),
    "a tokenizer that says nothing": lambda folder: edit(
        folder / "tokenizer.json",
        lambda content: content.update(
            post_processor={"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}}
        ),
    ),
    "a length that is text": lambda folder: edit(
        folder / "tokenizer_config.json", lambda content: content.update(model_max_length="long")
    ),
    "a token that is a number": lambda folder: edit(
        folder / "tokenizer_config.json", lambda content: content.update(eos_token=5)
    ),
    "ids beyond": lambda folder: edit(
        folder / "tokenizer.json", lambda content: content["model"]["vocab"].update(zz=2**40)
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_refused_in_one_sentence(damage, folder):
    DAMAGES[damage](folder)
    with pytest.raises(UserError) as caught:
        read_official_folder(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_links_to_itself_is_refused(folder):
    for name in ("config.json", "model.safetensors", "tokenizer.json", "merges.txt"):
        copy = shutil.copytree(folder, folder.parent / name)
        (copy / name).unlink()
        (copy / name).symlink_to(name)
        with pytest.raises(UserError):
            read_official_folder(copy)


def test_shards_of_any_name_load_by_an_index_without_metadata(write_folder, official_tensors):
    folder = write_folder(official_tensors)
    names = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    index = {"weight_map": dict.fromkeys(names, "weights.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert Sa2VAModel.load(folder, dtype=torch.float32).config.template
