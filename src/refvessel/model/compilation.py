"""What pays on a GPU: fused kernels, and torch.compile of the blocks that repeat, each kind compiled once."""

import torch
from torch import nn

from refvessel.model import hiera, language, processing
from refvessel.model.kernels import ALIGNED, LinearGelu, PatchProduct, TransposedLinear
from refvessel.model.modeling import Sa2VAModel

_MOST_VARIANTS = 64  # of one block: SAM2's stages and windows differ in shape


def compile_blocks(model: Sa2VAModel) -> None:
    """Compile the repeating blocks in place; the first batch of each shape takes tens of seconds longer."""
    torch._dynamo.config.cache_size_limit = _MOST_VARIANTS
    if model.device.type == "cuda":
        # What is compiled holds for this number of threads; those that PyTorch's loader starts have one.
        torch.set_num_threads(1)
    _fuse_gelu(model)
    _multiply_patches(model)
    processing.standardise = torch.compile(processing.standardise)
    model.vision_model.embeddings.patch_embeddings.compile()
    hiera.embed_patches = torch.compile(hiera.embed_patches)
    hiera.block_tokens = torch.compile(hiera.block_tokens)
    for layer in model.vision_model.encoder.layer:
        layer.compile()
    if model.language_model.lm_head.out_features % ALIGNED:
        model.language_model.lm_head = TransposedLinear(model.language_model.lm_head)
    language.read_last = torch.compile(language.read_last)
    for layer in model.language_model.model.layers:
        # Our caches have no numbers, and layers with numbers of their own would be compiled one by one.
        layer.self_attn.layer_idx = 0
        layer.compile()
    model.grounding_encoder.mask_decoder.compile()


def _fuse_gelu(model: Sa2VAModel) -> None:
    """Let the products before a GELU compute it, where that is the exact one that models are trained with."""
    if model.config.vision_config.hidden_act != "gelu":
        return
    for layer in model.vision_model.encoder.layer:
        layer.mlp.fc1 = LinearGelu(layer.mlp.fc1)
        layer.mlp.activation_fn = nn.Identity()
    for block in model.grounding_encoder.vision_encoder.backbone.blocks:
        block.mlp.proj_in = LinearGelu(block.mlp.proj_in)
        block.mlp.activation = nn.Identity()


def _multiply_patches(model: Sa2VAModel) -> None:
    """Let the encoders' first convolutions be products."""
    tiles = model.vision_model.embeddings.patch_embeddings
    whole = model.grounding_encoder.vision_encoder.backbone.patch_embed
    for embeddings in (tiles, whole):
        embeddings.projection = PatchProduct(embeddings.projection)
