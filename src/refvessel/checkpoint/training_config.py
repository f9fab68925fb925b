"""The training configuration inside a checkpoint, read as data.

mmengine stores the configuration as Python text (`meta.cfg`). It is parsed, never executed: assignments of
literals, `dict(...)` and earlier names have a value; any other expression is `Unknown`, and matters only where its
value is needed.
"""

import ast
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refvessel.checkpoint.lora_targets import LoraTargets, lora_targets
from refvessel.checkpoint.stated_files import StatedFile, Unknown, stated_files
from refvessel.errors import UserError
from refvessel.sentences import english
from refvessel.settings.model_section import Overrides

# The LoRA settings of a training config, and where the names of the tensors begin that they are about; of a
# Qwen-VL, training adapts the model as a whole.
LORA_PREFIXES = {"llm_lora": ("language_model.", "model."), "visual_encoder_lora": ("vision_model.",)}
SA2VA_TOKENS = ("[SEG]", "<p>", "</p>", "<vp>", "</vp>")

_AT_THE_TOP = ("template", "special_tokens")
_MAX_ALPHA = 1e9
_MAX_TEXT = 1 << 20  # characters; real ones have some ten thousand
_UNSUPPORTED_LORA = ("use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern")


@dataclass(frozen=True)
class LoraSettings:
    """How a fine-tuning run scaled its low-rank update."""

    rank: int
    alpha: float
    rank_stabilised: bool
    targets: LoraTargets = field(default_factory=LoraTargets)

    @property
    def scale(self) -> float:
        """The factor of B @ A: alpha / r (arXiv:2106.09685) or, stabilised, alpha / sqrt(r) (arXiv:2312.03732)."""
        return self.alpha / (self.rank**0.5 if self.rank_stabilised else self.rank)


@dataclass(frozen=True)
class TrainingConfig:
    """What the conversion needs of a training configuration.

    `loaded` are the files that training says it loaded; `without_pretrained` says that the pretrained ones among
    them are left out on purpose; `contradictions` are sentences about what was stated and is overridden. Of an
    adapter that peft saved, `adapter` are the settings of its one update, and `of_modules` those of tensors, by
    official name, that have settings of their own.
    """

    template: str
    special_tokens: tuple[str, ...]
    llm_lora: LoraSettings | None = None
    visual_encoder_lora: LoraSettings | None = None
    loaded: tuple[StatedFile, ...] = ()
    without_pretrained: bool = False
    contradictions: tuple[str, ...] = ()
    adapter: LoraSettings | None = None
    of_modules: Mapping[str, LoraSettings] = field(default_factory=dict)

    @property
    def loras(self) -> list[tuple[tuple[str, ...], LoraSettings | None]]:
        """All low-rank updates: where the names of the tensors begin that they are about, and their settings."""
        if self.adapter:
            return [(("",), self.adapter)]
        return [(prefixes, getattr(self, part)) for part, prefixes in LORA_PREFIXES.items()]

    def lora_of(self, tensor: str) -> LoraSettings | None:
        """The settings of the low-rank update of a tensor, by its official name."""
        if self.adapter:
            return self.of_modules.get(tensor, self.adapter)
        vision = LORA_PREFIXES["visual_encoder_lora"]
        return self.visual_encoder_lora if tensor.startswith(vision) else self.llm_lora


def read_training_config(text: str | None, source: str, overrides: Overrides | None = None) -> TrainingConfig:
    """Parse the configuration text of the file `source`; None where the file has none.

    What `overrides` state replaces what the text states; `pretrained_pth` among them says that what training began
    from is left out.
    Raises UserError where a needed field is missing, is not a literal, or has a value that is not supported.
    """
    given = {} if overrides is None else overrides.given()
    settings = {} if text is None else _assignments(text, source)
    mllm = _get(settings.get("model"), "mllm")
    stated = {key: settings.get(key) for key in _AT_THE_TOP}
    stated |= {key: _get(mllm, key) for key in LORA_PREFIXES}
    chosen = {key: _overridden(stated[key], given.get(key)) for key in stated}
    where = (
        f"{source} has no training config in meta.cfg" if text is None else f"The training config of {source}"
    )
    return TrainingConfig(
        _template(chosen["template"], where),
        _special_tokens(chosen["special_tokens"], where),
        _lora(chosen["llm_lora"], f"{source} states in llm_lora"),
        _lora(chosen["visual_encoder_lora"], f"{source} states in visual_encoder_lora"),
        loaded=tuple(stated_files(settings, source)),
        without_pretrained="pretrained_pth" in given,
        contradictions=tuple(_contradictions(stated, given, source)),
    )


