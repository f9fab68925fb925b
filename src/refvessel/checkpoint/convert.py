"""From the layers of a fine-tuning run to an official Hugging Face folder."""

import fnmatch
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from refvessel.artifacts import CONVERSION
from refvessel.checkpoint.conversion_record import conversion_record
from refvessel.checkpoint.finite import check_finite
from refvessel.checkpoint.gaps import check_gaps
from refvessel.checkpoint.generation import GENERATION, generation_config, generation_files
from refvessel.checkpoint.layer_names import Address, Part
from refvessel.checkpoint.layers import (
    BASE_LAYERS,
    Layer,
    read_base_layer,
    read_pretrained_layer,
    read_sam2_layer,
    read_trained_layer,
)
from refvessel.checkpoint.lineage import check_lineage
from refvessel.checkpoint.merge import Merge
from refvessel.checkpoint.model_config import model_shapes, official_config, read_base_config
from refvessel.checkpoint.output import check_output, json_bytes
from refvessel.checkpoint.shards import (
    INDEX_NAME,
    cancelled_on_error,
    plan_shards,
    shards_bytes,
    shards_index,
    write_shards,
)
from refvessel.checkpoint.stack import stack
from refvessel.checkpoint.tokenizer import extended_tokenizer, tokenizer_files
from refvessel.checkpoint.training_config import TrainingConfig
from refvessel.checkpoint.trunks import grounding_encoder_config
from refvessel.checkpoint.vocabulary import without_padding
from refvessel.errors import UserError
from refvessel.files import atomic_directory, require_free_space, write_json
from refvessel.model.naming import FLOAT32_TENSORS, SAM2_PREFIX, embedding_name, head_name
from refvessel.provenance import file_record
from refvessel.settings.model_section import Model

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}

_RECORD_BYTES_PER_TENSOR = 1024  # more than an entry of conversion.json has


def convert_checkpoint(
    *,
    output: Path,
    settings: Model,
) -> dict[str, Any]:
    """Stack the layers, merge LoRA, and write an official Sa2VA folder and its `conversion.json`.

    Args:
        output: folder to write; an earlier conversion there is replaced once the new one is whole.
        settings: the layers: `base_mllm` (weights as safetensors or .bin, `config.json` and tokenizer), `sam2`
            (`{"model": {...}}`, None where a later layer holds all of SAM2), `pretrained` and `checkpoint` in
            training names. LoRA is merged in float32 whatever the `dtype`, and SAM2's position frequencies stay
            float32 (`FLOAT32_TENSORS`). For `overrides` see `read_training_config`; a contradiction is among the
            report's warnings.

    Returns:
        The content of `conversion.json`.

    Raises:
        UserError: before anything is written, where an input is missing, unreadable or hostile, where the
            layers do not make exactly one model (a tensor left over, missing, or of another shape), where a layer
            that training loaded is not given or one given is not whole, where a number is not finite, or where
            the disk has no room for it.
    """
    base_mllm, checkpoint, dtype, output = (
        settings.base_mllm,
        settings.checkpoint,
        settings.dtype,
        Path(output),
    )
    if base_mllm is None or checkpoint is None:
        raise UserError(f"The model is the folder {settings.folder}, which is used as it is; link it.")
    layers, training = _read_layers(base_mllm, checkpoint, settings)
    tokenizer, token_count = extended_tokenizer(base_mllm, training.special_tokens)
    layers, warnings = without_padding(layers, token_count)
    base_config = read_base_config(base_mllm)
    layers, tied = _tied(layers, base_config["llm_config"])
    config = official_config(
        base_config,
        template=training.template,
        vocab_size=token_count,
        grounding_encoder=base_config.get("grounding_encoder_config") or _trunk(layers),
        tied=tied,
        dtype=dtype,
    )
    shapes = model_shapes(config, f"{checkpoint} on {base_mllm}")
    warnings += check_lineage(layers, shapes)
    sources = stack(layers, shapes)
    warnings += check_gaps(layers, shapes)
    merges = {
        name: Merge(source, torch.float32 if name in FLOAT32_TENSORS else DTYPES[dtype])
        for name, source in sources.items()
    }
    shards = plan_shards({name: merge.layout for name, merge in merges.items()})
    index = {INDEX_NAME: json_bytes(shards_index(shards), base_mllm)} if len(shards) > 1 else {}
    files = tokenizer | {"config.json": json_bytes(config, base_mllm / "config.json")}
    beside = {GENERATION: generation_config(base_mllm, training.template, tokenizer)}
    texts = sum(map(len, (files | index | beside).values())) + _RECORD_BYTES_PER_TENSOR * len(merges)
    inputs = _inputs(base_mllm, layers)
    check_output(output, [path for _, path in inputs])
    require_free_space(output, shards_bytes(shards) + texts)

    with cancelled_on_error(ThreadPoolExecutor(1)) as pool:
        records = [
            (layer, pool.submit(file_record, path)) for layer, path in inputs
        ]  # beside reading and writing
        check_finite(layers, merges)
        with atomic_directory(output) as folder:
            hashes = write_shards(folder, shards, merges)
            for name, content in (files | index | beside).items():
                (folder / name).write_bytes(content)
            record = conversion_record(
                inputs=[{"layer": layer, **record.result()} for layer, record in records],
                layers=layers,
                merges=merges,
                hashes=hashes,
                files=files,
                beside=beside,
                config=training,
                dtype=dtype,
                warnings=warnings,
            )
            write_json(folder / CONVERSION, record)
    return record


