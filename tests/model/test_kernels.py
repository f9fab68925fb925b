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
    has_small_windows,
    unfold_patches,
)

DEVICES = ["cpu", "cuda"][: 1 + (torch.cuda.device_count() > 0)]


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
