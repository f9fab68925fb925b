"""From the layers of a fine-tuning run to an official Hugging Face folder."""

import fnmatch
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from refvessel.artifacts import CONVERSION
from refvessel.checkpoint.adapter_config import is_adapter_folder
from refvessel.checkpoint.conversion_record import conversion_record
from refvessel.checkpoint.finite import check_finite
from refvessel.checkpoint.gaps import check_gaps
from refvessel.checkpoint.generation import GENERATION, generation_config, generation_files
from refvessel.checkpoint.layer_names import Family, Part
from refvessel.checkpoint.layers import (
    Layer,
    read_adapter_layer,
    read_base_layer,
    read_official_layer,
    read_pretrained_layer,
    read_sam2_layer,
    read_trained_layer,
)
from refvessel.checkpoint.lineage import check_lineage
from refvessel.checkpoint.merge import Merge
from refvessel.checkpoint.model_config import (
    family_of_config,
    model_shapes,
    official_config,
    read_base_config,
)
from refvessel.checkpoint.output import check_output, json_bytes
from refvessel.checkpoint.output_layer import with_output_layer
from refvessel.checkpoint.processor import processor_files
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
from refvessel.checkpoint.training_config import (
    LORA_PREFIXES,
    SA2VA_TOKENS,
    TrainingConfig,
    stated_config,
)
from refvessel.checkpoint.trunks import grounding_encoder_config
from refvessel.checkpoint.vocabulary import vocabulary_rows, without_padding
from refvessel.errors import UserError
from refvessel.files import atomic_directory, require_free_space, write_json
from refvessel.model.naming import FLOAT32_TENSORS, SAM2_PREFIX
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
            training names, the latter or a folder that peft saved; or an official `folder` and what was trained
            on it. LoRA is merged in float32 whatever the `dtype`, and SAM2's position frequencies stay
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
    base, checkpoint, dtype, output = (
        settings.folder or settings.base_mllm,
        settings.checkpoint,
        settings.dtype,
        Path(output),
    )
    if base is None or checkpoint is None:
        raise UserError(f"The model is the folder {settings.folder}, which is used as it is; link it.")
    base_config = read_base_config(base, official=settings.folder is not None)
    layers, training = _read_layers(base, checkpoint, settings, base_config)
    tokenizer, token_count = extended_tokenizer(base, training.special_tokens)
    rows = vocabulary_rows(layers, token_count)
    layers, warnings = without_padding(layers, rows)
    layers, tied = with_output_layer(layers, base_config)
    config = official_config(
        base_config,
        template=training.template,
        vocab_size=rows,
        grounding_encoder=base_config.get("grounding_encoder_config") or _trunk(layers),
        tied=tied,
        dtype=dtype,
    )
    shapes = model_shapes(config, f"{checkpoint} on {base}")
    warnings += check_lineage(layers, shapes)
    sources = stack(layers, shapes)
    warnings += check_gaps(layers, shapes)
    merges = {
        name: Merge(source, torch.float32 if name in FLOAT32_TENSORS else DTYPES[dtype])
        for name, source in sources.items()
    }
    shards = plan_shards({name: merge.layout for name, merge in merges.items()})
    index = {INDEX_NAME: json_bytes(shards_index(shards), base)} if len(shards) > 1 else {}
    files = tokenizer | {"config.json": json_bytes(config, base / "config.json")}
    files |= {path.name: path.read_bytes() for path in processor_files(base, family_of_config(base_config))}
    beside = {GENERATION: generation_config(base, training.template, tokenizer)}
    texts = sum(map(len, (files | index | beside).values())) + _RECORD_BYTES_PER_TENSOR * len(merges)
    inputs = _inputs(base, layers, family_of_config(base_config))
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


def _read_layers(
    base: Path, checkpoint: Path, settings: Model, base_config: Mapping[str, Any]
) -> tuple[list[Layer], TrainingConfig]:
    """All layers, the earliest first, and the training config of the last."""
    leave_out, family = settings.leave_out, family_of_config(base_config)
    if settings.folder is not None:
        layers = [read_official_layer(base, leave_out)]
    else:
        layers = [read_base_layer(base, leave_out, family)]
    if settings.sam2 is not None:
        layers.append(read_sam2_layer(settings.sam2, leave_out))
    if settings.pretrained is not None:
        layers.append(read_pretrained_layer(settings.pretrained, leave_out, family))
    if is_adapter_folder(checkpoint):
        config = _config_of_adapted(settings, base_config, layers[-1].config, f"{checkpoint} is an adapter")
        trained, training = read_adapter_layer(checkpoint, leave_out, config, family)
    else:
        trained, training = read_trained_layer(checkpoint, leave_out, settings.overrides, family)
    layers.append(trained)
    left_out = [name for layer in layers for name in layer.left_out]
    for pattern in leave_out:
        if not fnmatch.filter(left_out, pattern):
            raise UserError(f"No tensor of any layer matches {pattern!r}, which leave_out names; remove it.")
    return layers, training


def _config_of_adapted(
    settings: Model, base_config: Mapping[str, Any], pretrained: TrainingConfig | None, where: str
) -> TrainingConfig:
    """Template and tokens of the Sa2VA that an adapter adapts, which itself states neither."""
    given = settings.overrides.given()
    for key in LORA_PREFIXES:
        if key in given:
            raise UserError(f"{where}, which states its own LoRA; remove {key} from the overrides.")
    if settings.folder is not None:
        template = given.get("template", base_config.get("template"))
    else:
        template = given.get("template", pretrained.template if pretrained else None)
    tokens = pretrained.special_tokens if pretrained else SA2VA_TOKENS
    stated = {"template": template, "special_tokens": given.get("special_tokens", tokens)}
    return stated_config(stated, where, without_pretrained="pretrained_pth" in given)


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


def _inputs(base: Path, layers: Sequence[Layer], family: Family) -> list[tuple[str, Path]]:
    """Every file that the result depends on, with its layer."""
    texts = [
        base / "config.json",
        *tokenizer_files(base),
        *processor_files(base, family),
        *generation_files(base),
    ]
    return [(layers[0].name, path) for path in texts] + [
        (layer.name, path) for layer in layers for path in layer.files
    ]
