"""Which modules a LoRA configuration of peft says it adapts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_INDEX = re.compile(r"\.(\d+)\.")
_EVERY_LINEAR_LAYER = "all-linear"


@dataclass(frozen=True)
class LoraTargets:
    """The modules that have factors.

    named: ends of their names, None where every one of a kind has them; excluded: ends of the names of those that
    have none; layers: numbers of the layers that have them, None for all; is_expression: a regular expression or
    another text chooses them, which is not evaluated.
    """

    named: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()
    layers: frozenset[int] | None = None
    is_expression: bool = False

    def leave_out(self, tensor: str) -> bool:
        """True where the configuration says that the module of an official tensor has no factors."""
        module = tensor.rpartition(".")[0]
        numbers = _INDEX.findall(tensor)
        if self.layers is not None and (not numbers or int(numbers[-1]) not in self.layers):
            return True
        return _ends(module, self.excluded) or (self.named is not None and not _ends(module, self.named))

    def name(self, tensor: str) -> bool:
        """True where the configuration says in words that the module of an official tensor has factors."""
        return self.named is not None and not self.is_expression and not self.leave_out(tensor)


def lora_targets(settings: Mapping[str, Any]) -> LoraTargets:
    """The targets that `LoraConfig`'s arguments state."""
    targets, excluded = settings.get("target_modules"), settings.get("exclude_modules")
    layers = settings.get("layers_to_transform")
    numbers = [layers] if type(layers) is int else layers
    return LoraTargets(
        named=_texts(targets),
        excluded=_texts(excluded) or (),
        layers=frozenset(numbers) if numbers is not None and _list_of(numbers, int) else None,
        is_expression=_is_expression(targets) or _is_expression(excluded) or _is_expression(numbers),
    )


def _texts(value: Any) -> tuple[str, ...] | None:
    return tuple(value) if _list_of(value, str) else None


def _is_expression(value: Any) -> bool:
    """True if a stated value is neither left out nor a list that was read."""
    read = _list_of(value, str) or _list_of(value, int)
    return value is not None and value != _EVERY_LINEAR_LAYER and not read


def _list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list | tuple) and all(type(each) is kind for each in value)


def _ends(module: str, ends: Sequence[str]) -> bool:
    return any(module == end or module.endswith(f".{end}") for end in ends)
