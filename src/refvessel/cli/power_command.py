"""The command that says how many patients a difference needs."""

from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app
from refvessel.errors import UserError


@app.command()
def power(
    others: Annotated[
        list[Path] | None, typer.Argument(metavar="[B.parquet]", help="The second table.")
    ] = None,
    cases: Annotated[
        list[Path] | None,
        typer.Option(
            help="cases.parquet of `refvessel score`; two of them, A.parquet B.parquet, are paired."
        ),
    ] = None,
    score: Annotated[str, typer.Option(help="The score that is looked at.")] = "dice",
    differences: Annotated[
        str | None, typer.Option(help="One difference of two models per patient, separated by commas.")
    ] = None,
    difference: Annotated[
        float | None,
        typer.Option(help="The difference to be shown; without it, the one that is seen between the two."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="File to write the numbers into, JSON.")] = None,
) -> None:
    """Say which difference your patients can show, and how many patients a difference needs."""
    from refvessel.evaluation.sample_size import power_of_cases, power_of_differences, told
    from refvessel.files import write_json

    tables = [*(cases or []), *(others or [])]
    if (differences is None) == (not tables):
        raise UserError("Give either --cases, with one or two tables, or --differences.")
    if differences is None:
        numbers = power_of_cases(tables, score=score, difference=difference)
    else:
        numbers = power_of_differences(_numbers(differences), difference)
    for name, value in numbers.items():
        print(f"{name}: {'undefined' if value is None else value}")
    print(told(numbers))
    if output is not None:
        write_json(output, numbers)


def _numbers(text: str) -> list[float]:
    try:
        return [float(each) for each in text.split(",")]
    except ValueError:
        raise UserError(
            f"--differences {text!r} holds something else than numbers; write 0.01,0.002."
        ) from None
