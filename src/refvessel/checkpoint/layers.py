"""The layers that a fine-tuned model is stacked from, each read into official names."""

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refvessel.checkpoint.names import Address, base_address, sam2_address, training_address
from refvessel.checkpoint.safetensors_file import read_safetensors
from refvessel.checkpoint.tensors import StoredTensor
from refvessel.checkpoint.torch_file import read_torch_file
from refvessel.checkpoint.training_config import TrainingConfig, read_training_config
from refvessel.errors import UserError
from refvessel.files import read_json


@dataclass(frozen=True)
class Layer:
    """One layer's tensors by official address, none of them read yet.

    `name` is base_mllm, sam2, pretrained or trained; `names` holds what the files call each tensor; `config` is
    that of the run which wrote the layer, where the layer has one.
    """

    name: str
    source: Path
    files: tuple[Path, ...]
    tensors: dict[Address, StoredTensor]
    names: dict[Address, str]
    config: TrainingConfig | None = None


def read_base_layer(folder: Path) -> Layer:
    """An InternVL folder's weights: `model.safetensors`, or shards and their index."""
    folder = Path(folder)
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the folder of the base model.")
    if single.exists() and index.exists():
        raise UserError(
            f"{folder} has both {single.name} and {index.name}; remove the one that is not the model's."
        )
    if not single.exists() and not index.exists():
        raise UserError(
            f"{folder} has no {single.name} and no {index.name}; save the base model as safetensors."
        )
    if single.exists():
        return _layer("base_mllm", folder, (single,), read_safetensors(single), base_address)
    expected = _shards(index)
    files, tensors = [], {}
    for name in sorted(expected):
        files.append(folder / name)
        shard = read_safetensors(folder / name)
        if odd := sorted(shard.keys() ^ expected[name]):
            raise UserError(
                f"{index} and {name} disagree about the tensor {odd[0]}; copy the base model again."
            )
        tensors |= shard
    return _layer("base_mllm", folder, (index, *files), tensors, base_address)


def read_sam2_layer(path: Path) -> Layer:
    """A SAM2 checkpoint, `{"model": {...}}`."""
    tensors = _entry(read_torch_file(path), "model", path, "give a SAM2 checkpoint")
    return _layer("sam2", path, (Path(path),), tensors, sam2_address)


def read_pretrained_layer(path: Path) -> Layer:
    """A whole Sa2VA in training names, bare or as an mmengine checkpoint."""
    content = read_torch_file(path)
    if isinstance(content, dict) and "state_dict" not in content:
        content = {"state_dict": content}
    tensors = _entry(content, "state_dict", path, "give a checkpoint with Sa2VA weights")
    meta = content.get("meta")
    text = meta.get("cfg") if isinstance(meta, dict) else None
    config = None if text is None else read_training_config(text, str(path))
    return _layer("pretrained", path, (Path(path),), tensors, training_address, config)


def read_trained_layer(path: Path) -> Layer:
    """An mmengine training checkpoint with its configuration in `meta.cfg`."""
    content = read_torch_file(path)
    remedy = "give the iter_N.pth that mmengine wrote during training"
    tensors = _entry(content, "state_dict", path, remedy)
    meta = _entry(content, "meta", path, remedy)
    if not isinstance(meta.get("cfg"), str):
        raise UserError(f"{path} has no training config in meta.cfg; {remedy}.")
    config = read_training_config(meta["cfg"], str(path))
    layer = _layer("trained", path, (Path(path),), tensors, training_address, config)
    if config.lora and not any(address.part.is_lora for address in layer.tensors):
        raise UserError(
            f"{path} states LoRA in its training config but holds no LoRA factors; check which file it is."
        )
    return layer


def _entry(content: Any, key: str, path: Path, remedy: str) -> dict:
    if not isinstance(content, dict) or not isinstance(content.get(key), dict):
        raise UserError(f"{path} has no dict {key!r}; {remedy}.")
    return content[key]


def _shards(index: Path) -> dict[str, set[str]]:
    """Shard file name -> names of its tensors."""
    content = read_json(index)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict):
        raise UserError(f"{index} has no weight_map; copy the base model again.")
    shards: dict[str, set[str]] = {}
    for tensor, name in weight_map.items():
        if not isinstance(name, str) or Path(name).name != name:
            raise UserError(
                f"{index} places {tensor} in {name!r}, which is not a file of its folder; repair it."
            )
        shards.setdefault(name, set()).add(tensor)
    return shards


def _layer(
    name: str,
    source: Path,
    files: tuple[Path, ...],
    stored: Mapping[Any, Any],
    address_of: Callable[[str], Address],
    config: TrainingConfig | None = None,
) -> Layer:
    tensors: dict[Address, StoredTensor] = {}
    names: dict[Address, str] = {}
    for key, tensor in stored.items():
        if not isinstance(key, str) or not isinstance(tensor, StoredTensor):
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
    return Layer(name, Path(source), files, tensors, names, config)
