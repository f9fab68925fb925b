"""What a checkpoint file or folder holds, whatever its kind, without loading its tensors."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from refvessel.checkpoint.adapter_config import ADAPTER_CONFIG, is_adapter_folder
from refvessel.checkpoint.layer_names import (
    Address,
    Family,
    adapter_address,
    base_address,
    family_of,
    sam2_address,
    training_address,
)
from refvessel.checkpoint.layers import read_training_file
from refvessel.checkpoint.safetensors_file import read_safetensors
from refvessel.checkpoint.tensors import LazyTensor
from refvessel.checkpoint.text_table import module_pattern, text_table
from refvessel.checkpoint.torch_file import read_torch_file
from refvessel.checkpoint.training_config import LoraSettings, read_training_config
from refvessel.checkpoint.weights_folder import ADAPTER_WEIGHTS, read_weights
from refvessel.checkpoint.zero_folder import is_zero_folder
from refvessel.errors import UserError
from refvessel.files import read_json

_SCALARS = (str, int, float, bool)


@dataclass(frozen=True)
class Contents:
    """A checkpoint's tensors and what lies beside them.

    `tensors` have the names of the files, `official` maps these to official names; `text` is the training config;
    `beside` are the other entries of the file by name.
    """

    kind: str
    tensors: Mapping[str, LazyTensor]
    official: Mapping[str, str]
    text: str | None = None
    beside: Mapping[str, Any] = field(default_factory=dict)


def read_contents(path: Path) -> Contents:
    """Read a Hugging Face, peft or ZeRO folder, a safetensors file or a .pt, .pth or .bin file.

    Raises UserError where it is none of these, or holds no tensors by name.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; check the path.")
    if path.is_dir() and is_adapter_folder(path):
        stated = read_json(path / ADAPTER_CONFIG)
        beside = _without(stated, "auto_mapping") if isinstance(stated, dict) else {}
        factors = read_weights(path, ADAPTER_WEIGHTS)[1]
        return _contents("adapter of peft", factors, adapter_address, beside=beside)
    if path.is_dir() and not is_zero_folder(path):
        return _contents("Hugging Face folder", read_weights(path)[1], base_address)
    if path.suffix == ".safetensors":
        return _contents("safetensors file", read_safetensors(path), base_address)
    content = {} if path.is_dir() else read_torch_file(path)
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        beside = _without(content, "model")
        return _contents("SAM2 checkpoint", content["model"], _of_any_family(sam2_address), beside=beside)
    _, tensors, text = read_training_file(path)
    kind = "DeepSpeed ZeRO folder" if path.is_dir() else "training checkpoint"
    beside = _without(content, "state_dict") if "state_dict" in content else {}
    return _contents(kind, tensors, training_address, text, beside)


def describe(path: Path) -> str:
    """A page about a checkpoint: its kind and size, its training config, what else it holds, its tensors."""
    contents = read_contents(path)
    tensors = contents.tensors
    count = sum(prod(tensor.shape) for tensor in tensors.values())
    size = sum(prod(tensor.shape) * tensor.dtype.itemsize for tensor in tensors.values())
    lines = [f"{path}: {contents.kind}, {len(tensors)} tensors, {count:,} parameters, {size / 1e9:.3f} GB"]
    lines += _config_lines(contents.text, path)
    lines += [f"{key}: {_shown(value)}" for key, value in contents.beside.items()]
    groups: dict[str, list[LazyTensor]] = defaultdict(list)
    for name, tensor in tensors.items():
        groups[module_pattern(name)].append(tensor)
    rows = [
        (
            pattern,
            str(len(group)),
            _listed("x".join(map(str, each.shape)) or "scalar" for each in group),
            _listed(str(each.dtype).removeprefix("torch.") for each in group),
        )
        for pattern, group in groups.items()
    ]
    return "\n".join([*lines, "", *text_table(("tensor", "count", "shape", "dtype"), rows)])


def _contents(
    kind: str,
    stored: Mapping[Any, Any],
    address_of: Callable[[str, Family], Address],
    text: str | None = None,
    beside: Mapping[str, Any] | None = None,
) -> Contents:
    tensors = {
        name: each for name, each in stored.items() if isinstance(name, str) and isinstance(each, LazyTensor)
    }
    family, official = family_of(tensors), {}
    for name in tensors:
        address = address_of(name, family)
        official[name] = address.tensor if address.part == "value" else f"{address.tensor} ({address.part})"
    return Contents(kind, tensors, official, text, beside or {})


def _of_any_family(address_of: Callable[[str], Address]) -> Callable[[str, Family], Address]:
    return lambda name, _: address_of(name)


def _without(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {str(name): value for name, value in content.items() if name != key}


def _config_lines(text: str | None, path: Path) -> list[str]:
    if text is None:
        return []
    try:
        config = read_training_config(text, str(path))
    except UserError as error:
        return [f"training config: {error}"]
    return [
        f"training config: template {config.template}, special tokens {' '.join(config.special_tokens)}",
        f"language model: {_lora_text(config.llm_lora)}; vision encoder: {_lora_text(config.visual_encoder_lora)}",
    ]


def _lora_text(settings: LoraSettings | None) -> str:
    if settings is None:
        return "no LoRA"
    return f"LoRA of rank {settings.rank}, alpha {settings.alpha:g} (scale {settings.scale:g})"


def _shown(value: Any) -> str:
    """A short text for what lies beside the tensors; long texts and deep structures are only counted."""
    if isinstance(value, dict):
        plain = {
            key: each for key, each in value.items() if isinstance(each, _SCALARS) and len(str(each)) < 60
        }
        others = len(value) - len(plain)
        items = [f"{key}={each}" for key, each in plain.items()] + (
            [f"{others} more entries"] if others else []
        )
        return ", ".join(items) or "empty"
    if isinstance(value, list | tuple):
        return f"{len(value)} entries"
    return str(value) if isinstance(value, _SCALARS) and len(str(value)) < 60 else type(value).__name__


def _listed(texts: Any) -> str:
    distinct = list(dict.fromkeys(texts))
    return distinct[0] + (f" and {len(distinct) - 1} more" if len(distinct) > 1 else "")
