"""torch.compile where it pays on a GPU: the blocks that repeat, each kind compiled once."""

import torch

from refvessel.model import hiera
from refvessel.model.modeling import Sa2VAModel

_MOST_VARIANTS = 64  # of one block: SAM2's stages and windows differ in shape


def compile_blocks(model: Sa2VAModel) -> None:
    """Compile the repeating blocks in place; the first batch of each shape takes tens of seconds longer.

    Of the language model's layers only what does not touch the key-value cache is compiled, since a compiled
    cache update would be a variant of its own for every layer.
    """
    torch._dynamo.config.cache_size_limit = _MOST_VARIANTS
    hiera.block_tokens = torch.compile(hiera.block_tokens)
    for layer in model.vision_model.encoder.layer:
        layer.compile()
    for layer in model.language_model.model.layers:
        for part in (layer.mlp, layer.input_layernorm, layer.post_attention_layernorm):
            part.compile()
    model.grounding_encoder.mask_decoder.compile()
