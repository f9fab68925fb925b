"""What a GPU does faster than by PyTorch's own kernels, as operators that torch.compile leaves whole."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from refvessel.model.operators import operator

_MOST_TOKENS = 64  # of a window that is attended as a whole, by one program
_LEAST_TOKENS = 16  # that query there: fewer rows are not multiplied
ALIGNED = 8  # numbers of bfloat16 in 16 bytes, as fast matmuls need a row's


class LinearGelu(nn.Module):
    """A linear layer and the GELU behind it in one matmul; it takes the layer's place, under the same names.

    On a GPU the matmul's own epilogue computes the GELU, in its tanh form: within 5e-4 of the exact one, where
    bfloat16 resolves 4e-3 at 1. Elsewhere it is the one that the layer asks for.
    """

    def __init__(self, linear: nn.Linear, approximate: str = "none") -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self._approximate = approximate

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., in) to (..., out)"""
        if inputs.is_cuda:
            return linear_gelu(inputs, self.weight, self.bias)
        return functional.gelu(
            functional.linear(inputs, self.weight, self.bias), approximate=self._approximate
        )


def fuse_gelu(feed_forward: nn.Module, linear: str, activation: str, approximate: str = "none") -> None:
    """Let a linear layer compute the GELU behind it; both are named as `feed_forward` does.

    `approximate` is PyTorch's: none for the exact one, tanh for its tanh form. Done before, it is not done again.
    """
    layer = feed_forward.get_submodule(linear)
    if not isinstance(layer, nn.Linear):
        return
    feed_forward.set_submodule(linear, LinearGelu(layer, approximate))
    feed_forward.set_submodule(activation, nn.Identity())


