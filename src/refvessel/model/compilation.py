"""What pays on a GPU: fused kernels, and torch.compile of the blocks that repeat, each kind compiled once."""

from typing import Any

import torch

from refvessel.model.kernels import PatchMatmul, fuse_gelu
from refvessel.model.modeling import Sa2VAModel

_MOST_VARIANTS = 64  # of one block: SAM2's stages and windows differ in shape


def compile_blocks(model: Sa2VAModel) -> None:
    """Compile a model's repeating blocks in place; the first batch of each shape takes tens of seconds longer.

    Other models of the process stay as they are; PyTorch's own settings are the process's.
    """
    torch._dynamo.config.cache_size_limit = _MOST_VARIANTS
    if model.device.type == "cuda":
        # What is compiled holds for this number of threads; those that PyTorch's loader starts have one.
        torch.set_num_threads(1)
    model.normalise.compile()
    _compile_tiles(model.vision_model)
    model.image_encoder.compile()
    model.language.compile()
    model.grounding_encoder.mask_decoder.compile()


def _compile_tiles(vision_model: Any) -> None:
    """Fuse and compile InternViT's blocks."""
    embeddings = vision_model.embeddings.patch_embeddings
    embeddings.projection = PatchMatmul(embeddings.projection)
    embeddings.compile()
    for layer in vision_model.encoder.layer:
        if vision_model.config.hidden_act == "gelu":
            fuse_gelu(layer.mlp, "fc1", "activation_fn")
        layer.compile()
