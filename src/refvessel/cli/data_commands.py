"""Commands on data, and on what is published of them."""

from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app
from refvessel.cli.section_options import Options, with_sections
from refvessel.errors import UserError
from refvessel.privacy.name_tables import name_folder
from refvessel.settings.dataset_section import Dataset

_NAMES = name_folder(Path(Dataset.model_fields["key_file"].default))


@app.command("convert-dataset")
@with_sections(
    settings=Options(
        Dataset,
        "datasets",
        named=True,
        flags={"options": "--option", "phrases": "--phrase", "splits": "--split"},
    )
)
def convert_dataset(
    settings: Dataset,
    output: Annotated[Path, typer.Option(help="RefCOCO tree to write.")],
    threads: Annotated[int | None, typer.Option(help="Processes; default: one per core.", min=1)] = None,
) -> None:
    """Convert vessel images and their annotations to the official RefCOCO tree."""
    from refvessel.dataset.conversion.annotate import convert_dataset

    convert_dataset(output=output, settings=settings, threads=threads)


@app.command("check-privacy")
def check_privacy(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What is to be published.")],
    names: Annotated[
        Path, typer.Option(help="Folder of the name tables, beside the key of the pseudonyms.")
    ] = _NAMES,
    accept: Annotated[
        list[str] | None,
        typer.Option(metavar="PSEUDONYM", help="A patient or image whose names may stand there, once each."),
    ] = None,
) -> None:
    """Search text, archives and image metadata for the original names behind pseudonyms."""
    from refvessel.privacy.check import check_privacy
    from refvessel.privacy.name_tables import stated_identities

    tables = sorted(names.glob("*.csv"))
    if not tables:
        raise UserError(f"{names} has no name table; name the folder that converting data sets made.")
    for identity, path in stated_identities(folder).items():
        if not any(table.stem.endswith(f"-{identity}") for table in tables):
            raise UserError(
                f"{names} has no table of the names behind {path} (*-{identity}.csv); name the folder that has "
                "it, or convert the data set again."
            )
    checked = check_privacy(
        folder, tables, accepted=accept or (), private_log=names.parent / "logs" / "check-privacy.log"
    )
    print(
        f"{checked.names} names are not in the {checked.files} files of {folder} "
        f"({checked.names_left_out} more are too short or too common to be searched for)."
    )
