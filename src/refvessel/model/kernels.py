"""What a GPU does faster than by PyTorch's own kernels, as operators that torch.compile leaves whole."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

# cuDNN's attention is made for Hopper, PyTorch's own flash attention for the generation before.
_ATTENTION = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
_MOST_TOKENS = 64  # of a window that is attended as a whole, by one program


def fastest_attention(device: torch.device) -> AbstractContextManager[object]:
    """Where attention is computed by the first that can of the device's kernels, the fastest first."""
    return sdpa_kernel(_ATTENTION, set_priority=True) if device.type == "cuda" else nullcontext()


class LinearGelu(nn.Module):
    """A linear layer and the GELU behind it in one product; it takes the layer's place, under the same names.

    On a GPU the product's own epilogue computes the GELU, in its tanh form: within 5e-4 of the exact one, where
    bfloat16 resolves 4e-3 at 1. Elsewhere it is the exact one.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., in) to (..., out)"""
        if inputs.is_cuda:
            return linear_gelu(inputs, self.weight, self.bias)
        return functional.gelu(functional.linear(inputs, self.weight, self.bias))


@torch.library.custom_op("refvessel::linear_gelu", mutates_args=())
def linear_gelu(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """GELU (tanh form on a GPU) of a linear layer: (..., in), (out, in), (out,) to (..., out)."""
    rows = inputs.reshape(-1, inputs.shape[-1])
    product = torch._addmm_activation(bias, rows, weight.t(), use_gelu=True)
    return product.view(*inputs.shape[:-1], len(weight))


@linear_gelu.register_fake
def _(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:  # noqa: ARG001
    return inputs.new_empty(*inputs.shape[:-1], len(weight))


def has_small_windows(qkv: torch.Tensor) -> bool:
    """Whether `window_attention` takes these windows, (windows, tokens, 3 * channels)."""
    return qkv.is_cuda and qkv.dtype == torch.bfloat16 and _MOST_TOKENS % qkv.shape[1] == 0


@torch.library.custom_op("refvessel::window_attention", mutates_args=())
def window_attention(qkv: torch.Tensor, heads: int) -> torch.Tensor:
    """Attention of each window's tokens to each other, as scaled_dot_product_attention computes it.

    Args:
        qkv: bfloat16 (windows, tokens, 3 * channels), queries, keys and values; tokens divides 64.
        heads: number of heads that share the channels.

    Returns:
        (windows, tokens, channels)
    """
    from refvessel.model.triton_kernels import attend_windows  # Triton comes with PyTorch for GPUs only

    return attend_windows(qkv.contiguous(), heads, _MOST_TOKENS)


@window_attention.register_fake
def _(qkv: torch.Tensor, heads: int) -> torch.Tensor:  # noqa: ARG001
    return qkv.new_empty(*qkv.shape[:-1], qkv.shape[-1] // 3)
