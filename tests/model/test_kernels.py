"""What stands in for PyTorch's own kernels computes the same."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from refvessel.model.kernels import (
    LinearGelu,
    PatchMatmul,
    TransposedLinear,
    add_matmul,
    has_rotated_windows,
    has_small_windows,
    rotated_window_attention,
    unfold_patches,
    window_attention,
)

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
    tokens = torch.zeros(2, 16, 8, dtype=torch.bfloat16)
    assert not has_small_windows(tokens, tokens)


CONVOLUTIONS = [nn.Conv2d(3, 10, 7, stride=4, padding=3), nn.Conv2d(3, 10, (4, 2), stride=(4, 2), bias=False)]


@pytest.mark.parametrize("convolution", CONVOLUTIONS)
def test_unfolded_patches_times_the_kernel_are_the_convolution(convolution):
    images = torch.randn(2, 3, 16, 24)
    patches = unfold_patches(images, convolution.kernel_size, convolution.stride, convolution.padding)
    assert patches.shape[-1] % 8 == 0
    kernel = convolution.weight.flatten(1)
    product = patches[..., : kernel.shape[1]] @ kernel.t()
    expected = functional.conv2d(images, convolution.weight, None, convolution.stride, convolution.padding)
    torch.testing.assert_close(product.permute(0, 3, 1, 2), expected)
    assert not patches[..., kernel.shape[1] :].any()


DEVICES = ["cpu", pytest.param("cuda", marks=on_gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("convolution", CONVOLUTIONS)
def test_a_product_takes_a_convolutions_place(convolution, device):
    product = PatchMatmul(convolution)
    assert product.state_dict().keys() == convolution.state_dict().keys()
    images = torch.randn(2, 3, 16, 24)
    found = product.to(device)(images.to(device)).cpu()
    torch.testing.assert_close(found, convolution.cpu()(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_computed_transposed_is_the_layer(bias):
    linear = nn.Linear(6, 5, bias=bias)
    transposed = TransposedLinear(linear)
    assert transposed.state_dict().keys() == linear.state_dict().keys()
    inputs = torch.randn(2, 3, 6)
    torch.testing.assert_close(transposed(inputs), linear(inputs))


@on_gpu
def test_a_fused_layer_is_within_bfloat16_of_the_exact_one():
    torch.manual_seed(0)
    linear = nn.Linear(576, 2304, device="cuda")
    inputs = torch.randn(4, 100, 576, device="cuda")
    found = LinearGelu(linear.to(torch.bfloat16))(inputs.bfloat16())
    assert relative_error(found, functional.gelu(linear.float()(inputs.bfloat16().float()))) < 6e-3


@on_gpu
@pytest.mark.parametrize(
    ("windows", "queries", "tokens", "heads", "size"),
    [(7, 16, 16, 4, 72), (5, 64, 64, 2, 72), (9, 4, 4, 2, 24), (7, 4, 16, 8, 72), (5, 16, 64, 4, 72)],
)
def test_attention_within_windows_is_that_of_pytorch(windows, queries, tokens, heads, size):
    torch.manual_seed(0)
    qkv = torch.randn(windows, tokens, 3 * heads * size, device="cuda", dtype=torch.bfloat16)
    query, key, value = qkv.chunk(3, -1)
    if queries < tokens:
        query = query[:, :queries].contiguous()
    assert has_small_windows(query, key)
    expected = functional.scaled_dot_product_attention(
        *(each.float().reshape(windows, -1, heads, size).transpose(1, 2) for each in (query, key, value))
    )
    found = window_attention(query, key, value, heads)
    assert relative_error(found, expected.transpose(1, 2).flatten(2)) < 6e-3


@on_gpu
@pytest.mark.parametrize("size", [80, 24])
def test_attention_within_windows_of_several_sizes_turns_queries_and_keys(size):
    torch.manual_seed(0)
    heads, sizes = 4, [64, 5, 48, 3, 36, 2, 16, 6, 12, 1]
    windows = [rows for rows, count in zip(sizes[::2], sizes[1::2], strict=True) for _ in range(count)]
    qkv = torch.randn(sum(windows), 3 * heads * size, device="cuda", dtype=torch.bfloat16)
    angles = 40 * torch.rand(sum(windows), 1, size // 2, device="cuda")
    assert has_rotated_windows(qkv, sizes)
    cosine, sine = (torch.cat([part, part], -1) for part in (angles.cos(), angles.sin()))
    found = rotated_window_attention(qkv, cosine, sine, sizes, heads)
    query, key, value = qkv.float().unflatten(1, (3, heads, size)).unbind(1)
    turns = torch.polar(torch.ones_like(angles), angles)
    turned = (torch.complex(*each.chunk(2, -1)) * turns for each in (query, key))
    query, key = (torch.cat([each.real, each.imag], -1) for each in turned)
    expected = [
        functional.scaled_dot_product_attention(*(each.transpose(0, 1) for each in parts)).transpose(0, 1)
        for parts in zip(*(each.split(windows) for each in (query, key, value)), strict=True)
    ]
    assert relative_error(found, torch.cat(expected).flatten(1)) < 6e-3


@pytest.mark.parametrize("device", DEVICES)
@torch.no_grad()
def test_a_product_is_added_to_sums(device):
    sums, inputs, weight = torch.randn(2, 3, 5), torch.randn(2, 3, 4), torch.randn(5, 4)
    expected = sums + functional.linear(inputs, weight)
    found = add_matmul(*(each.to(device) for each in (sums, inputs, weight))).cpu()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_sums_that_a_gradient_needs_are_kept(device):
    sums, inputs, weight = (torch.randn(*shape, device=device) for shape in ((3, 5), (3, 4), (5, 4)))
    kept = sums.clone()
    add_matmul(sums, inputs, weight.requires_grad_()).sum().backward()
    assert torch.equal(sums, kept)
    torch.testing.assert_close(weight.grad, inputs.sum(0).expand(5, 4))
