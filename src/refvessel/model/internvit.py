"""InternViT as transformers has it, with the one number that it does not take from the configuration."""

from typing import Any

from transformers.models.internvl.configuration_internvl import InternVLVisionConfig
from transformers.models.internvl.modeling_internvl import InternVLVisionModel


def internvit(config: InternVLVisionConfig) -> InternVLVisionModel:
    """The image encoder of an InternVL, of either size.

    Queries and keys of InternViT-6B are normalised with the epsilon that the other norms have; transformers' are
    built with a constant.
    """
    encoder = InternVLVisionModel(config)
    if config.use_qk_norm:
        blocks: Any = encoder.encoder.layer
        for block in blocks:
            for norm in (block.attention.q_norm, block.attention.k_norm):
                norm.variance_epsilon = config.layer_norm_eps
    return encoder
