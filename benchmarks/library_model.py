"""Transformers' own model of a Qwen-VL family, over the weights of one of ours: the plain loop's."""

from functools import lru_cache
from typing import Any

import torch
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from refvessel.model.modeling import Sa2VAModel
from refvessel.model.naming import QWEN2_5_VL, QWEN3_VL

_KINDS: dict[str, tuple[Any, Any]] = {
    QWEN2_5_VL: (Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration),
    QWEN3_VL: (Qwen3VLConfig, Qwen3VLForConditionalGeneration),
}
_PREFIXES = {
    "vision_model.": "model.visual.",
    "language_model.model.": "model.language_model.",
    "language_model.lm_head.": "lm_head.",
}


@lru_cache(1)
def library_model(model: Sa2VAModel) -> Any:
    """The library's model of the family of `model`, which is not compiled; they share their weights."""
    config: Any = model.config
    of_config, of_model = _KINDS[config.architecture]
    of_parts = (
        part if isinstance(part, dict) else part.to_dict()
        for part in (config.vision_config, config.llm_config)
    )
    vision, language = of_parts
    settings = of_config(vision_config=vision, text_config=language, image_token_id=config.image_token_id)
    with torch.device("meta"):
        library = of_model(settings)
    weights = {
        theirs + name.removeprefix(ours): tensor
        for name, tensor in model.state_dict().items()
        for ours, theirs in _PREFIXES.items()
        if name.startswith(ours)
    }
    library.load_state_dict(weights, assign=True)
    with torch.device(model.device):  # what no folder holds
        library.model.visual.rotary_pos_emb = _anew(
            library.model.visual.rotary_pos_emb, settings.vision_config
        )
        library.model.language_model.rotary_emb = _anew(
            library.model.language_model.rotary_emb, settings.text_config
        )
    return library.eval()


def _anew(rotary: Any, config: Any) -> Any:
    return type(rotary)(config)
