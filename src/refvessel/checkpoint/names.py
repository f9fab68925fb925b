"""From the names of each layer's tensors to the names of the official Hugging Face folder."""

import re
from enum import StrEnum
from typing import NamedTuple

from refvessel.model.naming import SAM2_PREFIX

VOCABULARY = ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight")

_TRAINING_PREFIX = "mllm.model."
_PEFT_WRAPPER = "language_model.base_model.model."
_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<factor>[AB])(\.default)?\.weight")
_SAVED_MODULE = re.compile(r"(?P<module>.+)\.modules_to_save(\.default)?\.(?P<parameter>\w+)")


class Part(StrEnum):
    """What a stored tensor is to the official tensor that it belongs to."""

    VALUE = "value"
    LORA_A = "lora_A"
    LORA_B = "lora_B"

    @property
    def is_lora(self) -> bool:
        """Whether this is a factor of a low-rank update."""
        return self is not Part.VALUE


class Address(NamedTuple):
    """An official tensor name and a part of it."""

    tensor: str
    part: Part = Part.VALUE


def base_address(name: str) -> Address:
    """InternVL's own names are the official ones."""
    return Address(name)


def sam2_address(name: str) -> Address:
    """SAM2 checkpoints have no prefix, and call the layer scales of the memory encoder `gamma`."""
    return Address(SAM2_PREFIX + re.sub(r"\.gamma$", ".g_weight", name))


def training_address(name: str) -> Address:
    """mmengine's names (with `.default`, `modules_to_save`), peft's own (without), or full fine-tuning's."""
    name = name.removeprefix(_TRAINING_PREFIX)
    if name.startswith(_PEFT_WRAPPER):
        name = "language_model." + name.removeprefix(_PEFT_WRAPPER)
    name = name.replace(".base_layer.", ".")
    if match := _LORA.fullmatch(name):
        return Address(match["module"] + ".weight", Part[f"LORA_{match['factor']}"])
    if match := _SAVED_MODULE.fullmatch(name):
        return Address(f"{match['module']}.{match['parameter']}")
    return Address(name)
