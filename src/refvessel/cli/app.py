"""The application that every command joins."""

from typing import Annotated, Any, Protocol, cast

import typer
from typer.core import TyperCommand, TyperGroup

from refvessel import __version__


class _HasParams(Protocol):
    def get_params(self, ctx: Any, /) -> list[Any]:
        """The parameters of a command."""
        ...


class _PlainFlags:
    """A command whose help shows no type beside an option that takes no value."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, as the help lists them."""
        params = cast(_HasParams, super()).get_params(ctx)
        for param in params:
            if getattr(param, "is_flag", False) and param.metavar is None:
                param.metavar = ""
        return params


class _Command(_PlainFlags, TyperCommand):
    """One command."""


class _Group(_PlainFlags, TyperGroup):
    """All commands together."""


class _Application(typer.Typer):
    """Commands whose flags are plain."""

    def command(self, name: str | None = None, **settings: Any) -> Any:
        """Let a function be the command of this name."""
        return super().command(name, **({"cls": _Command} | settings))


app = _Application(name="refvessel", cls=_Group, no_args_is_help=True, pretty_exceptions_enable=False)


def group(name: str, doc: str) -> typer.Typer:
    """A command that has commands of its own."""
    return _Application(name=name, help=doc, cls=_Group, no_args_is_help=True)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"refvessel {__version__}")
        raise typer.Exit


@app.callback()
def _of_all_commands(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Reproducible evaluation of Sa2VA on blood-vessel images."""
