"""Names translate in both directions, and every official tensor has a place."""

import json

import torch

from refvessel.model.naming import to_module, to_official
from refvessel.model.official_tensors import official_shapes, official_state_dict

QWEN2 = "Qwen2ForCausalLM"


def test_every_tensor_of_an_official_folder_is_expected_with_its_shape(official_folder):
    config, found = (
        json.loads((official_folder / name).read_text()) for name in ("config.json", "tensors.json")
    )
    assert official_shapes(config) == {name: tuple(shape) for name, shape in found.items()}


def test_names_translate_there_and_back(official_tensors):
    for name in official_tensors:
        assert to_official(to_module(name, QWEN2), QWEN2) == name


def test_no_two_official_names_share_a_module_name(official_tensors):
    renamed = [to_module(name, QWEN2) for name in official_tensors]
    assert len(set(renamed)) == len(renamed)


def test_a_foreign_name_has_no_place():
    assert to_module("vision_model.encoder.layers.0.attn.qkv.scale", QWEN2) is None
    assert to_module("grounding_encoder.sam2_model.unknown", QWEN2) is None


def test_hiera_large_is_implied_where_no_grounding_encoder_is_described(config):
    del config["grounding_encoder_config"]
    shapes = official_shapes(config)
    trunk = "grounding_encoder.sam2_model.image_encoder.trunk."
    assert shapes[trunk + "pos_embed_window"] == (1, 144, 8, 8)
    assert trunk + "blocks.47.attn.qkv.weight" in shapes
    assert trunk + "blocks.48.attn.qkv.weight" not in shapes


def test_the_official_8b_has_its_1589_tensors(config):
    del config["grounding_encoder_config"]
    config["vision_config"] = {}
    config["llm_config"] |= {
        "vocab_size": 151679,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    }
    assert len(official_shapes(config)) == 1589


def test_fused_tensors_hold_query_key_and_value_in_this_order(random_model, official_tensors):
    attention = random_model.vision_model.encoder.layer[0].attention
    fused = official_tensors["vision_model.encoder.layers.0.attn.qkv.weight"]
    parts = [attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]
    assert all(torch.equal(ours, part) for ours, part in zip(fused.chunk(3), parts, strict=True))


def test_the_official_state_dict_loses_nothing(random_model):
    state = random_model.state_dict()
    shared = "grounding_encoder.prompt_encoder.shared_embedding.positional_embedding"
    official = official_state_dict(state)
    assert sum(each.numel() for each in official.values()) == sum(
        each.numel() for name, each in state.items() if name != shared
    )
