"""`config.json` of the official folder, from the base model's."""

from pathlib import Path
from typing import Any

from refvessel.errors import UserError
from refvessel.files import read_json

_BASE_MODEL_TYPE = "internvl_chat"
# Where the official code finds its classes once its files lie beside; RefVessel never runs them.
_OFFICIAL_CODE = {
    "AutoConfig": "configuration_sa2va_chat.Sa2VAChatConfig",
    "AutoModel": "modeling_sa2va_chat.Sa2VAChatModel",
    "AutoModelForCausalLM": "modeling_sa2va_chat.Sa2VAChatModel",
}
# The base's own code is another model's, the dtype is that of the result, the rest tells how the base was saved.
_DROPPED = frozenset(
    {"auto_map", "torch_dtype", "dtype", "_commit_hash", "_name_or_path", "transformers_version"}
)


def read_base_config(folder: Path) -> dict[str, Any]:
    """The base folder's `config.json`; raises UserError unless it is an InternVL's."""
    path = Path(folder) / "config.json"
    config = read_json(path)
    if not isinstance(config, dict) or config.get("model_type") != _BASE_MODEL_TYPE:
        raise UserError(
            f"{path} is not that of an InternVL model (model_type {_BASE_MODEL_TYPE!r}); give such a folder."
        )
    for key in ("llm_config", "vision_config"):
        if not isinstance(config.get(key), dict):
            raise UserError(f"{path} has no {key}; copy the base model again.")
    architectures = config["llm_config"].get("architectures")
    if not isinstance(architectures, list) or not all(
        isinstance(each, str) for each in architectures[:1] or [0]
    ):
        raise UserError(
            f"{path} names no language model in llm_config.architectures; copy the base model again."
        )
    if not isinstance(config.get("grounding_encoder_config", {}), dict):
        raise UserError(f"{path} has a grounding_encoder_config that is not an object; repair it.")
    return config


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
    config = _cleaned(base) | {
        "model_type": "sa2va_chat",
        "architectures": ["Sa2VAChatModel"],
        "auto_map": dict(_OFFICIAL_CODE),
        "template": template,
        "torch_dtype": dtype,
    }
    config["llm_config"] |= {"vocab_size": vocab_size}
    for settings in (config, config["llm_config"]):
        if "tie_word_embeddings" in settings:
            settings["tie_word_embeddings"] = tied
    if grounding_encoder is not None:
        config["grounding_encoder_config"] = grounding_encoder
    return config


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
