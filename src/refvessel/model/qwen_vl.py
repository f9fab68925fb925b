"""The modules of a Sa2VA of the Qwen2.5-VL and Qwen3-VL families, all of which are transformers' own."""

from typing import Any

from torch import nn
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionTransformerPretrainedModel,
    Qwen2_5_VLTextModel,
)
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel, Qwen3VLVisionModel

from refvessel.model.grounded_configuration import architecture_of
from refvessel.model.naming import QWEN2_5_VL, QWEN3_VL
from refvessel.model.qwen_configuration import QwenSa2VAConfig

_VISION_MODELS: dict[str, Any] = {
    QWEN2_5_VL: Qwen2_5_VisionTransformerPretrainedModel,
    QWEN3_VL: Qwen3VLVisionModel,
}
_DECODERS: dict[str, Any] = {QWEN2_5_VL: Qwen2_5_VLTextModel, QWEN3_VL: Qwen3VLTextModel}


class QwenLanguageModel(PreTrainedModel):
    """A decoder and its output layer, named as in other families; Sa2VA does not tie it to the embeddings."""

    _supports_sdpa = True

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        self.model = _DECODERS[architecture_of(config)](config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()


def modules_of(config: QwenSa2VAConfig) -> dict[str, nn.Module]:
    """The family's modules, by their names in the model; without weights that mean anything."""
    return {
        "vision_model": _VISION_MODELS[config.architecture](config.vision_config),
        "language_model": QwenLanguageModel(config.llm_config),
    }
