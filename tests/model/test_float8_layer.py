"""Products of float8 numbers are those of the numbers that were rounded, and near those of the others."""

import pytest
import torch
from small_sizes import DECODER
from torch import nn
from torch.nn import functional
from transformers import Phi3Config, Qwen2Config, Qwen3Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from refvessel.model import decoder_layer, float8_layer
from refvessel.model.language import KeyValues
from refvessel.model.quantisation import QuantisedLinear, quantise

DEVICES = ["cpu", "cuda"][: 1 + (torch.cuda.device_count() > 0)]
KINDS = {
    "qwen2": Qwen2Config(**DECODER),
    "qwen3": Qwen3Config(**DECODER, head_dim=32),
    "phi3": Phi3Config(**DECODER),
}
FLOAT8 = torch.float8_e4m3fn


def in_float8(layer):
    """The same layer with the linear ones' weights in float8."""
    for name, module in list(layer.named_modules()):
        if isinstance(module, nn.Linear):
            small = QuantisedLinear(module, FLOAT8)
            small.weight.data, small.scale.data = quantise(module.weight.float(), FLOAT8)
            layer.set_submodule(name, small)
    return layer


def rounded(states):
    """Each row to the nearest float8, in units of its largest number's 448th."""
    unit = states.abs().amax(-1, keepdim=True) / 448
    return (states / unit).to(FLOAT8).float() * unit


@pytest.mark.parametrize("device", DEVICES)
@torch.no_grad()
def test_a_product_is_that_of_the_rounded_numbers(device):
    torch.manual_seed(0)
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    states, linear = torch.randn(2, 3, 64).to(device, dtype), nn.Linear(64, 96).to(device, dtype)
    (layer,) = in_float8(nn.Sequential(linear))
    weight = layer.weight.float() * layer.scale[:, None]
    expected = functional.linear(rounded(states.float()), weight, linear.bias.float())
    found = float8_layer.multiplied(float8_layer.quantised(states), layer, states)
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.03 if device == "cuda" else 1e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_layer_is_near_the_one_that_it_was(kind):
    torch.manual_seed(0)
    decoder = AutoModelForCausalLM.from_config(KINDS[kind]).eval().model
    for parameter in decoder.parameters():
        parameter.normal_(std=0.2)
    hidden, positions, (layer,) = torch.randn(2, 6, 64), torch.arange(6).expand(2, -1), decoder.layers
    inputs = {"attention_mask": None, "position_embeddings": decoder.rotary_emb(hidden, positions)}
    wanted = torch.arange(2)[:, None], torch.tensor([[1, 5], [0, 3]])
    expected = decoder_layer.run_layer(layer, hidden.clone(), inputs | {"past_key_values": KeyValues()})
    small = in_float8(layer)
    found = float8_layer.run_layer(small, hidden.clone(), inputs | {"past_key_values": KeyValues()})
    error = (found - expected).norm() / expected.norm()
    assert 1e-4 < error < 0.1
    last = float8_layer.run_last_layer(small, hidden, inputs | {"past_key_values": KeyValues()}, wanted)
    torch.testing.assert_close(last, found[wanted], atol=1e-4, rtol=1e-4)
