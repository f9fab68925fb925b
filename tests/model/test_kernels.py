"""What stands in for PyTorch's own kernels computes the same."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from refvessel.model.kernels import LinearGelu, has_small_windows, window_attention

on_gpu = pytest.mark.skipif(not torch.cuda.device_count(), reason="there is no GPU here")


def relative_error(found, expected):
    return ((found.float() - expected).norm() / expected.norm()).item()


def test_a_fused_layer_keeps_the_linear_layers_names_and_exact_gelu_on_the_cpu():
    linear = nn.Linear(6, 5)
    fused = LinearGelu(linear)
    assert fused.state_dict().keys() == linear.state_dict().keys()
    inputs = torch.randn(2, 3, 6)
    torch.testing.assert_close(fused(inputs), functional.gelu(linear(inputs)))


def test_windows_on_the_cpu_are_left_to_pytorch():
    assert not has_small_windows(torch.zeros(2, 16, 3 * 8, dtype=torch.bfloat16))


@on_gpu
def test_a_fused_layer_is_within_bfloat16_of_the_exact_one():
    torch.manual_seed(0)
    linear = nn.Linear(576, 2304, device="cuda")
    inputs = torch.randn(4, 100, 576, device="cuda")
    found = LinearGelu(linear.to(torch.bfloat16))(inputs.bfloat16())
    assert relative_error(found, functional.gelu(linear.float()(inputs.bfloat16().float()))) < 6e-3


@on_gpu
@pytest.mark.parametrize(
    ("windows", "tokens", "heads", "size"), [(7, 16, 4, 72), (5, 64, 2, 72), (9, 4, 2, 24)]
)
def test_attention_within_windows_is_that_of_pytorch(windows, tokens, heads, size):
    torch.manual_seed(0)
    qkv = torch.randn(windows, tokens, 3 * heads * size, device="cuda", dtype=torch.bfloat16)
    assert has_small_windows(qkv)
    query, key, value = (
        each.float().reshape(windows, tokens, heads, size).transpose(1, 2) for each in qkv.chunk(3, -1)
    )
    expected = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    assert relative_error(window_attention(qkv, heads), expected) < 6e-3
