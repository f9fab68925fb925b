"""What a layer lacks of what it has elsewhere: layers of a network whose weights or LoRA factors were lost."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from refvessel.checkpoint.layer_names import QWEN_VISION, Part
from refvessel.checkpoint.layers import BASE_LAYERS, Layer
from refvessel.checkpoint.lora_targets import LoraTargets
from refvessel.checkpoint.text_table import module_pattern
from refvessel.checkpoint.training_config import LORA_PREFIXES
from refvessel.errors import UserError
from refvessel.sentences import english

# The outermost of a network's equal layers that a tensor lies in; other numbered modules differ from each other.
_BLOCK = re.compile(r"(.*?\.(?:layers|blocks)\.)(\d+)\.")
_ANY_LORA = [(prefixes, None) for prefixes in LORA_PREFIXES.values()]  # of a layer without a training config


def check_gaps(layers: Sequence[Layer], shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Raise UserError where a layer of the training lacks tensors of a kind that it has elsewhere.

    Factors may be absent where the training config says so (`layers_to_transform`, `target_modules`,
    `exclude_modules`), whole weights of the first blocks where these were frozen: the latter gives a warning, as
    does what only a regular expression of the config could explain.

    Args:
        layers: the earliest first.
        shapes: official name -> shape of the tensors that the model has.

    Returns:
        The warnings, sentences.
    """
    later = [layer for layer in layers if layer.name not in BASE_LAYERS]
    return [
        warning
        for layer in later
        for warning in (*_missing_factors(layer, shapes), *_missing_values(layer, shapes))
    ]


def _missing_factors(layer: Layer, names: Iterable[str]) -> Iterator[str]:
    updated = {address.tensor for address in layer.tensors if address.part.is_lora}
    kinds = set(map(module_pattern, updated))
    adapted = {(_network(name), _module(name)) for name in updated}
    whole = {address.tensor for address in layer.tensors if address.part is Part.VALUE}
    for prefixes, settings in layer.config.loras if layer.config else _ANY_LORA:
        targets = settings.targets if settings else LoraTargets()
        missing = sorted(
            name
            for name in names
            if name.startswith(prefixes) and name not in updated
            if (module_pattern(name) in kinds and not targets.leave_out(name))
            or (
                updated
                and name.endswith(".weight")
                and targets.name(name)
                and name not in whole
                and not _is_of_another_network(name, adapted)
            )
        )
        if missing and targets.is_expression:
            yield (
                english(
                    "%(file)s holds no LoRA factors of %(tensors)s, though of other layers; its training config "
                    "chooses them by an expression, which is not evaluated.",
                    file=layer.source.name,
                    tensors=_listed(missing),
                )
            )
        elif missing:
            raise UserError(
                f"{layer.source} holds no LoRA factors of {_listed(missing)}, though its other layers have them "
                "and its training config leaves none out; the file is not whole: copy or save it again."
            )


def _is_of_another_network(name: str, adapted: Collection[tuple[str, str]]) -> bool:
    """True where a module of this name is adapted, and nothing in the network that this one lies in.

    A Qwen-VL's vision encoder and SAM2 have modules that are called like those of a language model.
    """
    networks = {network for network, module in adapted if module == _module(name)}
    return bool(networks) and all(network != _network(name) for network, _ in adapted)


def _network(name: str) -> str:
    return QWEN_VISION if name.startswith(QWEN_VISION) else name.partition(".")[0]


def _module(name: str) -> str:
    return name.split(".")[-2]


def _missing_values(layer: Layer, names: Iterable[str]) -> Iterator[str]:
    held = {address.tensor for address in layer.tensors if address.part is Part.VALUE}
    kinds = set(map(module_pattern, held))
    blocks: dict[str, set[int]] = defaultdict(set)  # start of the name -> numbers of the blocks that are held
    for place, number in filter(None, map(_block, held)):
        blocks[place].add(number)
    missing: dict[str, list[str]] = defaultdict(list)
    for name in names:
        if module_pattern(name) in kinds and name not in held and (block := _block(name)):
            place, number = block
            if number >= min(blocks[place]):
                raise UserError(
                    f"{layer.source} holds no {name}, though it has this tensor of other layers; the file is not "
                    "whole: copy or save it again."
                )
            missing[place].append(name)
    for names_of_place in missing.values():
        yield (
            english(
                "%(file)s holds no %(tensors)s, though of later layers; those of an earlier layer are used.",
                file=layer.source.name,
                tensors=_listed(sorted(names_of_place)),
            )
        )


def _block(name: str) -> tuple[str, int] | None:
    match = _BLOCK.match(name)
    return (match[1], int(match[2])) if match else None


def _listed(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more tensors" if len(names) > 1 else "")
