"""Official folders through transformers' own loader: names on the way in, and what did not fit."""

import torch
from transformers import PreTrainedConfig
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import (
    Chunk,
    Concatenate,
    ConversionOps,
    WeightConverter,
    WeightRenaming,
)

from refvessel.model.naming import INTERNLM2, split_groups, to_module, to_official

_MOST_NAMED = 5


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
        self, input_dict: dict[str, list[torch.Tensor]], *, target_patterns: list[str], **_: object
    ) -> dict[str, torch.Tensor]:
        ((fused,),) = input_dict.values()
        return dict(zip(target_patterns, split_groups(fused, self._groups, self._head_size), strict=True))


def _split(module: str, fused: str, operation: ConversionOps) -> list[WeightConverter]:
    return [
        WeightConverter(
            source_patterns=rf"{module}.{fused}.{kind}",
            target_patterns=[f"{module}.{part}_proj.{kind}" for part in "qkv"],
            operations=[operation],
        )
        for kind in ("weight", "bias")
    ]


def _transforms(language_model: PreTrainedConfig) -> list[WeightRenaming | WeightConverter]:
    architecture = language_model.architectures[0]
    transforms = [
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
        transforms += _split("self_attn", "wqkv", groups)
    return transforms


def register_official_names(language_model: PreTrainedConfig) -> None:
    """Let transformers load a Sa2VA from official names; to be called before each load, which uses it up."""
    register_checkpoint_conversion_mapping("sa2va_chat", _transforms(language_model), overwrite=True)


def tensor_problems(report: dict, architecture: str) -> str:
    """What a loading report says is wrong, in words; empty where every tensor found its place.

    `architecture` is that of the language model.
    """

    def official(name: str) -> str:
        """The name that the folder knows; a part of a fused tensor has only ours."""
        return to_official(name, architecture) or name

    problems = []
    for key, words in (("missing_keys", "lacks"), ("unexpected_keys", "has unknown")):
        if names := sorted(map(official, report[key])):
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