def stated_config(
    stated: Mapping[str, Any], where: str, *, without_pretrained: bool = False
) -> TrainingConfig:
    """The config of a training whose `template` and `special_tokens` are known, and nothing else."""
    return TrainingConfig(
        _template(stated["template"], where),
        _special_tokens(stated["special_tokens"], where),
        without_pretrained=without_pretrained,
    )


def _overridden(stated: Any, override: Any) -> Any:
    if isinstance(override, dict):
        return (stated if isinstance(stated, dict) else {}) | override
    return stated if override is None else override


def _contradictions(stated: Mapping[str, Any], overrides: Mapping[str, Any], source: str) -> list[str]:
    pairs = [(key, stated[key], overrides.get(key)) for key in _AT_THE_TOP]
    for part in LORA_PREFIXES:
        pairs += [
            (f"{part}.{key}", _get(stated[part], key), value)
            for key, value in overrides.get(part, {}).items()
        ]
    return [
        english(
            "%(file)s states %(key)s = %(before)s, but the configuration overrides it with %(after)s.",
            file=source,
            key=key,
            before=_shown(before),
            after=_shown(after),
        )
        for key, before, after in pairs
        if before is not None and after is not None and _plain(before) != _plain(after)
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _template(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"{where}: no prompt template is stated as text; set `template` in the overrides.")
    return value


def _special_tokens(value: Any, where: str) -> tuple[str, ...]:
    texts = isinstance(value, list | tuple) and all(isinstance(token, str) for token in value)
    if not texts or sorted(value) != sorted(SA2VA_TOKENS):
        known = " ".join(SA2VA_TOKENS)
        raise UserError(
            f"{where}: special_tokens are {_shown(value)}, not exactly {known}; give a Sa2VA checkpoint, or set "
            "`special_tokens` in the overrides."
        )
    return tuple(value)


def _lora(settings: Any, where: str) -> LoraSettings | None:
    if settings is None:
        return None
    if not isinstance(settings, dict):
        raise UserError(f"{where} something that is not dict(...); write it out.")
    for key in _UNSUPPORTED_LORA:
        if settings.get(key):
            raise UserError(f"{where} {key}, which is not supported; merge that LoRA with peft first.")
    return lora_settings(settings, where)


def lora_settings(settings: Mapping[str, Any], where: str) -> LoraSettings:
    """Rank, alpha and scaling among the arguments of peft's `LoraConfig`.

    Raises UserError, beginning with `where`, for one that is missing or no such number.
    """
    rank: Any = settings.get("r")
    alpha: Any = settings.get("lora_alpha")
    stabilised = settings.get("use_rslora", False)
    if type(rank) is not int or rank < 1:
        raise UserError(
            f"{where} no rank `r` that is a whole number above 0, but {_shown(rank)}; write it out."
        )
    if type(alpha) not in (int, float) or not 0 < alpha < _MAX_ALPHA:
        raise UserError(
            f"{where} no `lora_alpha` that is a number above 0, but {_shown(alpha)}; write it out."
        )
    if not isinstance(stabilised, bool):
        raise UserError(
            f"{where} no `use_rslora` that is True or False, but {_shown(stabilised)}; write it out."
        )
    return LoraSettings(rank, float(alpha), stabilised, lora_targets(settings))


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _shown(value: Any) -> str:
    return f"the expression {value}" if isinstance(value, Unknown) else reprlib.repr(value)


def _assignments(text: str, source: str) -> dict[str, Any]:
    """The top-level names of a Python text and their values; a name assigned twice has the later one."""
    if not isinstance(text, str) or len(text) > _MAX_TEXT:
        raise UserError(
            f"{source} has a training config that is not text of ordinary length; check the file."
        )
    names: dict[str, Any] = {}
    try:
        for statement in ast.parse(text).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    names[name] = _value(value, names)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(
            f"{source} has a training config that is not Python text ({error}); check the file."
        ) from None
    return names


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return names.get(name, Unknown(name))
        case ast.List(elts=elements):
            return [_value(element, names) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_value(element, names) for element in elements)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.Dict(keys=keys, values=values) if all(isinstance(key, ast.Constant) for key in keys):
            literals = [key.value for key in keys if isinstance(key, ast.Constant)]
            return {key: _value(value, names) for key, value in zip(literals, values, strict=True)}
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if all(
            item.arg for item in keywords
        ):
            return {item.arg: _value(item.value, names) for item in keywords}
    return Unknown(ast.unparse(node))
