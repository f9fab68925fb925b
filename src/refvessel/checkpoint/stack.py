"""Which layer each tensor of the result comes from: the later wins, and nothing is left over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from refvessel.checkpoint.layers import Layer
from refvessel.checkpoint.names import VOCABULARY, Address, Part
from refvessel.checkpoint.tensors import StoredTensor
from refvessel.errors import UserError


@dataclass(frozen=True)
class LoraPair:
    """The factors of an update scale * B @ A; A is (rank, inputs), B is (outputs, rank)."""

    layer: str
    a: StoredTensor
    b: StoredTensor
    scale: float


@dataclass(frozen=True)
class Source:
    """What one tensor of the result is made of.

    `label` is the layer's name, or lora_merged; `base` is what the layers that every training starts from
    (base_mllm, sam2) hold under the same name.
    """

    label: str
    value: StoredTensor
    base: StoredTensor | None
    lora: LoraPair | None


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
                    f"{layer.source} holds {name}, which has no place in the model ({address.tensor}); "
                    "give the layers of one model of the supported kind."
                )
    missing = sorted(name for name in shapes if not any(Address(name) in layer.tensors for layer in layers))
    if missing:
        files = ", ".join(str(layer.source) for layer in layers)
        raise UserError(f"No layer ({files}) holds {_first(missing)}; give the layers of one whole model.")
    for layer in layers:
        _check_values(layer, shapes)
    return {name: _source(name, layers, shapes[name]) for name in sorted(shapes)}


def superseded(layer: Layer, sources: Mapping[str, Source]) -> list[str]:
    """Names, as the layer's files have them, of its tensors that a later layer replaced."""

    def enters(address: Address) -> bool:
        source, tensor = sources[address.tensor], layer.tensors[address]
        return tensor is source.value or (
            source.lora is not None and tensor in (source.lora.a, source.lora.b)
        )

    return sorted(name for address, name in layer.names.items() if not enters(address))


def _check_values(layer: Layer, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for (name, part), tensor in layer.tensors.items():
        # The base model's vocabulary is smaller: training appended the Sa2VA tokens.
        grows = layer.name == "base_mllm" and name in VOCABULARY and tensor.shape[1:] == shapes[name][1:]
        if part is Part.VALUE and tensor.shape != shapes[name] and not grows:
            raise UserError(
                f"{layer.source} holds {layer.names[Address(name)]} of shape {list(tensor.shape)} where the model "
                f"has {list(shapes[name])}; give the layers of one model size and one vocabulary."
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
        (layer.tensors[Address(name)] for layer in layers[:2] if Address(name) in layer.tensors), None
    )
    lora = next(
        (pair for layer in reversed(layers[holders[-1] :]) if (pair := _pair(name, layer, shape))), None
    )
    return Source("lora_merged" if lora else last.name, value, base, lora)


def _pair(name: str, layer: Layer, shape: tuple[int, ...]) -> LoraPair | None:
    addresses = Address(name, Part.LORA_A), Address(name, Part.LORA_B)
    a, b = (layer.tensors.get(address) for address in addresses)
    if a is None and b is None:
        return None
    held = layer.names[addresses[0] if b is None else addresses[1]]
    if a is None or b is None:
        raise UserError(f"{layer.source} holds {held} without its other LoRA factor; check the file.")
    settings = layer.config.lora if layer.config else None
    if settings is None:
        raise UserError(
            f"{layer.source} holds {held} but states no LoRA in a training config; check the file."
        )
    if len(shape) != 2 or a.shape != (settings.rank, shape[1]) or b.shape != (shape[0], settings.rank):
        raise UserError(
            f"{layer.source} holds LoRA factors of shapes {list(a.shape)} and {list(b.shape)} for {name} of "
            f"shape {list(shape)}, where its training config states r = {settings.rank}; check which files belong "
            "together."
        )
    return LoraPair(layer.name, a, b, settings.scale)


def _first(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more tensors" if len(names) > 1 else "")
