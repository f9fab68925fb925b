"""The weights of a Hugging Face folder: safetensors or PyTorch files, single or in shards with an index."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from refvessel.checkpoint.safetensors_file import read_safetensors
from refvessel.checkpoint.tensors import StoredTensor
from refvessel.checkpoint.torch_file import read_torch_file
from refvessel.errors import UserError
from refvessel.files import read_json


def read_weights(
    folder: Path, readers: "Mapping[str, Reader] | None" = None
) -> tuple[tuple[Path, ...], dict[str, StoredTensor]]:
    """The files that hold a folder's weights, its index included, and the tensors by name, none of them read yet.

    `readers` are the names of the files that are looked for, and how they are read: a model's unless others are
    given.
    Raises UserError where the folder has no weights, two sets of weights, or an index that its shards contradict.
    """
    folder, readers = require_model_folder(folder), readers or MODEL_WEIGHTS
    names = [
        name for name in (*readers, *(f"{name}.index.json" for name in readers)) if (folder / name).exists()
    ]
    # Many folders hold the same weights in both formats: safetensors are then those that are used.
    names = [name for name in names if ".safetensors" in name] or names
    if not names:
        raise UserError(
            f"{folder} has none of {', '.join(readers)} and no index of shards; copy the model's weights again."
        )
    if len(names) > 1:
        raise UserError(
            f"{folder} has both {names[0]} and {names[1]}; remove the one that is not the model's."
        )
    path = folder / names[0]
    if path.name in readers:
        return (path,), readers[path.name](path)
    read = readers[path.name.removesuffix(".index.json")]
    expected = _shards(path)
    files = [path]
    tensors: dict[str, Any] = {}
    for name in sorted(expected):
        files.append(folder / name)
        shard = read(folder / name)
        if odd := sorted(shard.keys() ^ expected[name]):
            raise UserError(f"{path} and {name} disagree about the tensor {odd[0]}; copy the model again.")
        tensors |= shard
    return tuple(files), tensors


def require_model_folder(folder: Path) -> Path:
    """The folder; raises UserError where it is none."""
    if not Path(folder).is_dir():
        raise UserError(f"{folder} is not a folder; give the folder of a Hugging Face model.")
    return Path(folder)


def _read_torch_weights(path: Path) -> dict[str, StoredTensor]:
    content = read_torch_file(path)
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise UserError(f"{path} holds no tensors by name; give the weights that transformers saved.")
    return content


Reader = Callable[[Path], dict[str, Any]]
MODEL_WEIGHTS: Mapping[str, Reader] = {
    "model.safetensors": read_safetensors,
    "pytorch_model.bin": _read_torch_weights,
}
ADAPTER_WEIGHTS: Mapping[str, Reader] = {
    "adapter_model.safetensors": read_safetensors,
    "adapter_model.bin": _read_torch_weights,
}


def _shards(index: Path) -> dict[str, set[str]]:
    """Shard file name -> names of its tensors."""
    content = read_json(index)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict):
        raise UserError(f"{index} has no weight_map; copy the model again.")
    shards: dict[str, set[str]] = {}
    for tensor, name in weight_map.items():
        if not isinstance(name, str) or Path(name).name != name or "\0" in name:
            raise UserError(
                f"{index} places {tensor} in {name!r}, which is not a file of its folder; repair it."
            )
        shards.setdefault(name, set()).add(tensor)
    return shards
