"""The layers that a fine-tuned model is stacked from, each read into official names."""

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from refvessel.checkpoint.adapter_config import AdapterSettings, read_adapter_config
from refvessel.checkpoint.layer_names import (
    Address,
    Family,
    Part,
    adapted_module,
    adapter_address,
    base_address,
    official_address,
    sam2_address,
    training_address,
)
from refvessel.checkpoint.stated_files import Role, StatedFile
from refvessel.checkpoint.tensors import LazyTensor
from refvessel.checkpoint.torch_file import read_torch_file
from refvessel.checkpoint.training_config import LORA_PREFIXES, TrainingConfig, read_training_config
from refvessel.checkpoint.weights_folder import ADAPTER_WEIGHTS, read_weights
from refvessel.checkpoint.zero_folder import read_zero_folder
from refvessel.errors import UserError
from refvessel.settings.model_section import Overrides

# Those that every training starts from; an official folder is all of them in one.
OFFICIAL = "official"
BASE_LAYERS = ("base_mllm", "sam2", OFFICIAL)


@dataclass(frozen=True)
class Layer:
    """One layer's tensors by official address, none of them read yet.

    `name` is base_mllm, sam2, official, pretrained or trained; `names` holds what the files call each tensor;
    `config` is that of the run which wrote the layer, where the layer has one; `left_out` are the files' names of
    tensors that do not take part.
    """

    name: str
    source: Path
    files: tuple[Path, ...]
    tensors: dict[Address, LazyTensor]
    names: dict[Address, str]
    config: TrainingConfig | None = None
    left_out: tuple[str, ...] = ()

    def without(self, address: Address) -> "Layer":
        """The layer with one of its tensors left out."""
        return replace(
            self,
            tensors={key: tensor for key, tensor in self.tensors.items() if key != address},
            names={key: name for key, name in self.names.items() if key != address},
            left_out=(*self.left_out, self.names[address]),
        )


def read_base_layer(folder: Path, leave_out: Sequence[str] = (), family: Family = Family.INTERNVL) -> Layer:
    """The weights of an InternVL or Qwen-VL folder.

    Of this and of every other layer, tensors whose names match a pattern of `leave_out` do not take part.
    """
    files, tensors = read_weights(folder)
    return _layer("base_mllm", folder, files, tensors, partial(base_address, family=family), leave_out)


def read_official_layer(folder: Path, leave_out: Sequence[str] = ()) -> Layer:
    """The weights of an official Sa2VA folder."""
    files, tensors = read_weights(folder)
    return _layer(OFFICIAL, folder, files, tensors, official_address, leave_out)


def read_sam2_layer(path: Path, leave_out: Sequence[str] = ()) -> Layer:
    """A SAM2 checkpoint, `{"model": {...}}`."""
    tensors = _entry(read_torch_file(path), "model", path, "give a SAM2 checkpoint")
    return _layer("sam2", path, (Path(path),), tensors, sam2_address, leave_out)


def read_pretrained_layer(
    path: Path, leave_out: Sequence[str] = (), family: Family = Family.INTERNVL
) -> Layer:
    """A Sa2VA in training names that training started from, bare or as an mmengine or DeepSpeed checkpoint."""
    files, tensors, text = read_training_file(path)
    config = None if text is None else read_training_config(text, str(path))
    address_of = partial(training_address, family=family)
    return _layer("pretrained", path, files, tensors, address_of, leave_out, config)


def read_trained_layer(
    path: Path,
    leave_out: Sequence[str] = (),
    overrides: Overrides | None = None,
    family: Family = Family.INTERNVL,
) -> tuple[Layer, TrainingConfig]:
    """What training left, with its configuration; or a complete Sa2VA, with its settings in `overrides`."""
    files, tensors, text = read_training_file(path)
    config = read_training_config(text, str(path), overrides)
    address_of = partial(training_address, family=family)
    layer = _layer("trained", path, files, tensors, address_of, leave_out, config)
    for part, prefixes in LORA_PREFIXES.items():
        held = any(address.part.is_lora and address.tensor.startswith(prefixes) for address in layer.tensors)
        if getattr(config, part) and not held:
            raise UserError(
                f"{path} states {part} in its training config but holds no LoRA factors of {prefixes[0]}*; "
                "check which file it is."
            )
    return layer, config


