"""`conversion.json`: what a conversion read, what it wrote, and the identity of the result."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from refvessel.checkpoint.layers import Layer
from refvessel.checkpoint.merge import Merge
from refvessel.checkpoint.stack import Source, superseded
from refvessel.checkpoint.training_config import LoraSettings, TrainingConfig
from refvessel.provenance import identity_of_tensors, versions
from refvessel.sentences import english

FORMAT = 1
_DIGITS_OF_NORMS = 6


def conversion_record(
    *,
    inputs: Sequence[Mapping[str, Any]],
    layers: Sequence[Layer],
    merges: Mapping[str, Merge],
    hashes: Mapping[str, str],
    files: Mapping[str, bytes],
    beside: Mapping[str, bytes],
    config: TrainingConfig,
    dtype: str,
    warnings: Sequence[str],
) -> dict[str, Any]:
    """The content of `conversion.json`; it holds no time and no path, so the same inputs give the same bytes.

    `inputs` are file records with their layer; `hashes` are the SHA-256 of the written tensors' bytes, by name;
    `files` are the configuration and the tokenizer, `beside` what no answer depends on; `warnings` are about the
    layers.
    """
    tensors = {name: _tensor(merge, hashes[name]) for name, merge in merges.items()}
    equal = sum(merge.equals_base for merge in merges.values())
    file_hashes, beside_hashes = (
        {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        for contents in (files, beside)
    )
    sources: dict[str, Source] = {name: merge.source for name, merge in merges.items()}
    return {
        "format": FORMAT,
        "identity": identity_of_tensors(tensors, file_hashes),
        "dtype": dtype,
        "other_dtypes": {name: entry["dtype"] for name, entry in tensors.items() if entry["dtype"] != dtype},
        "parameters": sum(merge.layout.elements for merge in merges.values()),
        "training": _training(config),
        "inputs": list(inputs),
        "layers": {
            layer.name: {
                "tensors": len(set(layer.names.values())),
                "superseded": superseded(layer, sources),
                "left_out": sorted(layer.left_out),
            }
            for layer in layers
        },
        "sources": dict(sorted(Counter(source.label for source in sources.values()).items())),
        "equal_to_base": {"tensors": equal, "of": len(tensors), "share": equal / len(tensors)},
        "warnings": [*warnings, *_warnings(layers, merges, config)],
        "tensors": tensors,
        "files": file_hashes,
        "beside": beside_hashes,
        "versions": versions(),
    }


def linked_record(
    *,
    inputs: Sequence[Mapping[str, Any]],
    tensors: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, str],
    beside: Mapping[str, str],
    dtype: str,
) -> dict[str, Any]:
    """The content of `conversion.json` beside the links to an official folder that is used as it is.

    `tensors` have source, shape, dtype and sha256 each; `files` and `beside` are SHA-256 by name. The
    identity is the one that a conversion with the same result has.
    """
    return {
        "format": FORMAT,
        "identity": identity_of_tensors(tensors, files),
        "dtype": dtype,
        "other_dtypes": {name: entry["dtype"] for name, entry in tensors.items() if entry["dtype"] != dtype},
        "parameters": sum(prod(entry["shape"]) for entry in tensors.values()),
        "inputs": list(inputs),
        "layers": {"official": {"tensors": len(tensors), "superseded": [], "left_out": []}},
        "sources": {"official": len(tensors)},
        "warnings": [],
        "tensors": dict(tensors),
        "files": dict(files),
        "beside": dict(beside),
        "versions": versions(),
    }


def summary(record: Mapping[str, Any]) -> str:
    """What a reader at the terminal should know of a conversion, a few lines; each warning is one line."""
    tensors = record["tensors"]
    lines = [
        f"{len(tensors)} tensors, {record['parameters']:,} parameters, {record['dtype']}",
        f"identity {record['identity']}",
        "from " + ", ".join(f"{source} {count}" for source, count in record["sources"].items()),
    ]
    norms = sorted(
        (entry["lora_delta_norm"], name) for name, entry in tensors.items() if "lora_delta_norm" in entry
    )
    if norms:
        ends = " to ".join(f"{norm:.3g} ({name})" for norm, name in (norms[0], norms[-1]))
        lines.append(f"{len(norms)} LoRA updates of norms from {ends}")
    if equal := record.get("equal_to_base"):
        lines.append(f"{equal['tensors']} of {equal['of']} tensors equal the base ({equal['share']:.1%})")
    return "\n".join(lines + [f"Warning: {warning}" for warning in record["warnings"]])


def _training(config: TrainingConfig) -> dict[str, Any]:
    """What was used of the training config; paths stay out, since they can identify a person."""

    def lora(settings: LoraSettings | None) -> dict[str, Any] | None:
        if settings is None:
            return None
        return {
            "rank": settings.rank,
            "alpha": settings.alpha,
            "rank_stabilised": settings.rank_stabilised,
        }

    return {
        "template": config.template,
        "special_tokens": list(config.special_tokens),
        "llm_lora": lora(config.llm_lora),
        "visual_encoder_lora": lora(config.visual_encoder_lora),
        **_adapter(config),
        "loaded": [{"layer": each.role.value, "key": each.key, "name": each.name} for each in config.loaded],
        "without_pretrained": config.without_pretrained,
    }


def _adapter(config: TrainingConfig) -> dict[str, Any]:
    """What an adapter states, where one was merged; the ranks and alphas are those of its modules."""
    if config.adapter is None:
        return {}
    used = config.of_modules.values()
    return {
        "adapter": {
            "ranks": sorted({settings.rank for settings in used}),
            "alphas": sorted({settings.alpha for settings in used}),
            "rank_stabilised": config.adapter.rank_stabilised,
        }
    }


def _tensor(merge: Merge, sha256: str) -> dict[str, Any]:
    entry = {
        "source": merge.source.label,
        "shape": list(merge.layout.shape),
        "dtype": str(merge.layout.dtype).removeprefix("torch."),
        "sha256": sha256,
        "equals_base": merge.equals_base,
    }
    if merge.source.update:
        # In the last digits of the sum it shows by how many threads it was formed.
        norm = None if merge.delta_norm is None else float(f"{merge.delta_norm:.{_DIGITS_OF_NORMS}g}")
        entry |= {"lora_layer": merge.source.update.layer, "lora_delta_norm": norm}
    return entry


def _warnings(layers: Sequence[Layer], merges: Mapping[str, Merge], config: TrainingConfig) -> list[str]:
    left_out = [
        english(
            "%(n)s tensors of the layer %(layer)s are left out, among them %(tensor)s.",
            n=len(layer.left_out),
            layer=layer.name,
            tensor=min(layer.left_out),
        )
        for layer in layers
        if layer.left_out
    ]
    zero = [
        english("The LoRA update of %(tensor)s is zero: training left no trace in it.", tensor=name)
        for name, merge in merges.items()
        if merge.delta_norm == 0
    ]
    return [*config.contradictions, *left_out, *zero]
