"""The image encoder of the Qwen2.5-VL and Qwen3-VL families: patches of images of any size, packed.

patches ---> transformers' own blocks, attention by segments ---> merger ---> image tokens
                              `---> deepstack mergers ---> what the first decoder layers add (Qwen3-VL)
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from refvessel.model import kernels, pointwise
from refvessel.model.image_tokens import Grid, ImageTokens, ImageView, tokens_of
from refvessel.model.kernels import ALIGNED, fuse_gelu
from refvessel.model.operators import operator
from refvessel.model.segments import PatchPlan, Segments, plan_patches

_THETA = 10_000.0  # of the rotary positions


class PatchEncoder:
    """Makes image tokens of patches, over the modules of one model; `compile` concerns these and no others.

    Args:
        model: whose `vision_model` is transformers' tower of either family; parts of that are replaced by such as
            compute the same.
        pixels: normalises the patches of views, one after the other.

    Attributes:
        tower: transformers' tower, which models may share: what it sees is the same for all of them.
    """

    def __init__(self, model: Any, pixels: Callable[[Sequence[ImageView]], torch.Tensor]) -> None:
        self.tower = model.vision_model
        self._pixels = pixels
        config = self.tower.config
        self._merge: int = config.spatial_merge_size
        self._window: int | None = None
        self._full_blocks: Sequence[int] = range(config.depth)
        if hasattr(config, "window_size"):
            self._window = config.window_size // config.patch_size // self._merge
            self._full_blocks = config.fullatt_block_indexes
        self._deepstack: Sequence[int] = getattr(config, "deepstack_visual_indexes", ())
        self._run_block = run_block
        self.tower.patch_embed.proj = StillPatches(self.tower.patch_embed.proj)
        for block in self.tower.blocks:
            block.attn = SegmentAttention(block.attn)

    @property
    def called(self) -> tuple[str, ...]:
        """The modules whose results are used outside of modules."""
        deepstack = [f"vision_model.deepstack_merger_list.{index}" for index in range(len(self._deepstack))]
        positions = ["vision_model.pos_embed"] if hasattr(self.tower, "pos_embed") else []
        return ("vision_model.patch_embed.proj", "vision_model.merger", *positions, *deepstack)

    def fuse(self) -> None:
        """Fuse and pad the blocks' layers for a GPU, in place."""
        for block in self.tower.blocks:
            if hasattr(block.mlp, "gate_proj"):
                block.mlp = GatedFeedForward(block.mlp)
            elif self.tower.config.hidden_act == "gelu_pytorch_tanh":
                fuse_gelu(block.mlp, "linear_fc1", "act_fn", approximate="tanh")

    def compile(self) -> None:
        """Compile the blocks."""
        self._run_block = torch.compile(run_block)

    def encode(self, views: Sequence[ImageView]) -> list[ImageTokens]:
        """The image tokens of each view."""
        return self.tokens(self.look(views), views)

    def tokens(self, seen: list[ImageTokens], views: Sequence[ImageView]) -> list[ImageTokens]:  # noqa: ARG002
        """The same of what `look` sees in them, which is all there is: the mergers are the tower's own."""
        return seen

    def look(self, views: Sequence[ImageView]) -> list[ImageTokens]:
        """What the tower sees in each view, for `tokens`."""
        grids = tuple(grid for view in views for image in view.layout for grid in image)
        pixels = self._pixels(views)
        plan = plan_patches(grids, self._merge, self._window).on(pixels.device)
        hidden = self.tower.patch_embed.proj(pixels)  # (patches, channels)
        if hasattr(self.tower, "pos_embed"):
            hidden = hidden + self._learned_positions(grids, hidden)
        hidden = self._in_places(hidden, plan.units)
        left_out = torch.zeros(hidden.shape[-1], dtype=torch.float32, device=hidden.device)
        rotary = self._rotary(plan)
        deepstack = []
        for index, block in enumerate(self.tower.blocks):
            segments = plan.images if index in self._full_blocks else plan.windows
            if hasattr(block, "_hf_hook"):  # of a model spread over devices
                hidden = block(hidden, cu_seqlens=segments, position_embeddings=rotary)
            else:
                hidden, left_out = self._run_block(block, hidden, left_out, segments, rotary)
            if index in self._deepstack:
                merger = self.tower.deepstack_merger_list[self._deepstack.index(index)]
                deepstack.append(_ordered(merger(_whole(hidden, left_out)), plan))
        tokens = _ordered(self.tower.merger(_whole(hidden, left_out)), plan)
        counts = [tokens_of(view.layout) for view in views]
        parts = zip(*(each.split(counts) for each in (tokens, *deepstack)), strict=True)
        return [ImageTokens(mine, tuple(of_layers)) for mine, *of_layers in parts]

    def _in_places(self, patches: torch.Tensor, units: torch.Tensor | None) -> torch.Tensor:
        """(patches, channels), unit by unit in this order."""
        if units is None:
            return patches
        return patches.unflatten(0, (-1, self._merge**2))[units].flatten(0, 1)

    def _learned_positions(self, grids: Sequence[Grid], like: torch.Tensor) -> torch.Tensor:
        """Qwen3-VL's learned positions, bilinear between those of its own square: (patches, channels)."""
        count = self.tower.config.num_position_embeddings
        table = self.tower.pos_embed(torch.arange(count, device=like.device))
        side = int(count**0.5)
        square = table.t().unflatten(1, (side, side))[None].float()
        known = {}
        for grid in set(grids):
            size = (grid[0] * self._merge, grid[1] * self._merge)
            resized = functional.interpolate(square, size=size, mode="bilinear", align_corners=True)[0]
            blocks = resized.unflatten(2, (grid[1], self._merge)).unflatten(1, (grid[0], self._merge))
            known[grid] = blocks.permute(1, 3, 2, 4, 0).flatten(0, 3).to(like.dtype)
        return torch.cat([known[grid] for grid in grids])

    def _rotary(self, plan: PatchPlan) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine of the rotary positions, float32 (patches, 1, head size)."""
        config = self.tower.config
        axis = config.hidden_size // config.num_heads // 2
        steps = torch.arange(0, axis, 2, dtype=torch.float32, device=plan.positions.device)
        angles = plan.positions[:, :, None].float() * (
            1.0 / _THETA ** (steps / axis)
        )  # (patches, 2, axis / 2)
        both = torch.cat([angles.flatten(1)] * 2, dim=-1).unsqueeze(1)
        return both.cos(), both.sin()


class StillPatches(nn.Module):
    """The tower's convolution over patches of two frames, for images: each patch is both frames.

    It takes the convolution's place, under the same names.
    """

    def __init__(self, convolution: nn.Conv3d) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """(patches, channels, side, side) to (patches, out)"""
        weight = self.weight.sum(2, dtype=torch.float32).flatten(1).to(patches.dtype)
        padding = (0, -weight.shape[1] % ALIGNED)
        rows = functional.pad(patches.flatten(1), padding)
        return functional.linear(rows, functional.pad(weight, padding), self.bias)


class SegmentAttention(nn.Module):
    """Attention within segments of patches; it takes the place of a block's, under the same names."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.qkv: nn.Linear = attention.qkv
        self.proj: nn.Linear = attention.proj
        self._heads: int = attention.num_heads

    def forward(
        self,
        hidden_states: torch.Tensor,
        cu_seqlens: Segments,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        """The library's interface.

        Args:
            hidden_states: (patches, channels).
            cu_seqlens: the segments; named as the blocks name what tells them.
            position_embeddings: cosine and sine, float32 (patches, 1, head size).
        """
        return self.proj(self.mix(hidden_states, cu_seqlens, position_embeddings))

    def mix(
        self,
        patches: torch.Tensor,
        segments: Segments,
        rotary: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        """What attention mixes of patches, before its last projection: (patches, channels), likewise."""
        qkv = self.qkv(patches)
        sizes = [number for segment in segments.sizes for number in segment]
        if segments.order is None and kernels.has_rotated_windows(qkv, sizes):
            return kernels.rotated_window_attention(qkv, *rotary, sizes, self._heads)
        query, key, value = qkv.unflatten(-1, (3, self._heads, -1)).unbind(1)
        query, key = (_rotated(each, *rotary) for each in (query, key))
        return attend_segments(query, key, value, sizes, segments.order, segments.back)


def _like_mixed(
    query: torch.Tensor,
    key: torch.Tensor,  # noqa: ARG001
    value: torch.Tensor,  # noqa: ARG001
    sizes: list[int],  # noqa: ARG001
    order: torch.Tensor | None,  # noqa: ARG001
    back: torch.Tensor | None,  # noqa: ARG001
) -> torch.Tensor:
    return query.new_empty(query.shape[0], query.shape[1] * query.shape[2])


@operator("attend_segments", _like_mixed)
def attend_segments(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sizes: list[int],
    order: torch.Tensor | None,
    back: torch.Tensor | None,
) -> torch.Tensor:
    """scaled_dot_product_attention of each segment.

    Args:
        query: (patches, heads, size).
        key: likewise.
        value: likewise.
        sizes: patches of a segment, the number of such segments, and so on.
        order: as in `Segments`.
        back: as in `Segments`.

    Returns:
        (patches, heads * size)
    """
    if order is not None:
        query, key, value = (each[order.to(each.device)] for each in (query, key, value))
    parts = []
    start = 0
    for size, count in zip(sizes[::2], sizes[1::2], strict=True):
        end = start + size * count
        # (segments, patches, heads, size)
        apart = [each[start:end].unflatten(0, (count, size)) for each in (query, key, value)]
        parts.append(_attend(*apart).flatten(0, 1))
        start = end
    together = torch.cat(parts) if len(parts) > 1 else parts[0]
    return together if back is None else together[back.to(together.device)]


def _attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Segments of one size, (segments, patches, heads, size), mixed: (segments, patches, heads * size)."""
    mixed = functional.scaled_dot_product_attention(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    )
    return mixed.transpose(1, 2).flatten(2)


def run_block(
    block: Any,
    patches: torch.Tensor,
    left_out: torch.Tensor,
    segments: Segments,
    rotary: tuple[torch.Tensor, torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """A block over patches, (patches, channels), which may be overwritten.

    A matmul adds itself to the patches where they lie, which leaves no place for its bias: `left_out`, float32
    (channels,), is what the patches lack, before and after.
    """
    mixed = block.attn.mix(pointwise.normed(block.norm1, patches, left_out), segments, rotary)
    patches = kernels.add_matmul(patches, mixed, block.attn.proj.weight)
    left_out = left_out + block.attn.proj.bias
    normed, mlp = pointwise.normed(block.norm2, patches, left_out), block.mlp
    if isinstance(mlp, GatedFeedForward):
        hidden, last = mlp.gated(normed), mlp.down_proj
    elif hasattr(mlp, "gate_proj"):
        hidden = pointwise.gated(mlp.act_fn, mlp.gate_proj(normed), mlp.up_proj(normed))
        last = mlp.down_proj
    else:
        hidden, last = mlp.act_fn(mlp.linear_fc1(normed)), mlp.linear_fc2
    return kernels.add_matmul(patches, hidden, last.weight), left_out + last.bias


def _whole(patches: torch.Tensor, left_out: torch.Tensor) -> torch.Tensor:
    return patches + left_out.to(patches.device, patches.dtype)


class GatedFeedForward(nn.Module):
    """A block's feed-forward part with its two first layers in one matmul; it takes that part's place.

    Zero channels fill these layers up to a number that a GPU's fast matmuls take. Their biases are added behind
    the matmul, in passing: compiled, each layer would first write its bias into every row, and then add to that.
    """

    def __init__(self, feed_forward: Any) -> None:
        super().__init__()
        layers = (feed_forward.gate_proj, feed_forward.up_proj)
        missing = -layers[0].out_features % ALIGNED
        with torch.no_grad():
            weights = [functional.pad(layer.weight, (0, 0, 0, missing)) for layer in layers]
            biases = [functional.pad(layer.bias, (0, missing)) for layer in layers]
            down = functional.pad(feed_forward.down_proj.weight, (0, missing))
            self.weight, self.bias, feed_forward.down_proj.weight = (
                nn.Parameter(each, requires_grad=layers[0].weight.requires_grad)
                for each in (torch.cat(weights), torch.cat(biases), down)
            )
        self.act_fn, self.down_proj = feed_forward.act_fn, feed_forward.down_proj

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """(patches, channels), likewise"""
        return self.down_proj(self.gated(patches))

    def gated(self, patches: torch.Tensor) -> torch.Tensor:
        """What the last layer takes: (patches, channels) to (patches, channels between)."""
        if pointwise.by_kernels(patches):
            gate, up = functional.linear(patches, self.weight, self.bias).chunk(2, dim=-1)
            return pointwise.gated(self.act_fn, gate, up)
        gate, up = functional.linear(patches, self.weight).chunk(2, dim=-1)
        gate_bias, up_bias = self.bias.chunk(2)
        return self.act_fn(gate + gate_bias) * (up + up_bias)


def _ordered(tokens: torch.Tensor, plan: PatchPlan) -> torch.Tensor:
    """Tokens image by image and row by row, of tokens in the places of their units."""
    return tokens if plan.back is None else tokens[plan.back]


def _rotated(states: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """States (patches, heads, size) turned by their positions, computed in float32."""
    one, other = states.float().chunk(2, dim=-1)
    turned = states.float() * cosine + torch.cat((-other, one), dim=-1) * sine
    return turned.to(states.dtype)
