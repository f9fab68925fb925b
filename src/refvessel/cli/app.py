"""The application that every command joins."""

import typer

app = typer.Typer(
    name="refvessel",
    help="Reproducible evaluation of Sa2VA on blood-vessel images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
