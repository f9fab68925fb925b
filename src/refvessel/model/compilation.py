"""What pays on a GPU: fused kernels, and torch.compile of the blocks that repeat, each kind compiled once."""

import torch

from refvessel.model.modeling import Sa2VAModel

_MOST_VARIANTS = 64  # of one block: SAM2's stages and windows differ in shape


def fuse_blocks(model: Sa2VAModel) -> None:
    """Let a model's layers be computed by fewer and faster kernels on a GPU, in place; nothing is compiled."""
    model.vision.fuse()
    model.image_encoder.fuse()
    model.language.fuse()


def compile_blocks(model: Sa2VAModel) -> None:
    """Fuse and compile a model's repeating blocks in place; the first batch of each shape takes long.

    Other models of the process stay as they are; PyTorch's own settings are the process's.
    """
    torch._dynamo.config.cache_size_limit = _MOST_VARIANTS
    if model.device.type == "cuda":
        # What is compiled holds for this number of threads; those that PyTorch's loader starts have one.
        torch.set_num_threads(1)
    fuse_blocks(model)
    model.normalise.compile()
    model.vision.compile()
    model.image_encoder.compile()
    model.language.compile()
    model.grounding_encoder.mask_decoder.compile()
