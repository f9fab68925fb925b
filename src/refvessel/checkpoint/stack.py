"""Which layer each tensor of the result comes from: the later wins, and nothing is left over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from refvessel.checkpoint.layer_names import VOCABULARY, Address, Part
from refvessel.checkpoint.layers import BASE_LAYERS, Layer
from refvessel.checkpoint.tensors import LazyTensor, whole
from refvessel.errors import UserError

# Where a tensor's low-rank update may lie: its B and its A, and whether their product is transposed.
_PAIRS = (
    (Part.LORA_B, Part.LORA_A, False),
    (Part.EMBEDDING_B, Part.EMBEDDING_A, True),
)


@dataclass(frozen=True)
class Update:
    """An addition of scale * B @ A, or of its transpose, or to a bias of scale * B.

    A is (rank, inputs), B is (outputs, rank); of a bias, A is None and B is (outputs,).
    """

    layer: str
    scale: float
    b: LazyTensor
    a: LazyTensor | None = None
    transposed: bool = False

    def factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Float32 (rows, rank) and (rank, columns), whose product times the scale is what is added."""
        b = whole(self.b).float()
        if self.a is None:
            return b[:, None], torch.ones(1, 1)
        a = whole(self.a).float()
        return (a.T, b.T) if self.transposed else (b, a)


@dataclass(frozen=True)
class Source:
    """What one tensor of the result is made of.

    `label` is the layer's name, or lora_merged; `base` is what the layers that every training starts from
    (base_mllm, sam2) hold under the same name; `entered` are the layers and addresses of all that enters.
    """

    label: str
    value: LazyTensor
    base: LazyTensor | None
    update: Update | None
    entered: frozenset[tuple[str, Address]]


def stack(layers: Sequence[Layer], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Source]:
    """Stack layers, the earliest first, onto the tensors that the model must have (official name -> shape).

    Returns the sources in order of tensor name. A LoRA pair changes the value of its own or an earlier layer; a
    value in a later layer replaces both.
    Raises UserError for a tensor that no model has, that is missing or that has another shape, for a LoRA factor
    without its other, and for a rank that contradicts the training config.
    """
    for layer in layers:
        for address, name in layer.names.items():
            if address.tensor not in shapes:
                raise UserError(
                    f"{layer.source} holds {name}, which has no place in the model ({address.tensor}); give the "
                    "layers of one model of the supported kind, or allow leaving it out."
                )
    missing = sorted(name for name in shapes if not any(Address(name) in layer.tensors for layer in layers))
    if missing:
        files = ", ".join(str(layer.source) for layer in layers)
        raise UserError(f"No layer ({files}) holds {_first(missing)}; give the layers of one whole model.")
    for layer in layers:
        _check_values(layer, shapes)
    return {name: _source(name, layers, shapes[name]) for name in sorted(shapes)}


def superseded(layer: Layer, sources: Mapping[str, Source]) -> list[str]:
    """Names, as the layer's files have them, of its tensors that the result holds nothing of."""
    entered = {
        name
        for address, name in layer.names.items()
        if (layer.name, address) in sources[address.tensor].entered
    }
    return sorted(set(layer.names.values()) - entered)


def _check_values(layer: Layer, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for address, tensor in layer.tensors.items():
        name, part = address
        if part.is_lora:
            continue
        # The base model's vocabulary is smaller: training appended the Sa2VA tokens.
        grows = (layer.name == "base_mllm" or part is Part.ORIGINAL) and name in VOCABULARY
        if tensor.shape != shapes[name] and not (grows and tensor.shape[1:] == shapes[name][1:]):
            raise UserError(
                f"{layer.source} holds {layer.names[address]} of shape {list(tensor.shape)} where the model "
                f"has {list(shapes[name])}; give the layers of one model size and one vocabulary."
            )
        if part is Part.ORIGINAL and Address(name) not in layer.tensors:
            raise UserError(
                f"{layer.source} holds {layer.names[address]} without its trained copy; check the file."
            )


def _source(name: str, layers: Sequence[Layer], shape: tuple[int, ...]) -> Source:
    holders = [position for position, layer in enumerate(layers) if Address(name) in layer.tensors]
    last = layers[holders[-1]]
    value = last.tensors[Address(name)]
    if value.shape != shape:
        raise UserError(
            f"No layer supplies {name} with the {shape[0]} rows that the tokenizer needs ({last.source} has "
            f"{value.shape[0]}); give the pretrained checkpoint that has it."
        )
    base = next(
        (
            layer.tensors[Address(name)]
            for layer in layers
            if layer.name in BASE_LAYERS and Address(name) in layer.tensors
        ),
        None,
    )
    entered = {(last.name, Address(name))}
    for layer in reversed(layers[holders[-1] :]):
        if update := _update(name, layer, shape):
            parts = [address for address in layer.tensors if address.tensor == name and address.part.is_lora]
            entered |= {(layer.name, address) for address in parts}
            return Source("lora_merged", value, base, update, frozenset(entered))
    return Source(last.name, value, base, None, frozenset(entered))


def _update(name: str, layer: Layer, shape: tuple[int, ...]) -> Update | None:
    """What a layer adds to a tensor."""
    bias = layer.tensors.get(Address(name, Part.LORA_BIAS))
    found = [
        (b_part, a_part, transposed)
        for b_part, a_part, transposed in _PAIRS
        if Address(name, b_part) in layer.tensors or Address(name, a_part) in layer.tensors
    ]
    if bias is None and not found:
        return None
    held = next(layer.names[address] for address in layer.tensors if _is_update_of(name, address))
    settings = layer.config.lora_of(name) if layer.config else None
    if settings is None:
        raise UserError(
            f"{layer.source} holds {held} but states no LoRA for it in a training config; check the file."
        )
    if bias is not None:
        if bias.shape != shape:
            raise UserError(
                f"{layer.source} holds {held} of shape {list(bias.shape)} for {name} of shape {list(shape)}; "
                "check which files belong together."
            )
        return Update(layer.name, settings.scale, bias)
    if len(found) > 1:
        raise UserError(f"{layer.source} holds two LoRA updates of {name}; check the file.")
    ((b_part, a_part, transposed),) = found
    b, a = (layer.tensors.get(Address(name, part)) for part in (b_part, a_part))
    if a is None or b is None:
        raise UserError(f"{layer.source} holds {held} without its other LoRA factor; check the file.")
    outputs, inputs = (shape[::-1] if transposed else shape) if len(shape) == 2 else (None, None)
    if a.shape != (settings.rank, inputs) or b.shape != (outputs, settings.rank):
        raise UserError(
            f"{layer.source} holds LoRA factors of shapes {list(a.shape)} and {list(b.shape)} for {name} of "
            f"shape {list(shape)}, where its training config states r = {settings.rank}; check which files belong "
            "together."
        )
    return Update(layer.name, settings.scale, b, a, transposed)


def _is_update_of(name: str, address: Address) -> bool:
    return address.tensor == name and address.part.is_lora


def _first(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more tensors" if len(names) > 1 else "")
