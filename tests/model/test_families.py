"""The kinds of language models inside InternVL: names on disk stay official, and each computes what it should."""

import json
import math

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import silu

from refvessel.errors import UserError
from refvessel.model.configuration import Sa2VAConfig
from refvessel.model.decoding import Stopping
from refvessel.model.image_tokens import ImageTokens
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.naming import INTERNLM2, embedding_name, head_name, to_module, to_official
from refvessel.model.official_tensors import official_shapes, official_state_dict
from refvessel.model.packing import pack_prompts
from refvessel.model.processing import Sa2VAProcessor

LAYER = "language_model.model.layers.0."
# Tensors that tell a family from the others: official name -> shape, of hidden size 32 with 4 query heads and
# 2 key heads of size 8, and an MLP of 48.
FAMILIES = {
    "Qwen2ForCausalLM": {"self_attn.k_proj.bias": (16,), "mlp.gate_proj.weight": (48, 32)},
    "Qwen3ForCausalLM": {"self_attn.q_norm.weight": (8,), "self_attn.k_proj.weight": (16, 32)},
    "LlamaForCausalLM": {"self_attn.q_proj.weight": (32, 32), "mlp.down_proj.weight": (32, 48)},
    INTERNLM2: {"attention.wqkv.weight": (64, 32), "feed_forward.w2.weight": (32, 48)},
    "Phi3ForCausalLM": {"self_attn.qkv_proj.weight": (64, 32), "mlp.gate_up_proj.weight": (96, 32)},
}
SETTINGS = {
    "Qwen3ForCausalLM": {"head_dim": 8},
    INTERNLM2: {"model_type": "internlm2", "bias": False, "attn_implementation": "flash_attention_2"},
    "Phi3ForCausalLM": {"pad_token_id": None, "eos_token_id": None},
}


def language_settings(architecture: str) -> dict:
    return {"architectures": [architecture], "intermediate_size": 48} | SETTINGS.get(architecture, {})


