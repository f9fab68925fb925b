"""Settings as users write them, checked before anything starts; each mistake is one sentence.

What comes out is canonical: however keys are ordered, whole numbers written and defaults stated, equal settings
are equal to the letter, so that Snakemake reruns nothing for another way of writing them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from refvessel.errors import UserError
from refvessel.settings.section import Section
from refvessel.settings.whole import Settings
from refvessel.yaml_text import parse_yaml

_MOST_VALUES = 100_000
_Path = tuple[str | int, ...]
_AnySection = TypeVar("_AnySection", bound=Section)

_TYPES = {
    "bool_type": "boolean",
    "dict_type": "object",
    "float_type": "number",
    "int_from_float": "integer",
    "int_type": "integer",
    "list_type": "array",
    "model_type": "object",
    "none_required": "null",
    "path_type": "string",
    "string_type": "string",
    "tuple_type": "array",
}
_BOUNDS = {
    "greater_than": ("less than or equal to the minimum of", "gt"),
    "greater_than_equal": ("less than the minimum of", "ge"),
    "less_than": ("greater than or equal to the maximum of", "lt"),
    "less_than_equal": ("greater than the maximum of", "le"),
}


def checked_config(config: Mapping[str, Any], command_line: Mapping[str, Any] | None = None) -> Settings:
    """The whole configuration, its defaults filled in.

    Args:
        config: what the files and the command line say together.
        command_line: what `--config` says. Snakemake reads the values inside of `key='{...}'` as text; here they
            get the types that they have in a file.

    Raises:
        UserError: names the key and the remedy, for an unknown key, a missing one, a value of another type, an
            evaluation of a model or data set that is not described, settings of a spread model that exclude each
            other, a threshold without the logits that it needs, or one that would be tuned on what it is evaluated
            on.
    """
    return checked_section(Settings, _in_order(_plain(config)), command_line, head="config: ")


def checked_section(
    kind: type[_AnySection],
    values: Mapping[str, Any],
    command_line: Mapping[str, Any] | None = None,
    *,
    head: str = "",
    where: _Path = (),
) -> _AnySection:
    """One section of the settings, its defaults filled in.

    Args:
        kind: which section it is.
        values: what it says.
        command_line: what of it was typed as text, and stands for what YAML makes of it where a text is not asked
            for.
        head: begins every sentence.
        where: path of the section in the configuration.

    Raises:
        UserError: names the key and the remedy.
    """
    complete = _typed(kind, _plain(values), command_line or {})
    try:
        return kind.model_validate(_canonical(complete, "config"))
    except ValidationError as error:
        found = _Mistakes(kind, complete, where, error.errors(include_url=False))
        raise UserError(f"{head}{found.sentence()}.") from None


def _typed(kind: type[Section], values: dict[str, Any], command_line: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with the texts of the command line read as YAML, where a text is not what is asked for."""
    # What belongs to a workflow of which this one is a module stands in other places.
    texts = {path: text for path, text in _texts(command_line, ()) if _within(values, path) == path}
    for path, text in texts.items():
        if text in ("null", "~"):
            _set(values, path, None)
    if not texts:
        return values
    try:
        kind.model_validate(_canonical(values, "config"))
    except ValidationError as error:
        for path in {_within(values, each["loc"]) for each in error.errors(include_url=False)}:
            if path in texts and _at(values, path) == texts[path]:
                _set(values, path, parse_yaml(texts[path], f"{'.'.join(map(str, path))}={texts[path]:.100}"))
    return values


