"""The command that looks whether a run can succeed here."""

from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app
from refvessel.cli.run_command import profile_folder


@app.command()
def doctor(
    config: Annotated[
        Path | None, typer.Option(help="Configuration of the run, to be looked at, too.")
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(
            help="A Snakemake profile, slurm or a folder of yours: its partitions, account, commands."
        ),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Folder of the outputs; without it, the configuration's or `results`.")
    ] = None,
) -> None:
    """Look whether a run can succeed here; status 1 where not."""
    from refvessel.doctor.examination import examine
    from refvessel.doctor.finding import table

    found = profile_folder(profile) if profile else None
    findings = examine(config=config, profile=found, results=results)
    print(table(findings))
    if any(each.state == "failure" for each in findings):
        raise typer.Exit(1)
