"""From the names of each layer's tensors to the names of the official Hugging Face folder."""

import re
from enum import StrEnum
from typing import NamedTuple

from refvessel.model.naming import INTERNLM2, SAM2_PREFIX, embedding_name, head_name

# The tensors that grow with the tokenizer, in every family of language models.
VOCABULARY = frozenset(
    name(architecture)
    for name in (embedding_name, head_name)
    for architecture in ("Qwen2ForCausalLM", INTERNLM2)
)

_TRAINING_PREFIX = "mllm.model."
_PEFT_WRAPPER = re.compile(r"^(language_model|vision_model)\.base_model\.model\.")
# What wrappers put between the names of modules: DistributedDataParallel, torch.compile, FSDP, activation
# checkpointing, DeepSpeed. No module of a Sa2VA has such a name.
_WRAPPERS = re.compile(
    r"(?:(?<=\.)|^)(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\."
)
# The layer scales of SAM2's memory fuser: `gamma` in SAM2 and in training, `g_weight` in a Hugging Face folder.
_LAYER_SCALE = re.compile(r"(memory_encoder\.fuser\.layers\.\d+)\.gamma$")


class Part(StrEnum):
    """What a stored tensor is to the official tensor that it belongs to."""

    VALUE = "value"
    LORA_A = "lora_A"
    LORA_B = "lora_B"
    LORA_BIAS = "lora_bias"  # of a module's B, added to the module's own bias
    EMBEDDING_A = "lora_embedding_A"  # factors of a transposed update: (B @ A).T
    EMBEDDING_B = "lora_embedding_B"
    ORIGINAL = "original_module"  # what peft keeps of a module of which it trains a copy

    @property
    def is_lora(self) -> bool:
        """True if this takes part in a low-rank update."""
        return self not in (Part.VALUE, Part.ORIGINAL)


class Address(NamedTuple):
    """An official tensor name and a part of it."""

    tensor: str
    part: Part = Part.VALUE


# What follows a module's name in training checkpoints: mmengine's names have peft's adapter `.default`, those that
# peft saves have not. The group `parameter` is what the module calls the tensor.
_PARTS = tuple(
    (re.compile(r"(?P<module>.+)\." + pattern), part, parameter)
    for pattern, part, parameter in (
        (r"lora_A(\.default)?\.weight", Part.LORA_A, "weight"),
        (r"lora_B(\.default)?\.weight", Part.LORA_B, "weight"),
        (r"lora_B(\.default)?\.bias", Part.LORA_BIAS, "bias"),
        (r"lora_embedding_A(\.default)?", Part.EMBEDDING_A, "weight"),
        (r"lora_embedding_B(\.default)?", Part.EMBEDDING_B, "weight"),
        (r"modules_to_save(\.default)?\.(?P<parameter>weight|bias)", Part.VALUE, None),
        (r"original_module\.(?P<parameter>weight|bias)", Part.ORIGINAL, None),
    )
)


def base_address(name: str) -> Address:
    """InternVL's own names are the official ones."""
    return Address(_unwrapped(name))


def sam2_address(name: str) -> Address:
    """SAM2 checkpoints have no prefix."""
    return Address(SAM2_PREFIX + _official_scale(_unwrapped(name)))


def training_address(name: str) -> Address:
    """mmengine's names (with `.default`, `modules_to_save`), peft's own (without), or full fine-tuning's."""
    name = _official_scale(_unwrapped(name).removeprefix(_TRAINING_PREFIX))
    name = _PEFT_WRAPPER.sub(r"\1.", name).replace(".base_layer.", ".")
    for pattern, part, parameter in _PARTS:
        if match := pattern.fullmatch(name):
            return Address(f"{match['module']}.{parameter or match['parameter']}", part)
    return Address(name)


def _unwrapped(name: str) -> str:
    return _WRAPPERS.sub("", name)


def _official_scale(name: str) -> str:
    return _LAYER_SCALE.sub(r"\1.g_weight", name)