def read_adapter_layer(
    folder: Path, leave_out: Sequence[str], config: TrainingConfig, family: Family
) -> tuple[Layer, TrainingConfig]:
    """An adapter as peft saves one.

    Args:
        folder: holds `adapter_config.json` and the adapter's weights.
        leave_out: patterns of tensors that do not take part.
        config: template and tokens of the model that was adapted.
        family: its names.

    Returns:
        The layer, and the config with the adapter's settings.

    Raises:
        UserError: where the adapter is no plain LoRA, or its weights are not what its settings say.
    """
    settings = read_adapter_config(folder)
    files, stored = read_weights(folder, ADAPTER_WEIGHTS)
    address_of = partial(adapter_address, family=family)
    layer = _layer("trained", folder, files, stored, address_of, leave_out)
    updated = {address: name for address, name in layer.names.items() if address.part.is_lora}
    if not updated:
        raise UserError(f"{folder} holds no LoRA factors; check which adapter it is.")
    if unused := settings.unused(updated.values()):
        raise UserError(
            f"{folder} states a rank or alpha for {unused[0]}, of which it holds no LoRA factors; copy it again."
        )
    _check_saved(layer, settings)
    of_modules = {address.tensor: settings.of(name) for address, name in updated.items()}
    loaded = (StatedFile(Role.BASE, "base_model_name_or_path", settings.base),) if settings.base else ()
    config = replace(config, adapter=settings.lora, of_modules=of_modules, loaded=loaded)
    return replace(layer, config=config), config


def _check_saved(layer: Layer, settings: AdapterSettings) -> None:
    """Raise UserError where an adapter lacks a module that it says is saved whole."""
    held = [f".{adapted_module(name)}." for at, name in layer.names.items() if at.part is Part.VALUE]
    for saved in settings.saved:
        if not any(f".{saved}." in module for module in held):
            raise UserError(
                f"{layer.source} states {saved} in modules_to_save but holds no weights of it; copy it again, or, "
                "where the model has no module of that name, remove it there."
            )


def read_training_file(path: Path) -> tuple[tuple[Path, ...], dict[str, LazyTensor], str | None]:
    """Files, tensors by training name, and the training config where there is one."""
    path = Path(path)
    if path.is_dir():
        files, content = read_zero_folder(path)
    else:
        files, content = (path,), read_torch_file(path)
    if (
        isinstance(content, dict)
        and content
        and all(isinstance(each, LazyTensor) for each in content.values())
    ):
        return files, content, None
    remedy = "give the iter_N.pth that mmengine wrote during training, or a complete Sa2VA"
    tensors = _entry(content, "state_dict", path, remedy)
    meta = content.get("meta")
    text = meta.get("cfg") if isinstance(meta, dict) else None
    return files, tensors, text


def _entry(content: Any, key: str, path: Path, remedy: str) -> dict[Any, Any]:
    if not isinstance(content, dict) or not isinstance(content.get(key), dict):
        raise UserError(f"{path} has no dict {key!r}; {remedy}.")
    entry: dict[Any, Any] = content[key]
    return entry


def _layer(
    name: str,
    source: Path,
    files: tuple[Path, ...],
    stored: Mapping[Any, Any],
    address_of: Callable[[str], Address],
    leave_out: Sequence[str],
    config: TrainingConfig | None = None,
) -> Layer:
    tensors: dict[Address, LazyTensor] = {}
    names: dict[Address, str] = {}
    left_out = []
    for key, tensor in stored.items():
        if isinstance(key, str) and any(fnmatchcase(key, pattern) for pattern in leave_out):
            left_out.append(key)
            continue
        if not isinstance(key, str) or not isinstance(tensor, LazyTensor):
            raise UserError(
                f"{source} holds {reprlib.repr(key)} among its weights, which is no readable tensor; remove it."
            )
        if not tensor.dtype.is_floating_point:
            raise UserError(f"{source} holds {key} as {tensor.dtype}; give weights that are not quantised.")
        address = address_of(key)
        if address in tensors:
            raise UserError(
                f"{source} holds {key} and {names[address]}, which are one tensor; remove the wrong one."
            )
        tensors[address], names[address] = tensor, key
    return Layer(name, Path(source), files, tensors, names, config, tuple(left_out))
