"""`adapter_config.json` of a folder that peft saved: how its low-rank update is scaled, and what is beside it."""

import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refvessel.checkpoint.layer_names import adapted_module
from refvessel.checkpoint.training_config import LoraSettings, lora_settings
from refvessel.errors import UserError
from refvessel.files import read_json

ADAPTER_CONFIG = "adapter_config.json"

# Settings that change nothing of a finished update, or that its tensors state: how it was begun, trained, saved.
# `fan_in_fan_out` is of layers that no Sa2VA has; peft itself does as if it were not set.
_WITHOUT_EFFECT = frozenset(
    {"auto_mapping", "base_model_name_or_path", "bias", "corda_config", "eva_config"}
    | {"exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights", "layers_pattern"}
    | {"layers_to_transform", "loftq_config", "lora_bias", "lora_dropout", "lora_ga_config"}
    | {"megatron_core", "modules_to_save", "peft_type", "peft_version", "qalora_group_size", "revision"}
    | {"runtime_config", "target_modules", "task_type", "velora_config"}
)
_SCALING = frozenset({"r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"})
# Ways to begin that leave the base as it was. The others move a part of the base's weights into the factors.
_BEGINNINGS = frozenset({"gaussian", "orthogonal", "eva"})
_LONGEST_KEY = 300  # characters of a module's name
# A module's name, in which a number or anything may stand: the regular expressions that are read. Others could
# take forever, and nobody needs them.
_KEY = re.compile(r"\^?(?:[\w-]|\\?\.|\\d\+|\[0-9\]\+|\.\*)+\$?")
_TOKENS = re.compile(r"\\d\+|\[0-9\]\+|\.\*|\\?\.|[\w-]+")
_MOST_WILDCARDS = 3


@dataclass(frozen=True)
class AdapterSettings:
    """What scales an adapter's updates.

    `lora` holds wherever no pattern says otherwise; `saved` are names of modules that were saved whole; `base` is
    the path of the model that was adapted.
    """

    lora: LoraSettings
    saved: tuple[str, ...] = ()
    ranks: tuple[tuple[re.Pattern[str], int], ...] = ()
    alphas: tuple[tuple[re.Pattern[str], float], ...] = ()
    base: str | None = None

    def of(self, tensor: str) -> LoraSettings:
        """The settings of one module's update, by the adapter's name of a tensor of it."""
        module = adapted_module(tensor)
        rank = next((rank for pattern, rank in self.ranks if pattern.fullmatch(module)), self.lora.rank)
        alpha = next((alpha for pattern, alpha in self.alphas if pattern.fullmatch(module)), self.lora.alpha)
        return LoraSettings(rank, alpha, self.lora.rank_stabilised, self.lora.targets)

    def unused(self, tensors: Iterable[str]) -> list[str]:
        """The patterns, as stated, that no module of these tensors matches."""
        modules = {adapted_module(tensor) for tensor in tensors}
        patterns = [pattern for pattern, _ in (*self.ranks, *self.alphas)]
        return [each.pattern for each in patterns if not any(map(each.fullmatch, modules))]


def is_adapter_folder(folder: Path) -> bool:
    """True where peft saved an adapter there."""
    return (Path(folder) / ADAPTER_CONFIG).is_file()


def read_adapter_config(folder: Path) -> AdapterSettings:
    """Read a folder's `adapter_config.json`.

    Raises UserError for another method than LoRA, a kind of LoRA that is no addition of B @ A to the base's own
    weights, and a setting that is not known.
    """
    path = Path(folder) / ADAPTER_CONFIG
    stated = read_json(path)
    if not isinstance(stated, dict):
        raise UserError(f"{path} is not a JSON object; copy the adapter again.")
    if stated.get("peft_type") != "LORA":
        raise UserError(
            f"{path} states peft_type {_shown(stated.get('peft_type'))}, but only LORA is supported; merge the "
            "adapter with peft first."
        )
    for key in sorted(stated.keys() - _WITHOUT_EFFECT - _SCALING):
        if stated[key]:
            raise UserError(
                f"{path} states {key} = {_shown(stated[key])}, which is not supported; merge the adapter with "
                "peft first."
            )
    _check_beginning(stated.get("init_lora_weights", True), path)
    bias = stated.get("bias", "none")
    if bias not in ("none", "all", "lora_only"):
        raise UserError(f"{path} states bias = {_shown(bias)}, not none, all or lora_only; repair it.")
    base = stated.get("base_model_name_or_path")
    return AdapterSettings(
        lora_settings(stated, f"{path} states"),
        _texts(stated.get("modules_to_save"), "modules_to_save", path),
        tuple((key, _number(value, int, path)) for key, value in _patterns(stated, "rank_pattern", path)),
        tuple(
            (key, float(_number(value, float, path)))
            for key, value in _patterns(stated, "alpha_pattern", path)
        ),
        base if isinstance(base, str) and base else None,
    )


def _check_beginning(beginning: Any, path: Path) -> None:
    if not isinstance(beginning, bool | None) and beginning not in _BEGINNINGS:
        raise UserError(
            f"{path} states init_lora_weights = {_shown(beginning)}, which changed the base's weights before "
            "training; save the adapter with path_initial_model_for_weight_conversion."
        )


def _texts(value: Any, key: str, path: Path) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise UserError(f"{path} states {key} = {_shown(value)}, not a list of names; repair it.")
    return tuple(value)


def _patterns(stated: Mapping[str, Any], key: str, path: Path) -> list[tuple[re.Pattern[str], Any]]:
    patterns = stated.get(key) or {}
    if not isinstance(patterns, dict):
        raise UserError(f"{path} states {key} = {_shown(patterns)}, not names with numbers; repair it.")
    return [(_pattern(each, key, path), value) for each, value in patterns.items()]


def _pattern(text: str, key: str, path: Path) -> re.Pattern[str]:
    """peft's reading of a key: the whole name of a module, or the end of one after a dot."""
    if len(text) > _LONGEST_KEY or not _KEY.fullmatch(text) or text.count(".*") > _MOST_WILDCARDS:
        raise UserError(
            f"{path} states {key} for {_shown(text)}, an expression that is not evaluated; write out the modules' "
            "names."
        )
    anchored, inner = text.startswith("^"), text.removeprefix("^").removesuffix("$")
    parts = [_wildcard(token) or re.escape(token.removeprefix("\\")) for token in _TOKENS.findall(inner)]
    return re.compile(("" if anchored else r"(?:.*\.)?") + "".join(parts))


def _wildcard(token: str) -> str | None:
    if token == ".*":
        return ".*"
    return "[0-9]+" if token.endswith("+") else None


def _number(value: Any, kind: type, path: Path) -> Any:
    kinds = (int, float) if kind is float else (int,)
    if type(value) not in kinds or not 0 < value < float("inf"):
        raise UserError(f"{path} states {_shown(value)} for a module, not a number above 0; repair it.")
    return value


def _shown(value: Any) -> str:
    return reprlib.repr(value)
