"""From the layers of a fine-tuning run to an official Hugging Face folder."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError

from refvessel.checkpoint.layers import (
    Layer,
    read_base_layer,
    read_pretrained_layer,
    read_sam2_layer,
    read_trained_layer,
)
from refvessel.checkpoint.merge import Merge
from refvessel.checkpoint.model_config import official_config, read_base_config
from refvessel.checkpoint.names import Part
from refvessel.checkpoint.report import conversion_report
from refvessel.checkpoint.shards import INDEX_NAME, plan_shards, shards_bytes, shards_index, write_shards
from refvessel.checkpoint.stack import stack
from refvessel.checkpoint.tokenizer import extended_tokenizer, tokenizer_files
from refvessel.checkpoint.trunks import grounding_encoder_config
from refvessel.errors import UserError
from refvessel.files import atomic_directory, require_free_space, write_json
from refvessel.model.naming import FLOAT32_TENSORS
from refvessel.provenance import file_record

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
REPORT_NAME = "conversion.json"

_REPORT_BYTES_PER_TENSOR = 1024  # more than an entry of conversion.json has


def convert_checkpoint(
    *,
    base_mllm: Path,
    sam2: Path,
    pretrained: Path | None,
    checkpoint: Path,
    output: Path,
    dtype: str = "bfloat16",
) -> dict[str, Any]:
    """Stack the layers, merge LoRA, and write an official Sa2VA folder and its `conversion.json`.

    Args:
        base_mllm: InternVL folder with safetensors, `config.json` and tokenizer.
        sam2: SAM2 checkpoint, `{"model": {...}}`.
        pretrained: Sa2VA checkpoint that training started from, in training names.
        checkpoint: mmengine's iter_N.pth.
        output: folder to write; an earlier conversion there is replaced once the new one is whole.
        dtype: of the tensors written, bfloat16 or float32; LoRA is merged in float32 in either case, and
            SAM2's position frequencies stay float32 (`FLOAT32_TENSORS`).

    Returns:
        The content of `conversion.json`.

    Raises:
        UserError: before anything is written, where an input is missing, unreadable or hostile, where the
            layers do not make exactly one model (a tensor left over, missing, or of another shape), or where the
            disk has no room for it.
    """
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype!r} is not supported; choose one of {', '.join(DTYPES)}.")
    base_mllm, output = Path(base_mllm), Path(output)
    layers = _read_layers(base_mllm, sam2, pretrained, checkpoint)
    training = layers[-1].config
    tokenizer, token_count = extended_tokenizer(base_mllm, training.special_tokens)
    base_config = read_base_config(base_mllm)
    config = official_config(
        base_config,
        template=training.template,
        vocab_size=token_count,
        grounding_encoder=base_config.get("grounding_encoder_config") or _trunk(layers, sam2),
        dtype=dtype,
    )
    sources = stack(layers, _shapes(config, base_mllm))
    merges = {
        name: Merge(source, torch.float32 if name in FLOAT32_TENSORS else DTYPES[dtype])
        for name, source in sources.items()
    }
    shards = plan_shards({name: merge.layout for name, merge in merges.items()})
    index = {INDEX_NAME: _json(shards_index(shards))} if len(shards) > 1 else {}
    files = tokenizer | {"config.json": _json(config)}
    texts = sum(map(len, (files | index).values())) + _REPORT_BYTES_PER_TENSOR * len(merges)
    inputs = _inputs(base_mllm, layers)
    _check_output(output, [path for _, path in inputs])
    require_free_space(output, shards_bytes(shards) + texts)

    with atomic_directory(output) as folder, ThreadPoolExecutor(1) as pool:
        records = [(layer, pool.submit(file_record, path)) for layer, path in inputs]  # beside the writing
        hashes = write_shards(folder, shards, merges)
        for name, content in (files | index).items():
            (folder / name).write_bytes(content)
        report = conversion_report(
            inputs=[{"layer": layer, **record.result()} for layer, record in records],
            layers=layers,
            merges=merges,
            hashes=hashes,
            files=files,
            config=training,
            dtype=dtype,
        )
        write_json(folder / REPORT_NAME, report)
    return report


def _read_layers(base_mllm: Path, sam2: Path, pretrained: Path | None, checkpoint: Path) -> list[Layer]:
    """All layers, the earliest first; the last has a training config."""
    layers = [read_base_layer(base_mllm), read_sam2_layer(sam2)]
    if pretrained is not None:
        layers.append(read_pretrained_layer(pretrained))
    return [*layers, read_trained_layer(checkpoint)]


def _trunk(layers: Sequence[Layer], sam2: Path) -> dict[str, Any] | None:
    shapes = {
        address.tensor: tensor.shape
        for layer in layers
        for address, tensor in layer.tensors.items()
        if address.part is Part.VALUE
    }
    return grounding_encoder_config(shapes, str(sam2))


def _shapes(config: dict[str, Any], base_mllm: Path) -> dict[str, tuple[int, ...]]:
    """The tensors that a model with this configuration has."""
    # Found by building the model (on no device), which takes transformers a second to import.
    from refvessel.model.naming import official_shapes

    try:
        return official_shapes(config)
    except UserError as error:
        raise UserError(f"{base_mllm}: {error}") from None
    except (ArithmeticError, LookupError, RuntimeError, StrictDataclassError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{base_mllm}/config.json describes no model that can be built ({reason}); copy the base model again."
        ) from error


def _inputs(base_mllm: Path, layers: Sequence[Layer]) -> list[tuple[str, Path]]:
    """Every file that the result depends on, with its layer."""
    texts = [Path(base_mllm) / "config.json", *tokenizer_files(base_mllm)]
    return [("base_mllm", path) for path in texts] + [
        (layer.name, path) for layer in layers for path in layer.files
    ]


def _check_output(output: Path, inputs: Sequence[Path]) -> None:
    """Refuse to replace a folder that holds anything but an earlier conversion."""
    resolved = output.resolve()
    if any(resolved in path.resolve().parents or resolved == path.resolve() for path in inputs):
        raise UserError(f"{output} holds the inputs of the conversion; choose another output.")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; choose another output.")
    if output.exists() and any(output.iterdir()) and not (output / REPORT_NAME).is_file():
        raise UserError(f"{output} holds something else than an earlier conversion; choose another output.")


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
