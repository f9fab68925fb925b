"""From the names of each layer's tensors to the names of the official Hugging Face folder."""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from refvessel.model.naming import INTERNLM2, QWEN2_5_VL, SAM2_PREFIX, embedding_name, head_name

QWEN_TEXT, QWEN_VISION = "model.model.language_model.", "model.model.visual."

# The tensors that grow with the tokenizer, in every family of language models.
VOCABULARY = frozenset(
    name(architecture)
    for name in (embedding_name, head_name)
    for architecture in ("Qwen2ForCausalLM", INTERNLM2, QWEN2_5_VL)
)

_TRAINING_PREFIX = "mllm.model."
_PEFT = "base_model.model."
_PEFT_WRAPPER = re.compile(r"^(language_model|vision_model)\.base_model\.model\.")
# A Qwen-VL's parts under the names that transformers has given them: since 4.52 all within `model`, before that
# beside each other; and those of its text model alone. The official folder holds it whole, as `model`.
_QWEN_PLACES = (
    (re.compile(r"^(?:model\.){0,2}(?:language_model\.)?(?=(?:layers|embed_tokens|norm)\.)"), QWEN_TEXT),
    (re.compile(r"^(?:model\.){0,2}visual\."), QWEN_VISION),
    (re.compile(r"^(?:model\.)?lm_head\."), "model.lm_head."),
)
# What an adapter was trained on besides the whole model: a module that holds the model as `model`, the causal
# language model alone, or its decoder.
_INTERNVL_PLACES = (
    (re.compile(r"^model\.(?=(?:language_model|vision_model|mlp1|text_hidden_fcs|grounding_encoder)\.)"), ""),
    (re.compile(r"^(?=(?:model|lm_head|output)\.)"), "language_model."),
    (re.compile(r"^(?=(?:layers|embed_tokens|tok_embeddings|norm)\.)"), "language_model.model."),
)
_OF_QWEN = re.compile(
    r"(?:^|\.)visual\.|language_model\.(?:layers|embed_tokens|norm)\.|^mllm\.model\.base_model\."
)
# What wrappers put between the names of modules: DistributedDataParallel, torch.compile, FSDP, activation
# checkpointing, DeepSpeed. No module of a Sa2VA has such a name.
_WRAPPERS = re.compile(
    r"(?:(?<=\.)|^)(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\."
)
# The layer scales of SAM2's memory fuser: `gamma` in SAM2 and in training, `g_weight` in a Hugging Face folder.
_LAYER_SCALE = re.compile(r"(memory_encoder\.fuser\.layers\.\d+)\.gamma$")


class Family(StrEnum):
    """Which multimodal model a Sa2VA is built on: each has names of its own."""

    INTERNVL = "InternVL"
    QWEN = "Qwen-VL"


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
    (re.compile(r"(?P<module>.+?)\." + pattern), part, parameter)
    for pattern, part, parameter in (
        (r"lora_A(\.default)?\.weight", Part.LORA_A, "weight"),
        (r"lora_B(\.default)?\.weight", Part.LORA_B, "weight"),
        (r"lora_B(\.default)?\.bias", Part.LORA_BIAS, "bias"),
        (r"lora_embedding_A(\.default)?", Part.EMBEDDING_A, "weight"),
        (r"lora_embedding_B(\.default)?", Part.EMBEDDING_B, "weight"),
        (r"modules_to_save(\.default)?\.(?P<parameter>.+)", Part.VALUE, None),
        (r"original_module\.(?P<parameter>.+)", Part.ORIGINAL, None),
    )
)


def base_address(name: str, family: Family = Family.INTERNVL) -> Address:
    """InternVL's own names are the official ones, Qwen-VL's differ with the version of transformers."""
    name = _unwrapped(name)
    return Address(_placed(name, _QWEN_PLACES) if family is Family.QWEN else name)


def official_address(name: str) -> Address:
    """The names of an official folder."""
    return Address(name)


def sam2_address(name: str) -> Address:
    """SAM2 checkpoints have no prefix."""
    return Address(SAM2_PREFIX + _official_scale(_unwrapped(name)))


def training_address(name: str, family: Family = Family.INTERNVL) -> Address:
    """mmengine's names (with `.default`, `modules_to_save`), peft's own (without), or full fine-tuning's."""
    name = _official_scale(_unwrapped(name))
    if family is Family.QWEN:
        inner = name.removeprefix(_TRAINING_PREFIX)
        return _part(_placed(inner.removeprefix(_PEFT), _QWEN_PLACES))
    return _part(_PEFT_WRAPPER.sub(r"\1.", name.removeprefix(_TRAINING_PREFIX)))


def adapter_address(name: str, family: Family) -> Address:
    """peft's own names, be the adapter that of the whole model or of its language model."""
    name = _unwrapped(name).removeprefix(_PEFT)
    if name.startswith(_TRAINING_PREFIX) or family is Family.QWEN:
        return training_address(name, family)
    return _part(_official_scale(_placed(_PEFT_WRAPPER.sub(r"\1.", name), _INTERNVL_PLACES)))


def adapted_module(name: str) -> str:
    """The module that a tensor of an adapter belongs to, as peft named it: what patterns of ranks are about."""
    part = re.search(r"\.(?:lora_|modules_to_save\.|base_layer\.)", name)
    module = name[: part.start()] if part else name.rpartition(".")[0]
    return module.removeprefix(_PEFT)


def family_of(names: Iterable[str]) -> Family:
    """Whose names these are, where nothing else says it."""
    return Family.QWEN if any(map(_OF_QWEN.search, names)) else Family.INTERNVL


def _placed(name: str, places: Sequence[tuple[re.Pattern[str], str]]) -> str:
    """The name with its beginning replaced by the official one, by the first place that it is of."""
    for beginning, official in places:
        if beginning.match(name):
            return beginning.sub(official, name, count=1)
    return name


def _part(name: str) -> Address:
    name = name.replace(".base_layer.", ".")
    for pattern, part, parameter in _PARTS:
        if match := pattern.fullmatch(name):
            return Address(f"{match['module']}.{parameter or match['parameter']}", part)
    return Address(name)


def _unwrapped(name: str) -> str:
    return _WRAPPERS.sub("", name)


def _official_scale(name: str) -> str:
    return _LAYER_SCALE.sub(r"\1.g_weight", name)
