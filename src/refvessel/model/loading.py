"""Official folders through transformers' own loader: names on the way in, and what did not fit."""

from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import Chunk, Concatenate, WeightConverter, WeightRenaming

from refvessel.model.naming import to_module, to_official

_MOST_NAMED = 5


class _OfficialNames(WeightRenaming):
    """Renames by the table of `refvessel.model.naming` instead of by a pattern."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(source_patterns="^", target_patterns="")

    def rename_source_key(self, source_key: str) -> tuple[str, str | None]:
        renamed = to_module(source_key)
        if renamed is None:
            return source_key, None
        self._was_used = True
        return renamed, "^"


def _transforms() -> list[WeightRenaming | WeightConverter]:
    projections = ("q_proj", "k_proj", "v_proj")
    return [
        _OfficialNames(),
        *(
            WeightConverter(
                source_patterns=rf"attention.qkv.{kind}",
                target_patterns=[f"attention.{projection}.{kind}" for projection in projections],
                operations=[Chunk(dim=0)],
            )
            for kind in ("weight", "bias")
        ),
        WeightConverter(
            source_patterns=[f"prompt_encoder.point_embed.{index}.weight" for index in range(4)],
            target_patterns="prompt_encoder.point_embed.weight",
            operations=[Concatenate(dim=0)],
        ),
    ]


def register_official_names() -> None:
    """Let transformers load a Sa2VA from official names; to be called before each load, which uses it up."""
    register_checkpoint_conversion_mapping("sa2va_chat", _transforms(), overwrite=True)


def tensor_problems(report: dict) -> str:
    """What a loading report says is wrong, in words; empty where every tensor found its place."""
    problems = []
    for key, words in (("missing_keys", "lacks"), ("unexpected_keys", "has unknown")):
        if names := sorted(map(_official, report[key])):
            problems.append(f"it {words} {_listed(names)}")
    if mismatched := sorted(report["mismatched_keys"]):
        shapes = [
            f"{_official(name)} ({_shape(found)} instead of {_shape(wanted)})"
            for name, found, wanted in mismatched
        ]
        problems.append(f"of another shape are {_listed(shapes)}")
    return "; ".join(problems)


def _official(name: str) -> str:
    """The name that the folder knows; a part of a fused tensor has only ours."""
    return to_official(name) or name


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)
