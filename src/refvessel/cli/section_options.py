"""Options that come from the settings: help, default and bounds of each are those of its field.

What is typed as an option overrides `--set KEY=VALUE`, which overrides the file of `--config`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from functools import wraps
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, cast, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from refvessel.cli.options import nested, pairs
from refvessel.errors import UserError
from refvessel.files import read_yaml
from refvessel.settings.checked import checked_config, checked_section
from refvessel.settings.dataset_section import Dataset
from refvessel.settings.section import Section
from refvessel.settings.whole import Settings
from refvessel.yaml_text import parse_yaml

CONFIG = typer.Option(help="Configuration, YAML; what is typed as an option goes before it.")
SET = typer.Option(
    "--set",
    metavar="KEY=VALUE",
    help="Dotted key of the configuration and its value, e.g. inference.flips=true.",
)
_NAME = typer.Option(help="Which of the configuration's; needed where it describes several.")


@dataclass(frozen=True)
class Options:
    """Options of one section.

    section: the section.
    key: where it stands in the configuration.
    named: whether there are several under the key, by name.
    only: the fields that become options; None: all.
    flags: field -> its option, where it is not called like it.
    """

    section: type[Section]
    key: str
    named: bool = False
    only: tuple[str, ...] | None = None
    flags: Mapping[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, FieldInfo]:
        """The fields that become options, by name."""
        known = self.section.model_fields
        return {name: known[name] for name in (known if self.only is None else self.only)}


def with_sections(**sections: Options) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command take options in the place of its parameters that are sections of the settings."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command).parameters
        made = {
            name: _parameter(name, info, each.flags.get(name))
            for each in sections.values()
            for name, info in each.fields.items()
        }
        common: dict[str, tuple[Any, Any]] = {
            "config": (Path | None, CONFIG),
            "assignments": (list[str] | None, SET),
        }
        if any(each.named for each in sections.values()):
            common["name"] = (str | None, _NAME)
        for name, (kind, option) in common.items():
            made[name] = _keyword(name, Annotated[kind, option])

        @wraps(command)
        def run(**arguments: Any) -> None:
            typed = {name: arguments.pop(name) for name in [*arguments] if name in made}
            command(**arguments, **_chosen(sections, typed))

        parameters = [
            each.replace(kind=each.KEYWORD_ONLY) for name, each in own.items() if name not in sections
        ]
        parameters += made.values()
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # what Typer reads
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def read_settings(config: Path | None, assignments: list[str] | None) -> Settings:
    """The whole configuration of a file, with what `--set` says laid over it."""
    laid_over = _assigned(assignments)
    return checked_config(_laid_over(_read(config), laid_over), laid_over)


def _assigned(assignments: list[str] | None) -> dict[str, Any]:
    """What `--set` says; a whole section is YAML, single values are typed once it is known what they are for."""
    return {
        key: parse_yaml(value, f"--set {key}") if isinstance(value, str) else value
        for key, value in nested(assignments, "--set").items()
    }


def _chosen(sections: Mapping[str, Options], typed: dict[str, Any]) -> dict[str, Section]:
    """The sections of a command, from its options."""
    config, laid_over = typed.pop("config"), _assigned(typed.pop("assignments"))
    name, content = typed.pop("name", None), _read(config)
    known = [each.key for each in sections.values()]
    if unread := [] if config else sorted(laid_over.keys() - set(known)):
        raise UserError(f"--set {unread[0]}: this command reads {' and '.join(known)}; leave it out.")
    paths = {
        parameter: (each.key, _name_of(each.key, name, content, laid_over, config))
        if each.named
        else (each.key,)
        for parameter, each in sections.items()
    }
    for parameter, each in sections.items():
        given = {
            key: _value(typed[key], info, each.flags.get(key, f"--{key}"))
            for key, info in each.fields.items()
            if typed[key] is not None
        }
        section: dict[str, Any] = {key: value for key, value in given.items() if value not in ({}, [])}
        for key in reversed(paths[parameter]):
            section = {key: section}
        laid_over = _laid_over(laid_over, section)
    if config is None:
        return {
            parameter: _alone(each.section, laid_over, paths[parameter])
            for parameter, each in sections.items()
        }
    settings = checked_config(_laid_over(content, laid_over), laid_over)
    return {parameter: _within(settings, path) for parameter, path in paths.items()}


def _alone(section: type[Section], values: Any, path: tuple[str, ...]) -> Section:
    for key in path:
        values = values.get(key, {})
    return checked_section(section, values, values, where=path)


def _within(settings: Settings, path: tuple[str, ...]) -> Section:
    section: Any = getattr(settings, path[0])
    for name in path[1:]:
        section = section[name]
    if isinstance(section, Dataset):
        section = section.model_copy(update={"root": Path(settings.pathvars.apply(str(section.root)))})
    return cast(Section, section)


def _name_of(
    key: str, name: str | None, content: Mapping[str, Any], laid_over: Mapping[str, Any], config: Path | None
) -> str:
    """The name under which a section stands: the one that is typed, else the only one."""
    known = {*(content.get(key) or {}), *(laid_over.get(key) or {})}
    if name is None and len(known) > 1:
        raise UserError(f"{key} has {', '.join(sorted(known))}; choose one with --name.")
    if config and name is not None and name not in known:
        raise UserError(f"{config} has no {key}.{name}; --name may be {', '.join(sorted(known))}.")
    return name or next(iter(known), key.removesuffix("s"))


def _read(config: Path | None) -> dict[str, Any]:
    content = {} if config is None else read_yaml(config)
    if not isinstance(content, dict):
        raise UserError(
            f"{config} is not a configuration, which has models, datasets and evaluations; check it."
        )
    return content


def _laid_over(below: Any, above: Any) -> Any:
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: _laid_over(below.get(key), value) for key, value in above.items()}


def _value(typed: Any, info: FieldInfo, flag: str) -> Any:
    """What an option says, as the configuration has it."""
    _, many = _kind("", info.annotation)
    if many == "keys":
        return nested(typed, flag)
    if many == "pairs":
        return pairs(typed, flag)
    return typed.value if isinstance(typed, Enum) else typed


def _parameter(name: str, info: FieldInfo, flag: str | None) -> inspect.Parameter:
    kind, many = _kind(name, info.annotation)
    limits = {
        key: getattr(each, key) for each in info.metadata for key in ("ge", "le", "lt") if hasattr(each, key)
    }
    most = limits["lt"] - 1 if "lt" in limits else limits.get("le")
    bounds: dict[str, Any] = {"min": limits.get("ge"), "max": most}
    option = typer.Option(
        *([flag] if flag else []),
        help=f"{info.description}{_unit(info)}",
        show_default=_shown(name, info.default) or False,
        metavar="NAME=VALUE" if many in ("pairs", "keys") else None,
        **(bounds if kind is int else {}),
    )
    return _keyword(name, Annotated[(list[str] if many else kind) | None, option])


def _keyword(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _kind(name: str, annotation: Any) -> tuple[Any, Literal["", "keys", "pairs", "several"]]:
    """The type of an option, and what of it may be repeated: keys of a section, pairs, or single values."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return StrEnum(name, {choice: choice for choice in arguments}), ""
    if origin is dict:
        return str, "pairs"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return str, "keys"
    if origin is tuple:
        return str, "several"
    kinds = [each for each in arguments if each is not NoneType]
    if len(kinds) == 1:
        return _kind(name, kinds[0])
    if kinds:
        return (float, "") if set(kinds) == {int, float} else (str, "")
    return annotation, ""


def _unit(info: FieldInfo) -> str:
    extra = info.json_schema_extra
    return f" Unit: {extra['unit']}." if isinstance(extra, dict) and "unit" in extra else ""


def _shown(name: str, default: Any) -> str | None:
    """A default as the help shows it; none where the description says what happens without the option."""
    if isinstance(default, bool):
        return ("" if default else "no-") + name.replace("_", "-")
    if isinstance(default, tuple):
        return ", ".join(default) or None
    plain = isinstance(default, str | int | float)
    return str(default).encode("unicode_escape").decode() if plain else None
