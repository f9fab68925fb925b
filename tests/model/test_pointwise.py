"""What lies between the matmuls is computed as written down elsewhere, whoever computes it."""

import pytest
import torch
from small_sizes import DECODER
from torch import nn
from torch.nn import functional
from transformers import LlamaConfig, Phi3Config, Qwen2Config, Qwen3Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from refvessel.model.decoder_layer import run_layer
from refvessel.model.language import KeyValues
from refvessel.model.pointwise import add_normed, gated, normed, pooled, rotated

DEVICES = [("cpu", torch.float32), ("cuda", torch.bfloat16)][: 1 + (torch.cuda.device_count() > 0)]


class Rms(nn.Module):
    """A norm of root mean squares, named as transformers names its own."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width))
        self.variance_epsilon = 1e-3

    def forward(self, states):
        return functional.rms_norm(states, self.weight.shape, self.weight, self.variance_epsilon)


def layer_norm(width):
    norm = nn.LayerNorm(width, eps=1e-3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


@torch.no_grad()
def by_hand(norm, states):
    """In float64 on the CPU."""
    states = states.double().cpu()
    if isinstance(norm, nn.LayerNorm):
        states = states - states.mean(-1, keepdim=True)
    states = states / (states.square().mean(-1, keepdim=True) + 1e-3).sqrt() * norm.weight.double().cpu()
    return states + norm.bias.double().cpu() if isinstance(norm, nn.LayerNorm) else states


def assert_near(found, expected):
    error = (found.double().cpu() - expected).norm() / expected.norm()
    assert error < (1e-5 if found.dtype == torch.float32 else 6e-3)


@pytest.mark.parametrize("where", DEVICES)
@torch.no_grad()
def test_each_is_what_is_written_down_elsewhere(where):
    device, dtype = where
    torch.manual_seed(0)
    for norm in (layer_norm(144), layer_norm(1024), Rms(144), Rms(3584)):
        width = len(norm.weight)
        norm = norm.to(device, dtype)
        states, added = (torch.randn(3, 37, width).to(device, dtype) for _ in range(2))
        left_out, scale = torch.randn(width, device=device), torch.randn(width).to(device, dtype)
        assert_near(normed(norm, states), by_hand(norm, states))
        assert_near(normed(norm, states, left_out), by_hand(norm, states.double() + left_out.double()))
        expected = states.double().cpu() + scale.double().cpu() * added.double().cpu()
        sums, found = add_normed(norm, states, added, scale)
        assert_near(sums, expected)
        assert_near(found, by_hand(norm, expected))
    gate, up = torch.randn(3, 37, 2 * 300).to(device, dtype).chunk(2, -1)
    kept = up.clone()
    expected = gate.double().cpu() * gate.double().cpu().sigmoid() * up.double().cpu()
    assert_near(gated(nn.SiLU(), gate, up), expected)
    assert torch.equal(up, kept)


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("turning", [32, 24])
@torch.no_grad()
def test_rotary_positions_turn_pairs_of_channels(where, turning):
    device, dtype = where
    torch.manual_seed(0)
    both = torch.randn(2, 5, 8 * 32).to(device, dtype)
    query, key = (each.unflatten(-1, (-1, 32)) for each in both.split([6 * 32, 2 * 32], -1))
    angles = 40 * torch.rand(2, 5, turning // 2)
    cosine, sine = (torch.cat([part, part], -1).to(device, dtype) for part in (angles.cos(), angles.sin()))
    turns = torch.complex(*(part.chunk(2, -1)[0].double().cpu() for part in (cosine, sine)))
    expected = []
    for states in (query, key):
        pairs, rest = states.double().cpu().split([turning, 32 - turning], -1)
        turned = torch.complex(*pairs.contiguous().chunk(2, -1)) * turns[:, :, None]
        expected.append(torch.cat([turned.real, turned.imag, rest], -1))
    for found, correct in zip(rotated(query, key, cosine, sine), expected, strict=True):
        assert_near(found, correct)


@pytest.mark.parametrize("where", DEVICES)
@torch.no_grad()
def test_a_pooled_window_has_the_largest_of_each_four_tokens(where):
    device, dtype = where
    _, tokens, _ = torch.randn(3, 8 * 8, 3 * 72).to(device, dtype).chunk(3, -1)
    square = tokens.float().transpose(1, 2).unflatten(2, (8, 8))
    expected = functional.max_pool2d(square, 2).flatten(2).transpose(1, 2)
    assert torch.equal(pooled(tokens).float(), expected)


KINDS = {
    "qwen2": Qwen2Config(**DECODER),
    "qwen3, biases": Qwen3Config(**DECODER, head_dim=32, attention_bias=True),
    "llama": LlamaConfig(**DECODER, mlp_bias=True),
    "phi3, half of the channels turned": Phi3Config(
        **DECODER, rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_layer_is_that_of_the_library(kind):
    torch.manual_seed(0)
    decoder = AutoModelForCausalLM.from_config(KINDS[kind]).eval().model
    for parameter in decoder.parameters():
        parameter.normal_(std=0.2)
    hidden = torch.randn(2, 6, 64)
    positions = torch.arange(6).expand(2, -1)
    inputs = {"attention_mask": None, "position_embeddings": decoder.rotary_emb(hidden, positions)}
    expected = decoder.layers[0](hidden.clone(), **inputs, past_key_values=KeyValues())
    found = run_layer(decoder.layers[0], hidden, inputs | {"past_key_values": KeyValues()})
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
