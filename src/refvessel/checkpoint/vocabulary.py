"""Vocabularies that a saver padded: rows beyond the tokenizer's last id, which no token reaches."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from refvessel.checkpoint.layer_names import VOCABULARY, Address, Part
from refvessel.checkpoint.layers import BASE_LAYERS, OFFICIAL, Layer
from refvessel.checkpoint.tensors import JoinedTensor, LazyTensor
from refvessel.sentences import english

# Vocabularies are padded to a multiple of 8, 64, 128, ... rows, or left as padded as the base's is. Another number
# has tokens of another tokenizer.
_MULTIPLE = 8
# The axis of a vocabulary's tensors, and of their low-rank factors, that has an entry per token.
_AXIS = {Part.VALUE: 0, Part.ORIGINAL: 0, Part.LORA_B: 0, Part.EMBEDDING_A: 1}


def vocabulary_rows(layers: Sequence[Layer], tokens: int) -> int:
    """How many rows the result's vocabulary has: one per id of the tokenizer, or those of the official folder.

    An official folder is used as it is where nothing is trained on it, and keeps its padding where something is.
    """
    return max([tokens, *(rows for layer in layers if layer.name == OFFICIAL for rows in _rows(layer))])


def _rows(layer: Layer) -> list[int]:
    """The numbers of rows of the vocabulary's tensors that a layer holds whole."""
    return [
        tensor.shape[0]
        for address, tensor in layer.tensors.items()
        if address.tensor in VOCABULARY and address.part is Part.VALUE and tensor.shape
    ]


def without_padding(layers: Sequence[Layer], tokens: int) -> tuple[list[Layer], list[str]]:
    """The layers without the padding of their vocabularies, and a sentence per layer that had one.

    Args:
        layers: the earliest first; of a base, what a later layer replaces is not worth a sentence.
        tokens: number of rows that are kept, in most cases one per id of the tokenizer.
    """
    cropped, sentences = [], []
    trained = {address for layer in layers if layer.name not in BASE_LAYERS for address in layer.tensors}
    of_base = {rows for layer in layers if layer.name in BASE_LAYERS for rows in _rows(layer)}
    for layer in layers:
        padded = _padded(layer, tokens, of_base if layer.name not in BASE_LAYERS else ())
        replaced = trained if layer.name in BASE_LAYERS else ()
        if entering := [address for address in padded if address not in replaced]:
            first = entering[0]
            rows = layer.tensors[first].shape[_AXIS[first.part]]
            sentences.append(
                english(
                    "%(file)s holds %(tensor)s with %(rows)s rows, of which the tokenizer's %(tokens)s tokens "
                    "reach the first; the padding is left out.",
                    file=layer.source.name,
                    tensor=layer.names[first],
                    rows=rows,
                    tokens=tokens,
                )
            )
        cropped.append(replace(layer, tensors=layer.tensors | padded))
    return cropped, sentences


def _padded(layer: Layer, tokens: int, known: Collection[int]) -> dict[Address, LazyTensor]:
    """Those tensors of a layer that are padded, without their padding; `known` are numbers of padded rows."""
    found = {}
    for address, tensor in layer.tensors.items():
        axis = _AXIS.get(address.part)
        if address.tensor not in VOCABULARY or axis is None or len(tensor.shape) <= axis:
            continue
        rows = tensor.shape[axis]
        # Only whole rows of a joined tensor can be left out: its elements lie end to end.
        is_padding = rows > tokens and (rows % _MULTIPLE == 0 or rows in known)
        if is_padding and not (axis and isinstance(tensor, JoinedTensor)):
            shape = (*tensor.shape[:axis], tokens, *tensor.shape[axis + 1 :])
            found[address] = replace(tensor, shape=shape)
    return found
