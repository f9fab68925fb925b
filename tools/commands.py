"""The page of all commands, docs/commands.md, from what the application's help is made of.

python tools/commands.py    # writes the page anew
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from typer.models import ArgumentInfo, CommandInfo, OptionInfo

from refvessel.cli.app import app

PAGE = Path(__file__).resolve().parents[1] / "docs/commands.md"

_HEAD = """# Commands

Each step of the workflow is also a command. The `--help` of each shows what is below, `refvessel --version`
the version, and `refvessel --install-completion` lets your shell complete commands and options. A command that is
given something invalid prints one sentence and ends with status 1.

Made by `python tools/commands.py`; a test says where it is stale.
"""


@dataclass(frozen=True)
class _Parameter:
    """An argument or an option, as the help shows it."""

    shown: str
    is_option: bool
    required: bool
    repeated: bool
    default: Any
    help: str


def commands_page() -> str:
    """The page as Markdown: one section per command, in the order of the help, those of groups last."""
    sections = [_section(command) for command in app.registered_commands]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        within = group.typer_instance.info.name
        sections += [_section(command, f"{within} ") for command in group.typer_instance.registered_commands]
    return "\n".join([_HEAD, *sections])


def _section(command: CommandInfo, within: str = "") -> str:
    function: Callable[..., Any] = command.callback or commands_page
    parameters = sorted(_parameters(function), key=lambda each: (each.is_option, not each.required))
    name = within + (command.name or function.__name__.replace("_", "-"))
    usage = ["refvessel", name, *(_usage(each) for each in parameters if each.required or not each.is_option)]
    if any(each.is_option and not each.required for each in parameters):
        usage.append("[OPTIONS]")
    lines = [f"## {name}", "", inspect.getdoc(function) or "", "", "```text", " ".join(usage), "```", ""]
    lines += ["| argument or option | meaning | default |", "|---|---|---|"]
    return "\n".join([*lines, *map(_row, parameters), ""])


def _parameters(function: Callable[..., Any]) -> Iterator[_Parameter]:
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        kind, info = get_args(parameter.annotation)[:2]
        if getattr(info, "hidden", False):
            continue
        assert isinstance(info, ArgumentInfo | OptionInfo), f"{name} is neither an argument nor an option"
        is_option = isinstance(info, OptionInfo)
        # Within Annotated, Typer takes the first name of an option for its default.
        names = [info.default, *(info.param_decls or ())]
        stated = [each for each in names if isinstance(each, str) and each.startswith("--")]
        option = stated[0] if stated else f"--{name.replace('_', '-')}"
        is_flag = bool in (kind, *get_args(kind))
        value = "" if is_flag else info.metavar or _value(kind, name, is_option)
        if is_flag and not stated:  # Typer gives it a way to say no
            value = f"| --no-{option.removeprefix('--')}"
        yield _Parameter(
            shown=f"{option} {value}".rstrip() if is_option else value,
            is_option=is_option,
            required=parameter.default is parameter.empty,
            repeated=any(get_origin(each) is list for each in (kind, *get_args(kind))),
            default=None if parameter.default is parameter.empty else parameter.default,
            help=info.help or "",
        )


def _value(kind: Any, name: str, is_option: bool) -> str:
    """What stands for a value: its choices, or what kind it is of."""
    inner = next((each for each in get_args(kind) if each is not NoneType), kind)
    if get_args(inner) or get_origin(inner) is list:
        return _value(inner, name, is_option)
    if isinstance(inner, type) and issubclass(inner, Enum):
        return "|".join(str(each.value) for each in inner)
    if not is_option:
        return name.upper()
    return {Path: "PATH", int: "N", float: "X"}.get(inner, "TEXT")


def _usage(parameter: _Parameter) -> str:
    if parameter.is_option:
        return parameter.shown
    word = f"{parameter.shown}{'...' if parameter.repeated else ''}"
    return word if parameter.required else f"[{word}]"


def _row(parameter: _Parameter) -> str:
    repeated = ", may be repeated" if parameter.is_option and parameter.repeated else ""
    default = getattr(parameter.default, "value", parameter.default)
    stated = "required" if parameter.required else f"`{default}`" if default not in (None, False) else ""
    return f"| `{_in_a_cell(parameter.shown)}`{repeated} | {_in_a_cell(parameter.help)} | {stated} |"


def _in_a_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(commands_page(), "utf-8")
