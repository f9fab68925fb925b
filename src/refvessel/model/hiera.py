"""SAM2's image encoder over transformers' own modules, with less copying.

The library's blocks cut their input into windows and put it together again, each for itself, and its attention
also computes weights that nothing reads; its neck makes position encodings that an image alone does not need.
Here the features stay cut for as long as consecutive blocks have the same windows. The arithmetic is the same,
but that two linear maps in a row are multiplied first, and that the biases of a stage's matmuls are summed apart.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional
from transformers.models.sam2.modeling_sam2 import (
    Sam2HieraDetModel,
    Sam2MultiScaleBlock,
    Sam2VisionModel,
)

from refvessel.model import kernels, pointwise
from refvessel.model.kernels import fuse_gelu, fuse_patches

_STRIDE = 4  # of the finest features, in pixels
_IMAGES_ON_A_CPU = 1  # at once: its caches hold the features of one image, but not of many
_MOST_IMAGES = 32  # at once: attention kernels take 65,535 windows at most


@dataclass(frozen=True)
class Windows:
    """Features of a batch of images, cut into square windows.

    tokens: (images * windows, side * side, channels), windows and tokens row by row.
    side: of a window; a whole image is one window of its height.
    size: height and width of an image in tokens.
    left_out: float32 (channels,), what is to be added to every token.
    """

    tokens: torch.Tensor
    side: int
    size: int
    left_out: torch.Tensor

    def cut(self, side: int) -> "Windows":
        """The same features in windows of another side."""
        return self if side == self.side else replace(self, tokens=cut(self.whole(), side), side=side)

    def whole(self) -> torch.Tensor:
        """(images, height, width, channels)"""
        return self._ordered(0, 1, 3, 2, 4, 5).reshape(-1, self.size, self.size, self.tokens.shape[-1])

    def channels_first(self) -> torch.Tensor:
        """(images, channels, height, width)"""
        ordered = self._ordered(0, 5, 1, 3, 2, 4)
        return ordered.reshape(-1, self.tokens.shape[-1], self.size, self.size).contiguous()

    def _ordered(self, *order: int) -> torch.Tensor:
        """Of the axes images, rows and columns of windows, rows and columns of tokens, channels."""
        count = self.size // self.side
        return self.tokens.reshape(-1, count, count, self.side, self.side, self.tokens.shape[-1]).permute(
            order
        )


def cut(whole: torch.Tensor, side: int) -> torch.Tensor:
    """Square features (images, height, width, channels) in windows, as `Windows.tokens`."""
    images, size, _, channels = whole.shape
    ordered = whole.reshape(images, size // side, side, size // side, side, channels).transpose(2, 3)
    return ordered.reshape(-1, side * side, channels)


class ImageEncoder:
    """SAM2's image encoder over the modules of one model; `compile` concerns these and no others.

    Args:
        encoder: the trunk and its feature pyramid.
        narrow: the mask decoder's 1x1 convolutions of the pyramid's levels of stride 4 and 8.
    """

    def __init__(self, encoder: Sam2VisionModel, narrow: tuple[nn.Conv2d, nn.Conv2d]) -> None:
        self._encoder = encoder
        self._narrow = narrow
        self._embed_patches = embed_patches
        self._block_tokens = block_tokens

    def fuse(self) -> None:
        """Let a GPU compute fewer kernels, in place."""
        trunk: Any = self._encoder.backbone
        if trunk.config.hidden_act == "gelu":
            for block in trunk.blocks:
                fuse_gelu(block.mlp, "proj_in", "activation")
        fuse_patches(trunk.patch_embed, "projection")

    def compile(self) -> None:
        """Compile what repeats."""
        self._embed_patches = torch.compile(embed_patches)
        self._block_tokens = torch.compile(block_tokens)

    def narrowed(self, narrow: tuple[nn.Conv2d, nn.Conv2d]) -> "ImageEncoder":
        """The same encoder, compiled or not, in front of another mask decoder, of which these are."""
        other = copy(self)
        other._narrow = narrow
        return other

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Features of normalised square images (images, 3, size, size), of the encoder's size.

        Returns:
            (images, hidden, size/16, size/16), and what `narrow` makes of the finer levels.
        """
        return self.project(self.look(images))

    @property
    def trunk(self) -> nn.Module:
        """What `look` is computed by; models may share it."""
        return self._encoder.backbone

    def look(self, images: torch.Tensor) -> list[list[Windows]]:
        """What the trunk sees in normalised images, for `project`: a few at a time, the features of each stage."""
        side = images.shape[-1] // _STRIDE
        positions = self._encoder.backbone._get_pos_embed((side, side))
        pieces = images.split(_IMAGES_ON_A_CPU if images.is_cpu else _MOST_IMAGES)
        return [self._stages(piece, positions) for piece in pieces]

    def project(
        self, seen: Sequence[Sequence[Windows]]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """The features, as `encode` returns them, of what `look` saw."""
        parts = [self._pyramid(stages) for stages in seen]
        coarse, fine, middle = (torch.cat(part) for part in zip(*parts, strict=True))
        return coarse, (fine, middle)

    def _stages(self, images: torch.Tensor, positions: torch.Tensor) -> list[Windows]:
        """The features after each of the trunk's stages, from fine to coarse."""
        trunk = self._encoder.backbone
        blocks = cast("Sequence[Sam2MultiScaleBlock]", trunk.blocks)
        size = positions.shape[1]
        side = _side(blocks[0], size)
        tokens = self._embed_patches(trunk, images, positions, side)
        features = Windows(tokens, side, size, _nothing(tokens))
        stages = []
        for index, block in enumerate(blocks):
            features = self._run_block(block, features)
            if index in trunk.stage_ends:
                stages.append(features)
        return stages

    def _run_block(self, block: Sam2MultiScaleBlock, features: Windows) -> Windows:
        """One block; the result stays in the block's windows."""
        side = _side(block, features.size)
        if block.window_size not in (
            0,
            side,
        ):  # windows that do not fill the image are padded: the library's way
            whole = block(features.whole() + features.left_out.to(features.tokens.dtype))
            size = whole.shape[1]
            return Windows(whole.reshape(len(whole), size * size, -1), size, size, _nothing(whole))
        features = features.cut(side)
        tokens, left_out = self._block_tokens(block, features.tokens, features.left_out)
        stride = _stride(block)
        return Windows(tokens, side // stride, features.size // stride, left_out)

    def _pyramid(self, stages: Sequence[Windows]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The coarse level, then those of stride 4 and 8.

        The pyramid adds the coarsest level to the one before, and nothing to the two finest: there its
        convolution and the decoder's follow each other, and are one matmul.
        """
        lowest, coarse, *finer = cast("Sequence[nn.Conv2d]", self._encoder.neck.convs)
        added = functional.interpolate(_project(stages[3], lowest), scale_factor=2.0, mode="nearest")
        fine, middle = (
            _project(stage, lateral, second)
            for stage, lateral, second in zip(stages, reversed(finer), self._narrow, strict=False)
        )
        return _project(stages[2], coarse) + added, fine, middle


def _project(features: Windows, first: nn.Conv2d, second: nn.Conv2d | None = None) -> torch.Tensor:
    """One 1x1 convolution, or two in a row, of features with c channels: (images, d, height, width)."""
    weight, bias = first.weight.flatten(1), _bias(first)
    if second is not None:
        weight, bias = (
            second.weight.flatten(1).float() @ weight.float(),
            functional.linear(bias.float(), second.weight.flatten(1).float(), _bias(second).float()),
        )
    tokens, weight = features.tokens, weight.float()
    bias = functional.linear(features.left_out, weight, bias.float())
    projected = functional.linear(tokens, weight.to(tokens.dtype), bias.to(tokens.dtype))
    return replace(features, tokens=projected).channels_first()


def _bias(convolution: nn.Conv2d) -> torch.Tensor:
    return cast("torch.Tensor", convolution.bias)  # SAM2's all have one


def embed_patches(
    trunk: Sam2HieraDetModel, images: torch.Tensor, positions: torch.Tensor, side: int
) -> torch.Tensor:
    """The embedded patches of images, their positions added, as `Windows.tokens`.

    Args:
        trunk: whose patches they are.
        images: normalised (images, 3, size, size).
        positions: (1, size/4, size/4, channels).
        side: of the windows, in patches.
    """
    return cut(trunk.patch_embed(images) + positions, side).contiguous()


def _nothing(tokens: torch.Tensor) -> torch.Tensor:
    """What is left out of tokens that are complete."""
    return tokens.new_zeros(tokens.shape[-1], dtype=torch.float32)


def _side(block: Sam2MultiScaleBlock, size: int) -> int:
    """The side of a block's windows; that of the whole where the block is global, or they do not fill it."""
    side = block.window_size or size
    return size if size % side else side


def _stride(block: Sam2MultiScaleBlock) -> int:
    """By how much the block makes each side smaller."""
    return cast("tuple[int, int]", block.query_stride)[0] if block.query_stride else 1


def block_tokens(
    block: Sam2MultiScaleBlock, tokens: torch.Tensor, left_out: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A block over windows: (windows, tokens, channels) to (windows, tokens / stride^2, channels).

    A matmul adds itself to the tokens where they lie, which leaves no place for its bias: `left_out`, float32
    (channels,), is what the tokens lack, before and after. The tokens given may be overwritten.
    """
    normed = pointwise.normed(block.layer_norm1, tokens, left_out)
    if block.dim != block.dim_out:
        tokens = _pool(block, block.proj(normed))
        left_out = _nothing(tokens)
    attention, feed_forward = block.attn, block.mlp
    tokens = kernels.add_matmul(tokens, _attend(block, normed), attention.proj.weight)
    left_out = left_out + attention.proj.bias
    normed = pointwise.normed(block.layer_norm2, tokens, left_out)
    hidden = feed_forward.activation(feed_forward.proj_in(normed))
    tokens = kernels.add_matmul(tokens, hidden, feed_forward.proj_out.weight)
    return tokens, left_out + feed_forward.proj_out.bias


def _attend(block: Sam2MultiScaleBlock, tokens: torch.Tensor) -> torch.Tensor:
    """What the block's attention mixes, before its last projection."""
    attention = block.attn
    windows = len(tokens)
    heads = attention.num_attention_heads
    qkv = attention.qkv(tokens)
    query, key, value = qkv.chunk(3, dim=-1)  # each (windows, tokens, channels)
    query = _pool(block, query)
    if kernels.has_small_windows(query, key):
        return kernels.window_attention(query, key, value, heads)
    query, key, value = (
        each.reshape(windows, -1, heads, each.shape[-1] // heads).transpose(1, 2)
        for each in (query, key, value)
    )
    mixed = functional.scaled_dot_product_attention(query, key, value, scale=attention.scale)
    return mixed.transpose(1, 2).flatten(2)


def _pool(block: Sam2MultiScaleBlock, tokens: torch.Tensor) -> torch.Tensor:
    """The maximum of each 2x2 tokens of a window where the block halves the resolution."""
    return pointwise.pooled(tokens) if block.query_stride else tokens
