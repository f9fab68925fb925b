"""Commands on data, and on what is published of them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app
from refvessel.cli.options import pairs
from refvessel.dataset.readers import FORMATS
from refvessel.errors import UserError

Format = StrEnum("Format", {name: name for name in FORMATS})


class Target(StrEnum):
    """What an expression asks for."""

    phrase = "phrase"
    region = "region"


class CrossingOutlines(StrEnum):
    """What becomes of outlines that cross themselves."""

    refuse = "refuse"
    draw = "draw"


@app.command("convert-dataset")
def convert_dataset(
    source_format: Annotated[Format, typer.Option("--format", help="Form of the data.")],
    root: Annotated[Path, typer.Option(help="Folder of the data.")],
    output: Annotated[Path, typer.Option(help="RefCOCO tree to write.")],
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VALUE for the format, e.g. layout=drive; templates as they are, else YAML; see data/README."
        ),
    ] = None,
    phrase: Annotated[
        list[str] | None,
        typer.Option(
            help="LABEL=PHRASE, once a label, or LABEL=null to leave it out; without any, labels are phrases."
        ),
    ] = None,
    target: Annotated[Target, typer.Option(help="All regions of a phrase, or each region.")] = Target.phrase,
    include_empty: Annotated[
        bool, typer.Option("--include-empty", help="Ask every phrase of every image, absent ones too.")
    ] = False,
    crossing_outlines: Annotated[
        CrossingOutlines, typer.Option(help="Refuse outlines that cross themselves, or draw them.")
    ] = CrossingOutlines.refuse,
    patient_pattern: Annotated[
        str | None, typer.Option(help="Regular expression on file names, with a group `patient`.")
    ] = None,
    patients: Annotated[Path | None, typer.Option(help="CSV: image, patient, and frame, split.")] = None,
    split: Annotated[list[str] | None, typer.Option(help="NAME=SHARE of the patients, once a split.")] = None,
    single_split: Annotated[str | None, typer.Option(help="Put everything into this split.")] = None,
    split_seed: Annotated[int, typer.Option(help="Seed of the patients' order.")] = 1,
    split_by_frames: Annotated[
        bool, typer.Option("--split-by-frames", help="Let shares count frames instead of patients.")
    ] = False,
    near_duplicates: Annotated[
        int, typer.Option(help="Bits of 256 within which images of two splits are compared; -1: not at all.")
    ] = 56,
    trained_on: Annotated[
        Path | None, typer.Option(help="List of training images, none of which may be evaluated on.")
    ] = None,
    no_pseudonyms: Annotated[
        bool, typer.Option("--no-pseudonyms", help="Keep file names as image ids: they will be published.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(help="Processes; default: one a core.")] = None,
) -> None:
    """Convert vessel images and their annotations to the official RefCOCO tree."""
    from refvessel.dataset.conversion.annotate import convert_dataset
    from refvessel.dataset.readers.formats import options_as_typed

    convert_dataset(
        source_format=source_format.value,
        root=root,
        output=output,
        options=options_as_typed(source_format.value, pairs(option, "--option") or {}),
        phrases=_phrases(phrase),
        target=target.value,
        include_empty=include_empty,
        crossing_outlines=crossing_outlines.value,
        patient_pattern=patient_pattern,
        patients=patients,
        splits=_shares(split),
        single_split=single_split,
        split_seed=split_seed,
        split_by_frames=split_by_frames,
        near_duplicates=None if near_duplicates < 0 else near_duplicates,
        trained_on=trained_on,
        pseudonymise=not no_pseudonyms,
        jobs=jobs,
    )


@app.command("check-privacy")
def check_privacy(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What is to be published.")],
    names: Annotated[
        Path, typer.Option(help="Folder of the name tables, beside the key of the pseudonyms.")
    ] = Path(".refvessel/names"),
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


def _phrases(texts: list[str] | None) -> dict[str, str | None] | None:
    phrases = pairs(texts, "--phrase")
    return phrases and {label: None if phrase == "null" else phrase for label, phrase in phrases.items()}


def _shares(texts: list[str] | None) -> dict[str, float] | None:
    shares = pairs(texts, "--split")
    try:
        return shares and {name: float(share) for name, share in shares.items()}
    except ValueError:
        raise UserError(
            f"--split {' '.join(texts or [])}: a share is not a number; write e.g. test=0.2."
        ) from None
