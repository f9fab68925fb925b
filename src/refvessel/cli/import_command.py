"""The command that takes masks of other models and annotators in."""

from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app
from refvessel.cli.options import pairs
from refvessel.cli.section_options import Options, with_sections
from refvessel.errors import UserError
from refvessel.settings.checked import checked_section
from refvessel.settings.model_section import Model


@app.command("import-predictions")
@with_sections(
    settings=Options(
        Model,
        "models",
        named=True,
        only=("predictions", "format", "pattern", "options"),
        flags={"predictions": "--root", "options": "--option"},
    )
)
def import_predictions(
    settings: Model,
    dataset: Annotated[Path, typer.Option(help="Official RefCOCO tree.")],
    split: Annotated[str, typer.Option(help="Split of the tree.")],
    output: Annotated[Path, typer.Option(help="Parquet table to write.")],
    phrase: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PHRASE|LABEL=PHRASE",
            help="The phrase of all masks; or of a pixel's value, folder, label, category; null leaves it out.",
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            help="Table of the names behind the tree's pseudonyms, a CSV file, or the folder of such tables."
        ),
    ] = None,
) -> None:
    """Take the masks of any model or annotator as predictions of a split."""
    from refvessel.imports.importing import import_predictions
    from refvessel.privacy.name_tables import table_of_tree

    if not settings.is_imported:
        raise UserError("nothing says where the masks lie; give --root and --format.")
    if phrase:
        values = {**settings.given(), "options": settings.options.given(), "phrases": _phrases(phrase)}
        settings = checked_section(Model, values, where=("models",))
    if names is not None and names.is_dir():
        names = table_of_tree(dataset, names.parent / "key")
    imported = import_predictions(dataset=dataset, split=split, settings=settings, output=output, names=names)
    print(
        f"{imported['expressions']} expressions from {len(imported['files'])} files, "
        f"{imported['missing_taken_as_empty']} of them missing and taken as empty."
    )


def _phrases(texts: list[str]) -> str | dict[str, str | None]:
    """One phrase of all, or label -> phrase."""
    if len(texts) == 1 and "=" not in texts[0]:
        return texts[0]
    named = pairs(texts, "--phrase")
    return {label: None if meant == "null" else meant for label, meant in named.items()}