def random_model(config: dict) -> Sa2VAModel:
    torch.manual_seed(0)
    model = Sa2VAModel(Sa2VAConfig(**config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model


@pytest.fixture(scope="module", params=FAMILIES)
def architecture(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def family(architecture, new_config) -> tuple[dict, Sa2VAModel]:
    config = new_config()
    config["llm_config"] |= language_settings(architecture)
    return config, random_model(config)


def written(folder, config, tensors):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: each.contiguous() for name, each in tensors.items()}, folder / "model.safetensors")
    return folder


def official(model: Sa2VAModel) -> dict[str, torch.Tensor]:
    return official_state_dict(model.state_dict(), model.config.llm_config)


def test_names_and_shapes_on_disk_are_official(architecture, family):
    shapes = official_shapes(family[0])
    for name, shape in FAMILIES[architecture].items():
        assert shapes[LAYER + name] == shape
    assert shapes[head_name(architecture)] == shapes[embedding_name(architecture)] == (40, 32)
    assert (LAYER + "self_attn.q_proj.weight" in shapes) == (
        architecture not in (INTERNLM2, "Phi3ForCausalLM")
    )


def test_names_translate_there_and_back(architecture, family):
    for name in official_shapes(family[0]):
        assert to_official(to_module(name, architecture), architecture) == name


def test_a_loaded_model_has_the_folders_weights_and_generates(family, tmp_path):
    config, model = family
    loaded = Sa2VAModel.load(written(tmp_path / "model", config, official(model)), dtype=torch.float32)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    prompt = torch.tensor([[3, 9, 4, 11, 6, 2]])
    settings = {"do_sample": False, "max_new_tokens": 12, "eos_token_id": None, "pad_token_id": 0}
    with torch.inference_mode():
        begun = loaded.read_prompts(pack_prompts([prompt.tolist()], []), ImageTokens(torch.zeros(0, 32)), -1)
        (answer,) = loaded.answers(begun, seg_token_id=5, stopping=Stopping((), 12))
        expected = model.language_model.generate(prompt, **settings)
    assert answer.token_ids == expected[0, 6:].tolist()


def test_a_layer_is_not_split_over_devices(family):
    _, model = family
    parts = (model.language_model.model.layers[0], model.vision_model.encoder.layer[0])
    blocks = (*parts, model.grounding_encoder.vision_encoder.backbone.blocks[0])
    assert {type(block).__name__ for block in blocks} <= set(model._no_split_modules)


def test_a_missing_tensor_is_named_as_the_folder_would_name_it(architecture, family, tmp_path):
    config, model = family
    tensors = official(model)
    del tensors[head_name(architecture)]
    with pytest.raises(UserError, match=f"lacks {head_name(architecture)}"):
        Sa2VAModel.load(written(tmp_path / "model", config, tensors), dtype=torch.float32)


def test_a_tied_output_layer_is_not_on_disk_and_follows_the_embeddings(architecture, config, tmp_path):
    config["llm_config"] |= language_settings(architecture) | {"tie_word_embeddings": True}
    model = random_model(config)
    tensors = official(model)
    assert head_name(architecture) not in tensors
    assert embedding_name(architecture) in tensors
    loaded = Sa2VAModel.load(written(tmp_path / "model", config, tensors), dtype=torch.float32)
    head, embeddings = loaded.language_model.lm_head, loaded.language_model.model.embed_tokens
    assert torch.equal(head.weight, model.language_model.model.embed_tokens.weight)
    assert head.weight.data_ptr() == embeddings.weight.data_ptr()


def internlm2_reference(
    tensors: dict[str, torch.Tensor], embeds: torch.Tensor, settings: dict
) -> torch.Tensor:
    """InternLM2's logits written out from its own tensors: (length, hidden) to (length, vocabulary), float64."""
    weights = {name.removeprefix("language_model."): each.double() for name, each in tensors.items()}
    heads, groups, length = settings["num_attention_heads"], settings["num_key_value_heads"], len(embeds)
    size = settings["hidden_size"] // heads
    hidden = embeds.double()

    def norm(x, name):
        return (
            x
            / (x.pow(2).mean(-1, keepdim=True) + settings["rms_norm_eps"]).sqrt()
            * weights[name + ".weight"]
        )

    def linear(x, name):
        return x @ weights[name + ".weight"].T + weights.get(name + ".bias", 0)

    def rotate(x):  # (length, size), halves paired
        angles = torch.arange(length)[:, None] * settings["rope_theta"] ** (-torch.arange(0, size, 2) / size)
        cos, sin = angles.double().cos(), angles.double().sin()
        one, two = x.chunk(2, dim=-1)
        return torch.cat([one * cos - two * sin, two * cos + one * sin], dim=-1)

    for layer in range(settings["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        fused = linear(norm(hidden, prefix + "attention_norm"), prefix + "attention.wqkv")
        each = heads // groups  # query heads that share a key head
        outputs = []
        for head in range(heads):
            group = fused[:, head // each * (each + 2) * size :]
            query = rotate(group[:, head % each * size :][:, :size])
            key, value = rotate(group[:, each * size :][:, :size]), group[:, (each + 1) * size :][:, :size]
            scores = query @ key.T / math.sqrt(size)
            scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf)
            outputs.append(scores.softmax(-1) @ value)
        hidden = hidden + linear(torch.cat(outputs, dim=-1), prefix + "attention.wo")
        x, mlp = norm(hidden, prefix + "ffn_norm"), prefix + "feed_forward."
        hidden = hidden + linear(silu(linear(x, mlp + "w1")) * linear(x, mlp + "w3"), mlp + "w2")
    return linear(norm(hidden, "model.norm"), "output")


@pytest.mark.parametrize(("bias", "groups"), [(False, 2), (True, 1), (True, 4)])
def test_internlm2_is_its_own_definition(bias, groups, config, tmp_path):
    settings = {"num_key_value_heads": groups, "bias": bias, "rope_theta": 1e6, "rms_norm_eps": 1e-5}
    # Beyond max_position_embeddings only: shorter texts are not scaled.
    settings |= {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 64}
    config["llm_config"] |= language_settings(INTERNLM2) | settings
    tensors = official(random_model(config))
    assert (LAYER + "attention.wo.bias" in tensors) == bias
    model = Sa2VAModel.load(written(tmp_path / "model", config, tensors), dtype=torch.float32).double()
    embeds = torch.randn(11, 32)
    with torch.inference_mode():
        logits = model.language_model(inputs_embeds=embeds[None].double()).logits[0]
    expected = internlm2_reference(tensors, embeds, config["llm_config"])
    torch.testing.assert_close(logits, expected, rtol=0, atol=2e-6)


def test_an_unknown_template_is_refused(config):
    with pytest.raises(UserError, match=r"template 'vicuna' is unknown; known are qwen_chat, .*llama3_chat"):
        Sa2VAConfig(**config | {"template": "vicuna"})


def test_a_language_model_without_a_fast_tokenizer_is_refused(config, tmp_path):
    config["llm_config"] |= language_settings(INTERNLM2)
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        Sa2VAProcessor.from_pretrained(written(tmp_path / "model", config, {}))
