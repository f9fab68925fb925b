"""The training configuration inside a checkpoint, read as data.

mmengine stores the configuration as Python text (`meta.cfg`). It is parsed, never executed: assignments of
literals, `dict(...)` and earlier names have a value; any other expression is unknown, and matters only where its
value is needed.
"""

import ast
import reprlib
from dataclasses import dataclass
from typing import Any

from refvessel.errors import UserError

SA2VA_TOKENS = ("[SEG]", "<p>", "</p>", "<vp>", "</vp>")

_MAX_ALPHA = 1e9
_MAX_TEXT = 1 << 20  # characters; real ones have some ten thousand
_UNSUPPORTED_LORA = ("use_dora", "fan_in_fan_out", "lora_bias", "rank_pattern", "alpha_pattern")
_UNKNOWN = object()  # an expression that is not a literal


@dataclass(frozen=True)
class LoraSettings:
    """How a fine-tuning run scaled its low-rank update."""

    rank: int
    alpha: float
    rank_stabilised: bool

    @property
    def scale(self) -> float:
        """The factor of B @ A: alpha / r (arXiv:2106.09685) or, stabilised, alpha / sqrt(r) (arXiv:2312.03732)."""
        return self.alpha / (self.rank**0.5 if self.rank_stabilised else self.rank)


@dataclass(frozen=True)
class TrainingConfig:
    """What the conversion needs of a training configuration."""

    template: str
    special_tokens: tuple[str, ...]
    lora: LoraSettings | None


def read_training_config(text: str, source: str) -> TrainingConfig:
    """Parse the configuration text of the file `source`.

    Raises UserError where a needed field is missing, is not a literal, or has a value that is not supported.
    """
    settings = _assignments(text, source)
    template = settings.get("template")
    if not isinstance(template, str):
        raise UserError(
            f"{source} states no prompt template as text in its training config; set `template` there."
        )
    tokens = settings.get("special_tokens")
    texts = isinstance(tokens, list | tuple) and all(isinstance(token, str) for token in tokens)
    if not texts or sorted(tokens) != sorted(SA2VA_TOKENS):
        known = " ".join(SA2VA_TOKENS)
        raise UserError(
            f"{source} has the special_tokens {_shown(tokens)} in its training config, not exactly {known}; "
            "give a Sa2VA checkpoint."
        )
    lora = _get(_get(settings.get("model"), "mllm"), "llm_lora")
    return TrainingConfig(template, tuple(tokens), None if lora is None else _lora(lora, source))


def _lora(settings: Any, source: str) -> LoraSettings:
    where = f"{source} states in model.mllm.llm_lora of its training config"
    if not isinstance(settings, dict):
        raise UserError(f"{where} something that is not dict(...); write it out.")
    for key in _UNSUPPORTED_LORA:
        if settings.get(key):
            raise UserError(f"{where} {key}, which is not supported; merge that LoRA with peft first.")
    rank, alpha, stabilised = settings.get("r"), settings.get("lora_alpha"), settings.get("use_rslora", False)
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
    return LoraSettings(rank, float(alpha), stabilised)


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _shown(value: Any) -> str:
    return "an expression" if value is _UNKNOWN else reprlib.repr(value)


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
            return names.get(name, _UNKNOWN)
        case ast.List(elts=elements):
            return [_value(element, names) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_value(element, names) for element in elements)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.Dict(keys=keys, values=values) if all(isinstance(key, ast.Constant) for key in keys):
            return {key.value: _value(value, names) for key, value in zip(keys, values, strict=True)}
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if all(
            item.arg for item in keywords
        ):
            return {item.arg: _value(item.value, names) for item in keywords}
    return _UNKNOWN
