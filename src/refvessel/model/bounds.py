"""What a `config.json` may ask for: a model is described by these numbers before any weight is looked at."""

import math
from collections.abc import Mapping
from typing import Any

from refvessel.errors import UserError

# Key -> least and greatest value. The greatest is several times that of any released model, and small enough that
# a model of this size is described (on no device) within seconds.
_TOP = {
    "force_image_size": (14, 4096),
    "min_dynamic_patch": (1, 128),
    "max_dynamic_patch": (1, 128),
}
_VISION = {
    "hidden_size": (1, 1 << 15),
    "intermediate_size": (1, 1 << 18),
    "num_hidden_layers": (1, 512),
    "num_attention_heads": (1, 1024),
    "image_size": (14, 4096),
    "patch_size": (1, 1024),
}
_LANGUAGE = {
    "vocab_size": (1, 1 << 22),
    "hidden_size": (1, 1 << 15),
    "intermediate_size": (1, 1 << 18),
    "num_hidden_layers": (1, 512),
    "num_attention_heads": (1, 1024),
    "num_key_value_heads": (1, 1024),
    "head_dim": (1, 4096),
    "max_position_embeddings": (1, 1 << 27),
    "original_max_position_embeddings": (1, 1 << 27),
    "sliding_window": (1, 1 << 27),
    "max_window_layers": (0, 512),
}
_QWEN_TOP = {"image_token_id": (0, 1 << 22)}
_QWEN_VISION = {
    "depth": (1, 512),
    "hidden_size": (1, 1 << 15),
    "intermediate_size": (1, 1 << 18),
    "num_heads": (1, 1024),
    "patch_size": (1, 1024),
    "out_hidden_size": (1, 1 << 15),
    "window_size": (1, 4096),
    "fullatt_block_indexes": (0, 511),
    "num_position_embeddings": (1, 1 << 20),
    "deepstack_visual_indexes": (0, 511),
}
_SAM2 = {
    "embed_dim": (1, 4096),
    "num_heads": (1, 1024),
    "stages": (1, 256),
    "global_att_blocks": (0, 1024),
    "window_spec": (1, 1024),
    "window_pos_embed_bkg_spatial_size": (1, 1024),
    "image_size": (16, 4096),
    "hidden_dim": (1, 1 << 15),
    "mask_decoder_mlp_dim": (1, 1 << 18),
    "iou_head_hidden_dim": (1, 1 << 18),
    "memory_dim": (1, 1 << 15),
    "memory_attention_layers": (1, 256),
    "memory_attention_mlp_dim": (1, 1 << 18),
    "memory_fuser_mlp_dim": (1, 1 << 18),
}
_SAM2_STRIDE = 32  # pixels of a cell of the coarsest features
_PARTS = {"vision_config": _VISION, "llm_config": _LANGUAGE, "grounding_encoder_config": _SAM2}
_QWEN_PARTS = {"vision_config": _QWEN_VISION, "text_config": _LANGUAGE, "grounding_encoder_config": _SAM2}
_FLAGS = ("use_thumbnail", "dynamic_image_size")
_LISTS = {  # key -> number of entries, None for any
    "stages": 4,
    "window_spec": 4,
    "window_pos_embed_bkg_spatial_size": 2,
    "global_att_blocks": None,
    "fullatt_block_indexes": None,
    "deepstack_visual_indexes": None,
    "mrope_section": 3,
}
_MOST_ENTRIES = 1024


def check_bounds(settings: Mapping[str, Any]) -> None:
    """Raise UserError, naming the key, where a number is none or out of bounds; absent ones are defaults."""
    _check(settings, _TOP, "")
    _require_finite(settings, "config.json: ")
    for key in _FLAGS:
        if not isinstance(settings.get(key, False), bool):
            raise UserError(f"config.json: {key} is {_shown(settings[key])}; write true or false.")
    least, most = settings.get("min_dynamic_patch", 1), settings.get("max_dynamic_patch", 12)
    if least > most:
        raise UserError(
            f"config.json: min_dynamic_patch is {least}, above max_dynamic_patch ({most}); repair it."
        )
    _check_parts(settings, _PARTS, "llm_config")


