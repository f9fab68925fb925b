"""Official folders through transformers' own loader: names on the way in, and what did not fit."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from transformers.configuration_utils import PreTrainedConfig
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import (
    Chunk,
    Concatenate,
    ConversionOps,
    WeightConverter,
    WeightRenaming,
)

from refvessel.model.grounded_configuration import architecture_of
from refvessel.model.naming import INTERNLM2, to_module, to_official
from refvessel.model.projections import split_groups
from refvessel.model.quantisation import LANGUAGE_LINEAR, LANGUAGE_WEIGHTS, quantise

_MOST_NAMED = 5
_SCALE, _WEIGHT = ".scale", ".weight"
_ONE_BY_ONE = "HF_DEACTIVATE_ASYNC_LOAD"  # transformers' own switch


class _OfficialNames(WeightRenaming):
    """Renames by the table of `refvessel.model.naming` instead of by a pattern."""

    __slots__ = ("_architecture",)

    def __init__(self, architecture: str) -> None:
        super().__init__(source_patterns="^", target_patterns="")
        self._architecture = architecture

    def rename_source_key(self, source_key: str) -> tuple[str, str | None]:
        renamed = to_module(source_key, self._architecture)
        if renamed is None:
            return source_key, None
        self._was_used = True
        return renamed, "^"


class _SplitGroups(ConversionOps):
    """InternLM2's grouped `wqkv` to the three projections of Llama's attention."""

    def __init__(self, groups: int, head_size: int) -> None:
        self._groups, self._head_size = groups, head_size

    @torch.no_grad()
    def convert(
        self,
        input_dict: dict[str, Any],
        source_patterns: list[str],  # noqa: ARG002
        target_patterns: list[str],
        **_: Any,
    ) -> dict[str, Any]:
        ((fused,),) = input_dict.values()
        names = [target for target in target_patterns if not target.endswith(_SCALE)]
        return dict(zip(names, split_groups(fused, self._groups, self._head_size), strict=True))


class _Quantise(ConversionOps):
    """Each weight, in float32, to 8 bits and a scale."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    @torch.no_grad()
    def convert(
        self,
        input_dict: dict[str, Any],
        source_patterns: list[str],  # noqa: ARG002
        target_patterns: list[str],  # noqa: ARG002
        **_: Any,
    ) -> dict[str, Any]:
        converted: dict[str, torch.Tensor] = {}
        for name, tensor in input_dict.items():
            weight, scale = quantise(tensor[0] if isinstance(tensor, list) else tensor, self._dtype)
            converted |= {name: weight, _scale_of(name): scale}
        return converted


class _QuantisedLinear(WeightConverter):
    """Quantises weights of the language model's linear layers, and only those."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__("_proj.weight", _with_scales(["_proj.weight"]), [_Quantise(dtype)])

    def rename_source_key(self, source_key: str) -> tuple[str, str | None]:
        if LANGUAGE_LINEAR.fullmatch(source_key):
            return super().rename_source_key(source_key)
        return source_key, None


def _with_scales(weights: list[str]) -> list[str]:
    """Scales first: transformers hands tensors over in the precision of the first target, here float32."""
    return [*map(_scale_of, weights), *weights]


def _scale_of(weight: str) -> str:
    return weight.removesuffix(_WEIGHT) + _SCALE


def _split(
    module: str, fused: str, operation: ConversionOps, quantised: torch.dtype | None = None
) -> list[WeightConverter]:
    weights, biases = ([f"{module}.{part}_proj.{kind}" for part in "qkv"] for kind in ("weight", "bias"))
    of_weights = [operation]
    if quantised:
        weights, of_weights = _with_scales(weights), [operation, _Quantise(quantised)]
    return [
        WeightConverter(f"{module}.{fused}.weight", weights, of_weights),
        WeightConverter(f"{module}.{fused}.bias", biases, [operation]),
    ]


def _transforms(
    language_model: PreTrainedConfig, quantised: torch.dtype | None
) -> list[WeightRenaming | WeightConverter]:
    architecture = architecture_of(language_model)
    transforms: list[WeightRenaming | WeightConverter] = [
        _OfficialNames(architecture),
        *_split("attention", "qkv", Chunk(dim=0)),
        WeightConverter(
            source_patterns=[f"prompt_encoder.point_embed.{index}.weight" for index in range(4)],
            target_patterns="prompt_encoder.point_embed.weight",
            operations=[Concatenate(dim=0)],
        ),
    ]
    if architecture == INTERNLM2:
        groups = _SplitGroups(language_model.num_key_value_heads, language_model.head_dim)
        transforms += _split("self_attn", "wqkv", groups, quantised)
    if quantised:
        transforms.append(_QuantisedLinear(quantised))
    return transforms


@contextmanager
def official_names(language_model: PreTrainedConfig, language_weights: str | None) -> Iterator[None]:
    """Let transformers load one Sa2VA from official names, its language model perhaps quantised on the way.

    `language_weights` is a key of LANGUAGE_WEIGHTS, or None. Tensors that are quantised are read one by one: no
    more than one at a time is on the device as it was on the disk.
    """
    quantised = LANGUAGE_WEIGHTS[language_weights] if language_weights else None
    transforms = _transforms(language_model, quantised)
    register_checkpoint_conversion_mapping("sa2va_chat", transforms, overwrite=True)
    before = os.environ.get(_ONE_BY_ONE)
    if quantised:
        os.environ[_ONE_BY_ONE] = "1"
    try:
        yield
    finally:
        os.environ.pop(_ONE_BY_ONE, None)
        if before is not None:
            os.environ[_ONE_BY_ONE] = before


def made_on_loading(names: Iterable[str], architecture: str, language_weights: str | None) -> list[str]:
    """Those of our tensor names that no file holds as they are: parts, wholes and quantised ones."""
    return [
        name
        for name in names
        if name.endswith(_SCALE)
        or to_official(name, architecture) is None
        or (language_weights and LANGUAGE_LINEAR.fullmatch(name))
    ]


def tensor_problems(report: Mapping[str, Any], architecture: str) -> str:
    """What a loading report says is wrong, in words; empty where every tensor found its place.

    `architecture` is that of the language model.
    """

    def official(name: str) -> str:
        """The name that the folder knows; a part of a fused tensor has only ours."""
        return to_official(name, architecture) or name

    problems = []
    missing = [name for name in report["missing_keys"] if not name.endswith(_SCALE)]
    for found, words in ((missing, "lacks"), (report["unexpected_keys"], "has unknown")):
        if names := sorted(map(official, found)):
            problems.append(f"it {words} {_listed(names)}")
    if mismatched := sorted(report["mismatched_keys"]):
        shapes = [
            f"{official(name)} ({_shape(found)} instead of {_shape(wanted)})"
            for name, found, wanted in mismatched
        ]
        problems.append(f"of another shape are {_listed(shapes)}")
    return "; ".join(problems)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)
