"""The command that packs a finished run for a repository."""

from pathlib import Path
from typing import Annotated

import typer

from refvessel import artifacts
from refvessel.cli.app import app
from refvessel.cli.section_options import CONFIG, SET, read_settings


@app.command("export-crate")
def export_crate(
    config: Annotated[Path, CONFIG],
    output: Annotated[Path, typer.Option(help="Folder to write, which does not exist yet.")],
    assignments: Annotated[list[str] | None, SET] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Of the results, such as https://spdx.org/licenses/CC-BY-4.0; default: none is granted.",
        ),
    ] = None,
) -> None:
    """Pack a finished run as a Workflow Run RO-Crate: configuration, code, hashes of inputs, outputs."""
    from refvessel.cli.report_command import name_tables
    from refvessel.cli.run_command import workflow_folder
    from refvessel.crate.run_crate import export_crate

    settings = read_settings(config, assignments)
    files = export_crate(
        settings=settings,
        workflow=workflow_folder(),
        output=output,
        licence=licence,
        name_tables=name_tables(settings),
        private_log=Path(settings.pathvars.apply("<private_logs>")) / artifacts.PRIVATE_LOG_OF_CRATE,
    )
    print(f"{output}: {files} files.")
