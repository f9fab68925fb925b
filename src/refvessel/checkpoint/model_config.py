"""`config.json` of the official folder, from the base model's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refvessel.checkpoint.layer_names import Family
from refvessel.checkpoint.weights_folder import require_model_folder
from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.model.naming import QWEN2_5_VL, embedding_name, head_name

OFFICIAL_MODEL_TYPE = "sa2va_chat"
_BASE_MODEL_TYPES = {
    "internvl_chat": Family.INTERNVL,
    "qwen2_5_vl": Family.QWEN,
    "qwen3_vl": Family.QWEN,
}
# Where the official code finds its classes once its files lie beside; RefVessel never runs them.
_OFFICIAL_CODE = {
    Family.INTERNVL: {
        "AutoConfig": "configuration_sa2va_chat.Sa2VAChatConfig",
        "AutoModel": "modeling_sa2va_chat.Sa2VAChatModel",
        "AutoModelForCausalLM": "modeling_sa2va_chat.Sa2VAChatModel",
    },
    Family.QWEN: {
        "AutoConfig": "configuration_sa2va_chat.Sa2VAChatConfigQwen",
        "AutoModel": "modeling_sa2va_qwen.Sa2VAChatModelQwen",
        "AutoModelForCausalLM": "modeling_sa2va_qwen.Sa2VAChatModelQwen",
    },
}
_OFFICIAL_CLASS = {Family.INTERNVL: "Sa2VAChatModel", Family.QWEN: "Sa2VAChatModelQwen"}
_LANGUAGE_MODEL = {Family.INTERNVL: "llm_config", Family.QWEN: "text_config"}
# What a Qwen-VL's configuration says of the whole; before transformers 4.52, all else was of its language model.
_OF_THE_WHOLE = frozenset(
    {"architectures", "model_type", "vision_config", "image_token_id", "video_token_id", "template"}
    | {"vision_start_token_id", "vision_end_token_id", "vision_token_id", "tie_word_embeddings"}
    | {"grounding_encoder_config", "auto_map", "torch_dtype", "dtype", "quantization_config"}
)
# The base's own code is another model's, the dtype is that of the result, the rest tells how the base was saved.
_DROPPED = frozenset(
    {"auto_map", "torch_dtype", "dtype", "_commit_hash", "_name_or_path", "transformers_version"}
)


def family_of_config(config: Mapping[str, Any]) -> Family:
    """Which multimodal model a `config.json` is about, the base's or that of an official folder."""
    stated = _BASE_MODEL_TYPES.get(config.get("model_type", ""))
    return stated or (Family.QWEN if "text_config" in config else Family.INTERNVL)


def read_base_config(folder: Path, *, official: bool = False) -> dict[str, Any]:
    """The folder's `config.json`, a Qwen-VL's in the form that it has had since transformers 4.52.

    Raises UserError unless it is that of an InternVL or Qwen-VL, or where `official`, of a Sa2VA.
    """
    path = require_model_folder(folder) / "config.json"
    config = read_json(path)
    known = [OFFICIAL_MODEL_TYPE] if official else [*_BASE_MODEL_TYPES]
    if not isinstance(config, dict) or config.get("model_type") not in known:
        raise UserError(
            f"{path} is not that of {'a Sa2VA' if official else 'an InternVL or Qwen-VL model'} (model_type "
            f"{' or '.join(known)}); give such a folder."
        )
    family = family_of_config(config)
    if family is Family.QWEN and "text_config" not in config:
        config = _nested(config)
    for key in (_LANGUAGE_MODEL[family], "vision_config"):
        if not isinstance(config.get(key), dict):
            raise UserError(f"{path} has no {key}; copy the base model again.")
    if family is Family.INTERNVL:
        architectures = config["llm_config"].get("architectures")
        if not isinstance(architectures, list) or not all(
            isinstance(each, str) for each in architectures[:1] or [0]
        ):
            raise UserError(
                f"{path} names no language model in llm_config.architectures; copy the base model again."
            )
    if not isinstance(config.get("grounding_encoder_config", {}), dict | None):
        raise UserError(f"{path} has a grounding_encoder_config that is not an object; repair it.")
    return config


def vocabulary_names(config: Mapping[str, Any]) -> tuple[str, str]:
    """The official names of the token embeddings and of the output layer."""
    if family_of_config(config) is Family.QWEN:
        architecture = QWEN2_5_VL
    else:
        architecture = (config["llm_config"]["architectures"] or [""])[0]
    return embedding_name(architecture), head_name(architecture)


def ties_embeddings(config: Mapping[str, Any]) -> bool:
    """Whether a base's output layer is that of its embeddings."""
    family = family_of_config(config)
    tied = config[_LANGUAGE_MODEL[family]].get("tie_word_embeddings")
    if family is Family.QWEN:  # whose configuration states it for the whole
        tied = config.get("tie_word_embeddings", tied)
    return bool(tied)


def official_config(
    base: dict[str, Any],
    *,
    template: str,
    vocab_size: int,
    grounding_encoder: dict[str, Any] | None,
    tied: bool,
    dtype: str,
) -> dict[str, Any]:
    """`config.json` of a Sa2VA on that base.

    `grounding_encoder` is left out where it is None (Hiera-L); `tied` says whether the output layer is that of the
    embeddings, and is stated where the base states it.
    """
    family = family_of_config(base)
    config = _cleaned(base) | {
        "model_type": OFFICIAL_MODEL_TYPE,
        "architectures": [_OFFICIAL_CLASS[family]],
        "auto_map": dict(_OFFICIAL_CODE[family]),
        "template": template,
        "torch_dtype": dtype,
    }
    language_model = config[_LANGUAGE_MODEL[family]]
    language_model |= {"vocab_size": vocab_size}
    for settings in (config, language_model):
        if "tie_word_embeddings" in settings or family is Family.QWEN:
            settings["tie_word_embeddings"] = tied
    if grounding_encoder is not None:
        config["grounding_encoder_config"] = grounding_encoder
    return config


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    """A Qwen2.5-VL's configuration with its language model's in a section of its own."""
    text = {key: value for key, value in flat.items() if key not in _OF_THE_WHOLE}
    whole = {key: value for key, value in flat.items() if key in _OF_THE_WHOLE}
    return whole | {"text_config": text | {"model_type": f"{flat['model_type']}_text"}}


def model_shapes(config: dict[str, Any], where: str) -> dict[str, tuple[int, ...]]:
    """The tensors that a model with this configuration has: official name -> shape.

    Raises UserError where it describes no model that can be built; `where` tells what it is made of.
    """
    # Found by building the model (on no device), which takes transformers a second to import.
    from refvessel.model.configuration import describing_a_model
    from refvessel.model.official_tensors import official_shapes

    with describing_a_model(where):
        return official_shapes(config)


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items() if key not in _DROPPED}
    return value
