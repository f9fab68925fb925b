"""The command that looks whether a run can succeed here."""

from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app


@app.command()
def doctor(
    config: Annotated[
        Path | None, typer.Option(help="Configuration of the run, to be looked at, too.")
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a Snakemake profile, e.g. profiles/slurm: its partitions, account, commands."
        ),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Folder of the outputs; without it, the configuration's or `results`.")
    ] = None,
) -> None:
    """Look whether a run can succeed here; status 1 where not."""
    from refvessel.doctor.examination import examine
    from refvessel.doctor.finding import table

    findings = examine(config=config, profile=profile, results=results)
    print(table(findings))
    if any(each.state == "failure" for each in findings):
        raise typer.Exit(1)