def _read_layers(base_mllm: Path, checkpoint: Path, settings: Model) -> tuple[list[Layer], TrainingConfig]:
    """All layers, the earliest first, and the training config of the last."""
    leave_out = settings.leave_out
    layers = [read_base_layer(base_mllm, leave_out)]
    if settings.sam2 is not None:
        layers.append(read_sam2_layer(settings.sam2, leave_out))
    if settings.pretrained is not None:
        layers.append(read_pretrained_layer(settings.pretrained, leave_out))
    trained, training = read_trained_layer(checkpoint, leave_out, settings.overrides)
    layers.append(trained)
    left_out = [name for layer in layers for name in layer.left_out]
    for pattern in leave_out:
        if not fnmatch.filter(left_out, pattern):
            raise UserError(f"No tensor of any layer matches {pattern!r}, which leave_out names; remove it.")
    return layers, training


def _tied(layers: Sequence[Layer], language_model: Mapping[str, Any]) -> tuple[list[Layer], bool]:
    """The layers, and whether the result's output layer is that of its embeddings.

    It is where the base says so and training left no output layer; a copy that the base holds is then left out.
    """
    architecture = (language_model.get("architectures") or [""])[0]
    head, embedding = Address(head_name(architecture)), Address(embedding_name(architecture))
    trained = [layer for layer in layers if layer.name not in BASE_LAYERS]
    if not language_model.get("tie_word_embeddings") or any(head in layer.tensors for layer in trained):
        return list(layers), False
    for layer in trained:
        if "modules_to_save" in layer.names.get(embedding, ""):
            raise UserError(
                f"{layer.source} holds {layer.names[embedding]}, which the tied output layer did not share, "
                f"and no {head.tensor}; save both modules in training."
            )
    return [layer.without(head) if head in layer.tensors else layer for layer in layers], True


def _trunk(layers: Sequence[Layer]) -> dict[str, Any] | None:
    shapes: dict[str, tuple[int, ...]] = {}
    source = layers[-1].source
    for layer in layers:
        values = {
            address.tensor: tensor for address, tensor in layer.tensors.items() if address.part is Part.VALUE
        }
        if any(name.startswith(SAM2_PREFIX) for name in values):
            source = layer.source
        shapes |= {name: tensor.shape for name, tensor in values.items()}
    return grounding_encoder_config(shapes, str(source))


def _inputs(base_mllm: Path, layers: Sequence[Layer]) -> list[tuple[str, Path]]:
    """Every file that the result depends on, with its layer."""
    texts = [base_mllm / "config.json", *tokenizer_files(base_mllm), *generation_files(base_mllm)]
    return [("base_mllm", path) for path in texts] + [
        (layer.name, path) for layer in layers for path in layer.files
    ]
