"""Output layers that are the embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from refvessel.checkpoint.layer_names import Address, Family
from refvessel.checkpoint.layers import BASE_LAYERS, Layer
from refvessel.checkpoint.model_config import family_of_config, ties_embeddings, vocabulary_names
from refvessel.errors import UserError


def with_output_layer(layers: Sequence[Layer], base: Mapping[str, Any]) -> tuple[list[Layer], bool]:
    """The layers with the output layer that the result has, and whether it is that of its embeddings.

    Where the base ties the two and training left no output layer, an InternVL's stays tied, and a copy that the
    base holds is left out; a Qwen-VL's is never tied in an official folder: the embeddings are written twice.

    Args:
        layers: the earliest first.
        base: the base's `config.json`.

    Raises:
        UserError: where training saved a copy of the embeddings which the output layer did not share.
    """
    embedding, head = map(Address, vocabulary_names(base))
    trained = [layer for layer in layers if layer.name not in BASE_LAYERS]
    untied = family_of_config(base) is Family.QWEN
    lacking = untied and not any(head in layer.tensors for layer in layers)
    if not ties_embeddings(base) and not lacking:
        return list(layers), False
    if any(head in layer.tensors for layer in trained):
        of_base = [
            _copied(layer, embedding, head) if layer.name in BASE_LAYERS else layer for layer in layers
        ]
        return (of_base if untied else list(layers)), False
    for layer in trained:
        if "modules_to_save" in layer.names.get(embedding, ""):
            raise UserError(
                f"{layer.source} holds {layer.names[embedding]}, which the tied output layer did not share, "
                f"and no {head.tensor}; save both modules in training."
            )
    if untied:
        return [_copied(layer, embedding, head) for layer in layers], False
    return [layer.without(head) if head in layer.tensors else layer for layer in layers], True


def _copied(layer: Layer, embedding: Address, head: Address) -> Layer:
    """A layer whose output layer is its embeddings."""
    if embedding not in layer.tensors:
        return layer
    return replace(
        layer,
        tensors=layer.tensors | {head: layer.tensors[embedding]},
        names=layer.names | {head: layer.names[embedding]},
    )
