"""The InternVL family's image encoder: tiles of one size, each of which becomes the same number of tokens.

tiles ---> InternViT ---> pixel shuffle, projector ---> image tokens
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers.models.auto.modeling_auto import AutoModelForCausalLM
from transformers.models.internvl.modeling_internvl import InternVLMultiModalProjector

from refvessel.model.configuration import Sa2VAConfig
from refvessel.model.image_tokens import ImageTokens, ImageView
from refvessel.model.internvit import internvit
from refvessel.model.kernels import fuse_gelu, fuse_patches
from refvessel.model.pointwise import add_normed, add_scaled, normed


def modules_of(config: Sa2VAConfig) -> dict[str, nn.Module]:
    """The family's modules, by their names in the model; without weights that mean anything."""
    return {
        "vision_model": internvit(config.vision_config),
        "multi_modal_projector": InternVLMultiModalProjector(config.projector_config()),
        "language_model": AutoModelForCausalLM.from_config(config.llm_config),
    }


class TileEncoder:
    """Makes image tokens of tiles, over the modules of one model; `compile` concerns these and no others.

    Args:
        model: what `modules_of` the family are parts of.
        pixels: normalises the tiles of views, one after the other.

    Attributes:
        tower: InternViT, which models may share: what it sees is the same for all of them.
    """

    # The modules whose results are used outside of modules.
    called = ("vision_model", "multi_modal_projector")

    def __init__(
        self,
        model: Any,
        pixels: Callable[[Sequence[ImageView]], torch.Tensor],
    ) -> None:
        self.tower = model.vision_model
        self._projector = model.multi_modal_projector
        self._pixels = pixels
        self._run_block = run_block

    def fuse(self) -> None:
        """Let a GPU compute fewer kernels, in place."""
        fuse_patches(self.tower.embeddings.patch_embeddings, "projection")
        if self.tower.config.hidden_act == "gelu":
            for layer in self.tower.encoder.layer:
                fuse_gelu(layer.mlp, "fc1", "activation_fn")

    def compile(self) -> None:
        """Compile InternViT's blocks."""
        self.tower.embeddings.patch_embeddings.compile()
        self._run_block = torch.compile(run_block)

    def encode(self, views: Sequence[ImageView]) -> list[ImageTokens]:
        """The image tokens of each view."""
        return self.tokens(self.look(views), views)

    def look(self, views: Sequence[ImageView]) -> torch.Tensor:
        """What the tower sees in all tiles, for `tokens`."""
        return self.see_tiles(self._pixels(views))

    def tokens(self, seen: torch.Tensor, views: Sequence[ImageView]) -> list[ImageTokens]:
        """The image tokens of each view, of what the tower sees in them."""
        counts = [len(view.tiles) for view in views]
        return [ImageTokens(each.flatten(0, 1)) for each in self._projected(seen).split(counts)]

    def embed_tiles(self, tiles: torch.Tensor) -> torch.Tensor:
        """Image tokens of normalised tiles: (tiles, 3, side, side) to (tiles, tokens, hidden size)."""
        return self._projected(self.see_tiles(tiles))

    def see_tiles(self, tiles: torch.Tensor) -> torch.Tensor:
        """The tower's states of normalised tiles: (tiles, 3, side, side) to (tiles, patches, channels)."""
        return self._read(tiles)[:, 1:]  # without the class token

    def _projected(self, patches: torch.Tensor) -> torch.Tensor:
        return self._projector(_pixel_shuffle(patches))

    def _read(self, tiles: torch.Tensor) -> torch.Tensor:
        """InternViT's last states."""
        encoder = self.tower
        if hasattr(encoder, "_hf_hook"):  # of a model spread over devices
            last: torch.Tensor = encoder(tiles).last_hidden_state
            return last
        hidden = encoder.embeddings(tiles)
        for block in encoder.encoder.layer:
            hidden = self._run_block(block, hidden)
        return normed(encoder.layernorm, hidden) if isinstance(encoder.layernorm, nn.LayerNorm) else hidden


def run_block(block: Any, hidden: torch.Tensor) -> torch.Tensor:
    """A block of InternViT over patches, (tiles, patches, channels), which may be overwritten.

    The arithmetic is the library's, but that what is added and normed is one kernel on a GPU.
    """
    attended = _attend(block.attention, normed(block.layernorm_before, hidden))
    hidden, between = add_normed(block.layernorm_after, hidden, attended, block.lambda_1)
    return add_scaled(hidden, block.mlp(between), block.lambda_2)


def _attend(attention: Any, patches: torch.Tensor) -> torch.Tensor:
    """Attention of patches to all of their tile: (tiles, patches, channels), likewise."""
    query = attention.q_norm(attention.q_proj(patches))
    key = attention.k_norm(attention.k_proj(patches))
    value = attention.v_proj(patches)
    query, key, value = (
        each.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for each in (query, key, value)
    )
    mixed = functional.scaled_dot_product_attention(query, key, value, scale=attention.scale)
    projected: torch.Tensor = attention.projection_layer(mixed.transpose(1, 2).flatten(2))
    return projected


def _pixel_shuffle(patches: torch.Tensor) -> torch.Tensor:
    """Four neighbouring patches become one token: (tiles, side^2, c) to (tiles, (side/2)^2, 4c).

    InternVL's version 2: within a token the channels run over the two columns of each of the two rows.
    """
    tiles, count, channels = patches.shape
    side = int(count**0.5)
    blocks = patches.reshape(tiles, side // 2, 2, side // 2, 2, channels)  # (T, row, 2, column, 2, c)
    return blocks.permute(0, 1, 3, 2, 4, 5).reshape(tiles, count // 4, 4 * channels)
