"""The command that evaluates checkpoints as training leaves them."""

import time
from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app
from refvessel.cli.section_options import CONFIG, SET, read_settings
from refvessel.errors import UserError
from refvessel.jobs.signals import stopped_by_signals


@app.command(context_settings={"ignore_unknown_options": True})
def watch(
    work_dir: Annotated[Path, typer.Argument(help="Work folder of a training: iter_N.pth or epoch_N.pth.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Whatever else Snakemake takes, such as --resources gpu=2.")
    ] = None,
    *,
    config: Annotated[Path, CONFIG],
    assignments: Annotated[list[str] | None, SET] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Model of the configuration whose checkpoint they replace; needed where several have one."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Data set of the configuration; needed where the model has several.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Evaluate what is there, and end.")] = False,
    seconds: Annotated[int, typer.Option(help="Between two looks.", min=1)] = 60,
    cores: Annotated[str | None, typer.Option(help="As of `refvessel run`.")] = None,
    workflow_profile: Annotated[str | None, typer.Option(help="As of `refvessel run`.")] = None,
) -> None:
    """Evaluate checkpoints on val as training leaves them, and draw the learning curve."""
    from refvessel.cli.watching import Watching  # loads what reads checkpoints

    watching = Watching(
        read_settings(config, assignments),
        model=name,
        dataset=dataset,
        cores=cores,
        workflow_profile=workflow_profile,
        arguments=arguments or [],
    )
    with stopped_by_signals():
        while True:
            failed = watching.look(work_dir)
            if once:
                break
            time.sleep(seconds)
    if failed:
        raise UserError(f"{', '.join(failed)} could not be evaluated; the reasons stand above.")