def check_qwen_bounds(settings: Mapping[str, Any]) -> None:
    """The same for a configuration of the Qwen-VL families."""
    _check(settings, _QWEN_TOP, "")
    _require_finite(settings, "config.json: ")
    _check_parts(settings, _QWEN_PARTS, "text_config")
    language = settings["text_config"]
    for key in ("rope_scaling", "rope_parameters"):
        rotary = language.get(key) if isinstance(language, dict) else None
        if isinstance(rotary, dict):
            _check(rotary, {"mrope_section": (1, 4096)}, f"text_config.{key}.")


def _check_parts(
    settings: Mapping[str, Any], parts: Mapping[str, Mapping[str, tuple[int, int]]], language_model: str
) -> None:
    for part, bounds in parts.items():
        described = settings.get(part)
        if isinstance(described, dict):
            _check(described, bounds, f"{part}.")
        elif isinstance(described, int | float | str | list):
            raise UserError(
                f"config.json: {part} is {_shown(described)}, not an object; copy the model again."
            )
    language = settings.get(language_model)
    theta = language.get("rope_theta") if isinstance(language, dict) else None
    if isinstance(theta, int | float) and theta <= 0:
        raise UserError(f"config.json: {language_model}.rope_theta is {theta}, not above 0; repair it.")


def check_trunk(settings: Mapping[str, Any]) -> None:
    """Raise UserError where numbers of a SAM2 trunk, each within its bounds, do not go together.

    `settings` has every key of `grounding_encoder_config`.
    """
    for key, divisor, of_what in (
        ("embed_dim", settings["num_heads"], "num_heads"),
        ("image_size", _SAM2_STRIDE, "the trunk's stride"),
    ):
        if settings[key] % divisor:
            raise UserError(
                f"config.json: grounding_encoder_config.{key} is {settings[key]}, no multiple of {divisor} "
                f"({of_what}); repair it, or copy the model again."
            )
    blocks = sum(settings["stages"])
    if any(number >= blocks for number in settings["global_att_blocks"]):
        raise UserError(
            f"config.json: grounding_encoder_config.global_att_blocks names block "
            f"{max(settings['global_att_blocks'])}, but the trunk has {blocks} (stages), from 0; "
            "repair it, or copy the model again."
        )


def _check(settings: Mapping[str, Any], bounds: Mapping[str, tuple[int, int]], part: str) -> None:
    for key, (least, greatest) in bounds.items():
        value = settings.get(key)
        if value is None and part:
            continue
        if key in _LISTS:
            _check_list(value, least, greatest, part + key, _LISTS[key])
        elif key in settings and not _within(value, least, greatest):
            raise UserError(
                f"config.json describes no model that can be built: {part}{key} is {_shown(value)}, "
                f"not a whole number from {least} to {greatest}; "
                "repair it, or copy the model again."
            )


def _require_finite(value: Any, place: str) -> None:
    """JSON has no NaN and no infinity, but Python reads both, the latter as 1e400 too."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{place} is {value}, not a number; repair it, or copy the model again.")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        _require_finite(each, f"{place}.{key}" if place[-1] != " " else f"{place}{key}")


def _check_list(value: Any, least: int, greatest: int, key: str, length: int | None) -> None:
    is_list = (
        isinstance(value, list) and len(value) <= _MOST_ENTRIES and len(value) in (length or len(value),)
    )
    if not is_list or not all(_within(each, least, greatest) for each in value):
        count = f"{length} " if length else ""
        raise UserError(
            f"config.json describes no model that can be built: {key} is {_shown(value)}, "
            f"not a list of {count}whole numbers from {least} to "
            f"{greatest}; repair it, or copy the model again."
        )


def _within(value: Any, least: int, greatest: int) -> bool:
    return type(value) is int and least <= value <= greatest


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:50]}..."
