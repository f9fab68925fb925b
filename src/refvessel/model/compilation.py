"""What pays on a GPU: fused kernels, and torch.compile of the blocks that repeat, each kind compiled once."""

import torch

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
    model.vision.compile()
    model.image_encoder.compile()
    model.language.compile()
    model.grounding_encoder.mask_decoder.compile()
