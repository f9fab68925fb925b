"""The configuration of a Sa2VA of a Qwen-VL family, as transformers' configurations of its parts."""

from collections.abc import Mapping
from typing import Any

from transformers.configuration_utils import PreTrainedConfig
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import (
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLVisionConfig,
)
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLTextConfig, Qwen3VLVisionConfig

from refvessel.errors import UserError
from refvessel.model.bounds import check_qwen_bounds
from refvessel.model.grounded_configuration import GroundedConfig, require_plain_weights
from refvessel.model.naming import QWEN2_5_VL, QWEN3_VL

# What each family is built of, and the keys of its parts that say what the model is; all others stay behind, as
# in the InternVL family.
_KINDS: dict[str, tuple[Any, Any]] = {
    QWEN2_5_VL: (Qwen2_5_VLVisionConfig, Qwen2_5_VLTextConfig),
    QWEN3_VL: (Qwen3VLVisionConfig, Qwen3VLTextConfig),
}
_MODEL_TYPES = {"qwen2_5_vl": QWEN2_5_VL, "qwen3_vl": QWEN3_VL}
_TEXT, _VISION_SUFFIX = "_text", "_vision"
_VISION_KEYS = frozenset(
    {"depth", "hidden_size", "hidden_act", "intermediate_size", "num_heads", "patch_size", "out_hidden_size"}
    | {"window_size", "fullatt_block_indexes", "num_position_embeddings", "deepstack_visual_indexes"}
)
_LANGUAGE_KEYS = frozenset(
    {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "head_dim"}
    | {"num_key_value_heads", "hidden_act", "rms_norm_eps", "attention_bias", "pad_token_id"}
    | {"max_position_embeddings", "rope_theta", "rope_scaling", "rope_parameters"}
    | {"use_sliding_window", "sliding_window", "max_window_layers", "layer_types"}
)
# What the code here takes for granted of an image encoder.
_FIXED = {"in_channels": 3, "spatial_merge_size": 2, "temporal_patch_size": 2}


class QwenSa2VAConfig(GroundedConfig):
    """`config.json` of an official folder of a Qwen-VL family.

    Args:
        family: as `qwen_family` tells it.
        vision_config: the image encoder, with the keys of Qwen's own configuration.
        text_config: the language model, likewise; its keys may also stand at the top.
        grounding_encoder_config: where SAM2 is not Hiera-L, the keys of `HIERA_LARGE` that differ.
        image_token_id: the token that stands for one image token.
        **settings: all other keys.

    Raises:
        UserError: for a setting that is not supported.
    """

    sub_configs = {"vision_config": PreTrainedConfig, "llm_config": PreTrainedConfig}  # noqa: RUF012

    def __init__(
        self,
        family: str = QWEN3_VL,
        vision_config: dict[str, Any] | None = None,
        text_config: dict[str, Any] | None = None,
        grounding_encoder_config: dict[str, Any] | None = None,
        image_token_id: int = 151655,
        **settings: Any,
    ) -> None:
        vision = {} if vision_config is None else vision_config
        language = settings if text_config is None else text_config
        require_plain_weights(settings, vision, language)
        check_qwen_bounds(
            {
                "image_token_id": image_token_id,
                "vision_config": vision,
                "text_config": language,
                "grounding_encoder_config": grounding_encoder_config,
            }
        )
        for key, value in _FIXED.items():
            if vision.get(key, value) != value:
                raise UserError(
                    f"config.json: vision_config.{key} is {vision[key]!r}, but only {value!r} is supported."
                )
        of_vision, of_language = _KINDS[family]
        self.vision_config = of_vision(**{key: vision[key] for key in vision.keys() & _VISION_KEYS})
        known = {key: language[key] for key in language.keys() & _LANGUAGE_KEYS}
        # The tokens that begin and end texts are the tokenizer's; the library's own may be beyond a vocabulary.
        known |= {"bos_token_id": None, "eos_token_id": None}
        self.llm_config = of_language(**known, architectures=[family], tie_word_embeddings=False)
        self.grounding_encoder_config = grounding_encoder_config
        self.image_token_id = image_token_id
        self._require_consistent()
        without: dict[str, Any] = {"tie_word_embeddings": False}
        super().__init__(**without)

    def _require_consistent(self) -> None:
        """Raise UserError where numbers of the parts, each within its bounds, do not go together."""
        vision, language = self.vision_config, self.llm_config
        head_size = (
            getattr(language, "head_dim", None) or language.hidden_size // language.num_attention_heads
        )
        sections = language.rope_parameters.get("mrope_section") or ()
        for wrong, what in (
            (
                vision.out_hidden_size != language.hidden_size,
                f"vision_config.out_hidden_size is {vision.out_hidden_size}, but text_config.hidden_size "
                f"{language.hidden_size}",
            ),
            (
                vision.hidden_size % (4 * vision.num_heads),
                f"vision_config.hidden_size is {vision.hidden_size}, no multiple of 4 * num_heads "
                f"({vision.num_heads})",
            ),
            (
                getattr(vision, "window_size", 0) % (2 * vision.patch_size),
                f"vision_config.window_size is {getattr(vision, 'window_size', 0)}, no multiple of 2 * patch_size "
                f"({vision.patch_size})",
            ),
            (
                len(getattr(vision, "deepstack_visual_indexes", ())) > language.num_hidden_layers,
                "vision_config.deepstack_visual_indexes are more than the language model's layers",
            ),
            (
                int(getattr(vision, "num_position_embeddings", 1) ** 0.5) ** 2
                != getattr(vision, "num_position_embeddings", 1),
                "vision_config.num_position_embeddings is no square",
            ),
            (
                2 * sum(sections) != head_size,
                f"text_config's mrope_section is {list(sections)}, not three numbers of the sum {head_size // 2}",
            ),
        ):
            if wrong:
                raise UserError(f"config.json: {what}; repair it, or copy the model again.")


def qwen_family(settings: Mapping[str, Any]) -> str | None:
    """The Qwen-VL family that a `config.json` describes; None where it describes none of them.

    Its parts tell: by their `model_type`, or where these are left out by keys that only one family has.
    """
    vision, language = settings.get("vision_config"), settings.get("text_config")
    if not isinstance(vision, dict) or "llm_config" in settings:
        return None
    for part, suffix in ((vision, _VISION_SUFFIX), (language, _TEXT)):
        named = part.get("model_type") if isinstance(part, dict) else None
        if isinstance(named, str) and (family := _MODEL_TYPES.get(named.removesuffix(suffix))):
            return family
    if "deepstack_visual_indexes" in vision:
        return QWEN3_VL
    return QWEN2_5_VL if "fullatt_block_indexes" in vision else None
