"""The image encoder of InternVL2.5-26B: RMSNorm, and queries and keys normalised over all heads together."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import conv2d, gelu, linear

from refvessel.model.configuration import Sa2VAConfig
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.official_tensors import official_shapes, official_state_dict

# The keys of the release's vision_config, the numbers made small.
INTERNVIT_6B = {
    "architectures": ["InternVisionModel"],
    "attention_dropout": 0.0,
    "drop_path_rate": 0.4,
    "hidden_act": "gelu",
    "hidden_size": 24,
    "image_size": 56,
    "initializer_factor": 0.1,
    "intermediate_size": 40,
    "layer_norm_eps": 1e-6,
    "model_type": "intern_vit_6b",
    "norm_type": "rms_norm",
    "num_attention_heads": 3,
    "num_channels": 3,
    "num_hidden_layers": 2,
    "patch_size": 14,
    "qk_normalization": True,
    "qkv_bias": False,
    "use_flash_attn": True,
}


def reference(weights: dict[str, torch.Tensor], tiles: torch.Tensor, eps: float) -> torch.Tensor:
    """InternViT's states of tiles (tiles, 3, side, side), written out from its own tensors, in float64."""
    weights = {name.removeprefix("vision_model."): each.double() for name, each in weights.items()}
    heads, size = INTERNVIT_6B["num_attention_heads"], INTERNVIT_6B["patch_size"]

    def norm(x, name):
        return x * (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * weights[f"{name}.weight"]

    def project(x, name):
        return linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    kernel = weights["embeddings.patch_embedding.weight"], weights["embeddings.patch_embedding.bias"]
    patches = conv2d(tiles.double(), *kernel, stride=size).flatten(2).transpose(1, 2)
    first = weights["embeddings.class_embedding"].expand(len(tiles), -1, -1)
    hidden = torch.cat([first, patches], 1) + weights["embeddings.position_embedding"]
    for number in range(INTERNVIT_6B["num_hidden_layers"]):
        layer = f"encoder.layers.{number}."
        query, key, value = project(norm(hidden, f"{layer}norm1"), f"{layer}attn.qkv").chunk(3, -1)
        query, key = (
            norm(query, f"{layer}attn.q_norm"),
            norm(key, f"{layer}attn.k_norm"),
        )  # before heads are cut
        mixed = []
        for q, k, v in zip(*(each.chunk(heads, -1) for each in (query, key, value)), strict=True):
            mixed.append((q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1) @ v)
        hidden = hidden + weights[f"{layer}ls1"] * project(torch.cat(mixed, -1), f"{layer}attn.proj")
        inner = gelu(project(norm(hidden, f"{layer}norm2"), f"{layer}mlp.fc1"))
        hidden = hidden + weights[f"{layer}ls2"] * project(inner, f"{layer}mlp.fc2")
    return hidden


@pytest.mark.parametrize("eps", [1e-6, 1e-2])
def test_internvit_6b_is_its_own_definition(eps, config, tmp_path):
    config |= {"force_image_size": 56, "vision_config": INTERNVIT_6B | {"layer_norm_eps": eps}}
    torch.manual_seed(0)
    tensors = {name: 0.4 * torch.randn(shape) for name, shape in official_shapes(config).items()}
    assert tensors["vision_model.encoder.layers.1.attn.q_norm.weight"].shape == (24,)
    assert "vision_model.encoder.layers.0.attn.qkv.bias" not in tensors
    assert "vision_model.encoder.layers.0.norm1.bias" not in tensors
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(tensors, tmp_path / "model.safetensors")
    model = Sa2VAModel.load(tmp_path, dtype=torch.float32)
    tiles = torch.randn(2, 3, 56, 56)
    with torch.inference_mode():
        states = model.vision_model.double()(tiles.double()).last_hidden_state
    torch.testing.assert_close(states, reference(tensors, tiles, eps), rtol=0, atol=2e-6)


def test_its_tensors_come_back(config):
    config |= {"force_image_size": 56, "vision_config": INTERNVIT_6B}
    model = Sa2VAModel(Sa2VAConfig(**config))
    tensors = official_state_dict(model.state_dict(), model.config.llm_config)
    assert {name: tuple(each.shape) for name, each in tensors.items()} == official_shapes(config)
