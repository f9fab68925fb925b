"""What a GPU does faster than by PyTorch's own kernels, as operators that torch.compile leaves whole."""

import torch
from torch import nn
from torch.nn import functional

_MOST_TOKENS = 64  # of a window that is attended as a whole, by one program


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
