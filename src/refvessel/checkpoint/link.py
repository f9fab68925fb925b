"""An official Hugging Face folder used as it is: checked, hashed and linked, not copied."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from refvessel.checkpoint.model_config import model_shapes
from refvessel.checkpoint.output import REPORT_NAME, check_output
from refvessel.checkpoint.report import linked_report
from refvessel.checkpoint.shards import cancelled_on_error
from refvessel.checkpoint.tensors import StoredTensor, row_blocks
from refvessel.checkpoint.tokenizer import extended_tokenizer, tokenizer_files
from refvessel.checkpoint.training_config import SA2VA_TOKENS
from refvessel.checkpoint.weights_folder import read_weights
from refvessel.errors import UserError
from refvessel.files import atomic_directory, read_json, write_json
from refvessel.provenance import file_record

_MODEL_TYPE = "sa2va_chat"


def link_checkpoint(*, folder: Path, output: Path) -> dict[str, Any]:
    """Check an official Sa2VA folder, and write a folder of links to its files and a `conversion.json`.

    Only configuration, weights and tokenizer are linked: code that the folder holds stays behind.

    Args:
        folder: official Hugging Face folder with safetensors.
        output: folder to write; an earlier conversion there is replaced.

    Returns:
        The content of `conversion.json`.

    Raises:
        UserError: where the folder is not a whole Sa2VA: a tensor missing, unknown, of another shape or not of
            floating point, no tokenizer with Sa2VA's tokens, a configuration that describes no supported model;
            or where its own `conversion.json` tells of another model.
    """
    folder, output = Path(folder), Path(output)
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or config.get("model_type") != _MODEL_TYPE:
        raise UserError(
            f"{folder}/config.json: model_type is not {_MODEL_TYPE}; give a Sa2VA Hugging Face folder."
        )
    weight_files, tensors = read_weights(folder)
    if any(path.suffix == ".bin" for path in weight_files):
        raise UserError(f"{folder} holds its weights as pytorch_model.bin; save them as safetensors.")
    _check_tensors(folder, tensors, model_shapes(config, str(folder)))
    if extended_tokenizer(folder, SA2VA_TOKENS)[1] != extended_tokenizer(folder, ())[1]:
        raise UserError(
            f"{folder} has a tokenizer without the tokens {' '.join(SA2VA_TOKENS)}; restore its files."
        )
    texts = [folder / "config.json", *tokenizer_files(folder)]
    paths = [*texts, *weight_files]
    check_output(output, paths)

    with atomic_directory(output) as place, cancelled_on_error(ThreadPoolExecutor()) as pool:
        hashes = pool.map(_sha256, tensors.values())
        records = list(pool.map(file_record, paths))
        entries = {
            name: _entry(tensor, sha256)
            for (name, tensor), sha256 in zip(tensors.items(), hashes, strict=True)
        }
        report = linked_report(
            inputs=[{"layer": "official", **record} for record in records],
            tensors=dict(sorted(entries.items())),
            files={record["name"]: record["sha256"] for record in records[: len(texts)]},
            dtype=Counter(entry["dtype"] for entry in entries.values()).most_common(1)[0][0],
        )
        _check_own_report(folder, report)
        for path in paths:
            (place / path.name).symlink_to(path.resolve())
        write_json(place / REPORT_NAME, report)
    return report


def _check_tensors(
    folder: Path, tensors: Mapping[str, StoredTensor], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    for words, names in (
        ("lacks", shapes.keys() - tensors.keys()),
        ("has unknown", tensors.keys() - shapes.keys()),
    ):
        if names:
            more = f" and {len(names) - 1} more tensors" if len(names) > 1 else ""
            raise UserError(f"{folder} {words} {min(names)}{more}; copy the folder again.")
    for name, tensor in tensors.items():
        if tensor.shape != shapes[name]:
            raise UserError(
                f"{folder} holds {name} of shape {list(tensor.shape)} where its config.json describes "
                f"{list(shapes[name])}; copy the folder again."
            )
        if not tensor.dtype.is_floating_point:
            raise UserError(f"{folder} holds {name} as {tensor.dtype}; give weights that are not quantised.")


def _check_own_report(folder: Path, report: Mapping[str, Any]) -> None:
    """A folder that RefVessel converted must still be what its `conversion.json` says."""
    path = folder / REPORT_NAME
    if not path.exists():
        return
    own = read_json(path)
    if not isinstance(own, dict) or own.get("identity") != report["identity"]:
        raise UserError(f"{path} tells of another model than the folder holds; convert the checkpoint again.")


def _sha256(tensor: StoredTensor) -> str:
    digest = hashlib.sha256()
    for start, stop in row_blocks(tensor.shape):
        digest.update(memoryview(tensor.rows(start, stop).view(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()


def _entry(tensor: StoredTensor, sha256: str) -> dict[str, Any]:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return {"source": "official", "shape": list(tensor.shape), "dtype": dtype, "sha256": sha256}
