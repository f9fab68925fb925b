"""An official Hugging Face folder used as it is: checked, hashed and linked, not copied."""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from refvessel.artifacts import CONVERSION
from refvessel.checkpoint.conversion_record import linked_record
from refvessel.checkpoint.finite import largest_magnitude, not_finite
from refvessel.checkpoint.generation import generation_files
from refvessel.checkpoint.official_folder import read_official_folder
from refvessel.checkpoint.output import check_output
from refvessel.checkpoint.shards import cancelled_on_error
from refvessel.checkpoint.tensors import StoredTensor, row_blocks
from refvessel.errors import UserError
from refvessel.files import atomic_directory, read_json, write_json
from refvessel.provenance import file_record

# What a reader of the folder must have, and no answer depends on: the model card and the licence.
_DOCUMENTS = ("README*", "LICENSE*", "LICENCE*", "NOTICE*", "COPYING*")


def link_checkpoint(*, folder: Path, output: Path) -> dict[str, Any]:
    """Check an official Sa2VA folder, and write a folder of links to its files and a `conversion.json`.

    Only configuration, weights, tokenizer, generation settings, model card and licence are linked: code that the
    folder holds stays behind.

    Args:
        folder: official Hugging Face folder with safetensors.
        output: folder to write; an earlier conversion there is replaced.

    Returns:
        The content of `conversion.json`.

    Raises:
        UserError: where the folder is not a whole Sa2VA (see `read_official_folder`), where a number is not
            finite, or its own `conversion.json` tells of another model.
    """
    folder, output = Path(folder), Path(output)
    official = read_official_folder(folder)
    beside = [*generation_files(folder), *_documents(folder)]
    paths = [*official.texts, *official.weight_files, *beside]
    check_output(output, paths)

    with atomic_directory(output) as place, cancelled_on_error(ThreadPoolExecutor()) as pool:
        hashes = pool.map(lambda item: _sha256(folder, *item), official.tensors.items())
        records = list(pool.map(file_record, paths))
        by_name = {str(record["name"]): str(record["sha256"]) for record in records}
        entries = {
            name: _entry(tensor, sha256)
            for (name, tensor), sha256 in zip(official.tensors.items(), hashes, strict=True)
        }
        record = linked_record(
            inputs=[{"layer": "official", **record} for record in records],
            tensors=dict(sorted(entries.items())),
            files={path.name: by_name[path.name] for path in official.texts},
            beside={path.name: by_name[path.name] for path in beside},
            dtype=Counter(entry["dtype"] for entry in entries.values()).most_common(1)[0][0],
        )
        _check_own_record(folder, record)
        for path in paths:
            (place / path.name).symlink_to(path.resolve())
        write_json(place / CONVERSION, record)
    return record


def _documents(folder: Path) -> list[Path]:
    return sorted({path for pattern in _DOCUMENTS for path in folder.glob(pattern) if path.is_file()})


def _check_own_record(folder: Path, record: Mapping[str, Any]) -> None:
    """A folder that RefVessel converted must still be what its `conversion.json` says."""
    path = folder / CONVERSION
    if not path.exists():
        return
    own = read_json(path)
    if not isinstance(own, dict) or own.get("identity") != record["identity"]:
        raise UserError(f"{path} tells of another model than the folder holds; convert the checkpoint again.")


def _sha256(folder: Path, name: str, tensor: StoredTensor) -> str:
    digest = hashlib.sha256()
    for start, stop in row_blocks(tensor.shape):
        block = tensor.rows(start, stop)
        if not math.isfinite(found := largest_magnitude(block)):
            raise not_finite(str(folder), name, found)
        digest.update(block.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _entry(tensor: StoredTensor, sha256: str) -> dict[str, Any]:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return {"source": "official", "shape": list(tensor.shape), "dtype": dtype, "sha256": sha256}