def _texts(value: Any, path: _Path) -> Iterator[tuple[_Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping | list):
        for key, each in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _texts(each, (*path, key))


def _set(values: Any, path: _Path, value: Any) -> None:
    *parents, last = path
    for key in parents:
        values = values[key]
    values[last] = value


def _at(values: Any, path: _Path) -> Any:
    for key in path:
        values = values[key]
    return values


def _within(values: Any, loc: Sequence[str | int]) -> _Path:
    """The part of pydantic's place of an error that is a path of the values; the rest names a type."""
    path: list[str | int] = []
    for key in loc:
        try:
            values = values[key]
        except (KeyError, IndexError, TypeError):
            break
        path.append(key)
    return tuple(path)


class _Mistakes:
    """What pydantic says against values, as one sentence about the first."""

    def __init__(self, kind: type[Section], values: Any, where: _Path, errors: list[ErrorDetails]) -> None:
        self._kind, self._values, self._where = kind, values, where
        self._path = _within(values, errors[0]["loc"])
        self._errors = [error for error in errors if _within(values, error["loc"]) == self._path]

    def sentence(self) -> str:
        """Where, what is wrong and, where it does not follow from that, what to do."""
        kinds = [error["type"] for error in self._errors]
        bounds = [error for error in self._errors if error["type"] in _BOUNDS]
        error = bounds[0] if bounds else self._errors[0]
        context, name, value = error.get("ctx", {}), self._name(self._path), _at(self._values, self._path)
        match error["type"]:
            case "missing":
                return f"{name or 'the file'} has no {error['loc'][-1]}; add it"
            case "extra_forbidden":
                return self._unknown(self._path[:-1], self._path[-1])
            case "invalid_key":
                parent = tuple(error["loc"][:-1])
                # Pydantic tells a key that is no text as another: True as 1.
                strange = next(key for key in _at(self._values, parent) if not isinstance(key, str))
                return self._unknown(parent, strange)
            case "value_error":
                return self._of_a_section(str(context["error"]))
            case "string_pattern_mismatch":
                shown = self._path[-1] if error["loc"][-1] == "[key]" else value
                return f"{name}: {shown!r} does not match {context['pattern']!r}"
            case "too_short":
                return f"{name} has fewer than {context['min_length']} values; add one"
            case bound if bound in _BOUNDS:
                text, key = _BOUNDS[bound]
                return f"{name}: {value!r} is {text} {context[key]:g}"
        choices = [error["ctx"]["expected"] for error in self._errors if error["type"] == "literal_error"]
        if choices:
            known = choices[0].replace("'", "").replace(" or ", ", ")
            return (
                f"{name}: {value!r} is neither a number nor one of {known}"
                if "float_type" in kinds
                else f"{name}: {value!r} is not one of {known}"
            )
        if "float_type" in kinds:
            kinds = ["float_type"]  # of which whole numbers are some
        types = " or ".join(dict.fromkeys(repr(_TYPES[kind]) for kind in kinds if kind in _TYPES))
        return f"{name}: {value!r} is not of type {types}" if types else f"{name}: {error['msg']}"

    def _unknown(self, section: _Path, key: Any) -> str:
        known = ", ".join(_fields(self._kind, section))
        return f"{self._name(section) or 'the file'} has the unknown key {key!r}; known are {known}"

    def _name(self, path: Sequence[str | int]) -> str:
        return ".".join(map(str, (*self._where, *path)))

    def _of_a_section(self, said: str) -> str:
        """What a section says of itself begins with a key of its or continues its name."""
        name = self._name(self._path)
        if not name:
            return said
        fields = _fields(self._kind, self._path)
        if not fields:
            return f"{name}: {said}"
        return f"{name}.{said}" if said.split()[0].rstrip(":") in fields else f"{name} {said}"


def _fields(kind: Any, path: Sequence[str | int]) -> list[str]:
    """The keys of the section at a path; none where there is none."""
    for key in path:
        kind = _inside(kind, key)
    kind = _inside(kind, None)
    return list(kind.fields_by_key()) if isinstance(kind, type) and issubclass(kind, Section) else []


def _inside(kind: Any, key: str | int | None) -> Any:
    """The type under a key of a type, or the type itself without what wraps it."""
    while get_args(kind):
        arguments = [each for each in get_args(kind) if each is not NoneType]
        if get_origin(kind) is dict or get_origin(kind) is tuple:
            return kind if key is None else arguments[-1 if get_origin(kind) is dict else 0]
        kind = arguments[0]
    if key is None or not (isinstance(kind, type) and issubclass(kind, Section)):
        return kind
    fields = kind.fields_by_key()
    return fields[str(key)].annotation if key in fields else None


def _plain(value: Any, seen: Iterator[int] | None = None) -> Any:
    """A copy in dicts and lists; raises UserError where aliases blow a small file up."""
    seen = count() if seen is None else seen
    if next(seen) > _MOST_VALUES:
        raise UserError(
            f"config: the file holds more than {_MOST_VALUES} values, aliases written out; write fewer."
        )
    if isinstance(value, Mapping):
        return {key: _plain(each, seen) for key, each in value.items()}
    return [_plain(each, seen) for each in value] if isinstance(value, list) else value


def _in_order(value: Any) -> Any:
    """The same with the keys of every mapping sorted."""
    if isinstance(value, Mapping):
        return {key: _in_order(value[key]) for key in sorted(value, key=str)}
    return [_in_order(each) for each in value] if isinstance(value, list) else value


def _canonical(value: Any, where: str) -> Any:
    """Whole numbers as int; raises UserError for a number that is none."""
    if isinstance(value, dict):
        return {key: _canonical(each, f"{where}.{key}") for key, each in value.items()}
    if isinstance(value, list):
        return [_canonical(each, f"{where}.{number}") for number, each in enumerate(value)]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UserError(f"{where} is {value}; give a finite number.")
        return int(value) if value.is_integer() else value
    return value