def _like_linear(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:  # noqa: ARG001
    return inputs.new_empty(*inputs.shape[:-1], len(weight))


@operator("linear_gelu", _like_linear)
def linear_gelu(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """GELU (tanh form on a GPU) of a linear layer: (..., in), (out, in), (out,) to (..., out)."""
    rows = inputs.reshape(-1, inputs.shape[-1])
    activated = torch._addmm_activation(bias, rows, weight.t(), use_gelu=True)
    return activated.view(*inputs.shape[:-1], len(weight))


class TransposedLinear(nn.Module):
    """A linear layer whose result is computed transposed; it takes the layer's place, under the same names.

    A GPU's fast matmuls need rows of a multiple of 16 bytes, which the odd numbers of vocabularies do not give.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., in) to (..., out)"""
        outputs = (self.weight @ inputs.flatten(0, -2).t()).t().unflatten(0, inputs.shape[:-1])
        return outputs if self.bias is None else outputs + self.bias


class PatchMatmul(nn.Module):
    """A convolution of few channels as one matmul; it takes the convolution's place, under the same names.

    Convolutions on a GPU are slow where the channels are fewer than a matrix unit takes at once.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self._kernel = cast("tuple[int, int]", convolution.kernel_size)
        self._stride = cast("tuple[int, int]", convolution.stride)
        self._padding = cast("tuple[int, int]", convolution.padding)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(images, channels, height, width) to (images, out, rows, columns)"""
        if not images.is_cuda:
            return functional.conv2d(images, self.weight, self.bias, self._stride, self._padding)
        patches = unfold_patches(images, self._kernel, self._stride, self._padding)
        weight = self.weight.flatten(1)
        weight = functional.pad(weight, (0, patches.shape[-1] - weight.shape[1]))
        return functional.linear(patches, weight, self.bias).permute(0, 3, 1, 2)


def fuse_patches(embeddings: nn.Module, convolution: str) -> None:
    """Let a matmul take the place of the convolution that embeds patches, where none has."""
    layer = embeddings.get_submodule(convolution)
    if isinstance(layer, nn.Conv2d):
        embeddings.set_submodule(convolution, PatchMatmul(layer))


def unfold_patches(
    images: torch.Tensor, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> torch.Tensor:
    """What a convolution multiplies its kernel with: (images, channels, height, width) to (images, rows, columns,
    channels * kernel's height * width, zeros up to a multiple of 8), as matrix units need it.
    """
    padded = functional.pad(images, (padding[1], padding[1], padding[0], padding[0]))
    windows = padded.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    patches = windows.permute(0, 2, 3, 1, 4, 5).flatten(3)
    return functional.pad(patches, (0, -patches.shape[-1] % ALIGNED))


def has_small_windows(query: torch.Tensor, key: torch.Tensor) -> bool:
    """Whether `window_attention` takes these windows, (windows, tokens, channels)."""
    windowed = (
        _MOST_TOKENS % key.shape[1] == 0 and _LEAST_TOKENS * key.shape[1] <= _MOST_TOKENS * query.shape[1]
    )
    return query.is_cuda and query.dtype == torch.bfloat16 and windowed


def _like_queries(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:  # noqa: ARG001
    return query.new_empty(query.shape)


@operator("window_attention", _like_queries)
def window_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
    """Attention of each window's queries to its tokens, as scaled_dot_product_attention computes it.

    Args:
        query: bfloat16 (windows, queries, channels), as many queries as tokens, or fewer.
        key: bfloat16 (windows, tokens, channels); tokens divides 64.
        value: likewise.
        heads: number of heads that share the channels.

    Returns:
        (windows, queries, channels)
    """
    from refvessel.model.triton_kernels import attend_windows  # Triton comes with PyTorch for GPUs only

    return attend_windows(query, key, value, heads, _MOST_TOKENS)


def has_rotated_windows(qkv: torch.Tensor, sizes: Sequence[int]) -> bool:
    """Whether `rotated_window_attention` takes these windows."""
    return qkv.is_cuda and qkv.dtype == torch.bfloat16 and max(sizes[::2]) <= _MOST_TOKENS


def _like_values(
    qkv: torch.Tensor,
    cosine: torch.Tensor,  # noqa: ARG001
    sine: torch.Tensor,  # noqa: ARG001
    sizes: list[int],  # noqa: ARG001
    heads: int,  # noqa: ARG001
) -> torch.Tensor:
    return qkv.new_empty(qkv.shape[0], qkv.shape[1] // 3)


@operator("rotated_window_attention", _like_values)
def rotated_window_attention(
    qkv: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, sizes: list[int], heads: int
) -> torch.Tensor:
    """Attention within windows, of queries and keys that are turned by their positions, in float32.

    Args:
        qkv: bfloat16 (tokens, 3 * heads * size), queries, keys and values, window by window.
        cosine: float32 (tokens, 1, size), both halves alike.
        sine: likewise.
        sizes: tokens of a window, 64 at most, the number of such windows, and so on.
        heads: number of heads that share the channels.

    Returns:
        (tokens, heads * size)
    """
    from refvessel.model.triton_kernels import attend_rotated_windows  # as above

    qkv, cosine, sine = (each.contiguous() for each in (qkv, cosine, sine))
    return attend_rotated_windows(qkv, cosine, sine, sizes, heads, _MOST_TOKENS)


def add_matmul(sums: torch.Tensor, inputs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """sums + inputs @ weight.T: (..., out), (..., in), (out, in) to (..., out).

    Where no gradient is asked for, it overwrites `sums`, which is contiguous.
    """
    if torch.is_grad_enabled():
        return sums + functional.linear(inputs, weight)
    add_matmul_(sums, inputs, weight)
    return sums


def _nothing(sums: torch.Tensor, inputs: torch.Tensor, weight: torch.Tensor) -> None:
    pass


@operator("add_matmul_", _nothing, mutates=("sums",))
def add_matmul_(sums: torch.Tensor, inputs: torch.Tensor, weight: torch.Tensor) -> None:
    """The same in the place of `sums`."""
    sums.view(-1, sums.shape[-1]).addmm_(inputs.reshape(-1, inputs.shape[-1]), weight.t())
