"""The commands that run the workflow and say where it lies."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import refvessel
from refvessel.cli.app import app
from refvessel.errors import UserError

_INSTALLED = (
    "refvessel_workflow"  # beside the package, whose own files belong to what code hashes are made of
)
_SNAKEFILE, _CONFIGURATION = "Snakefile", "config.yaml"


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            help="Whatever else Snakemake takes: what to make, --dry-run, --directory, --resources gpu=2."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Configuration; without it config.yaml of this folder or, without that, the demo."),
    ] = None,
    cores: Annotated[
        str | None,
        typer.Option(help="Cores that all jobs together take, or all, which they take without it."),
    ] = None,
    workflow_profile: Annotated[
        str | None,
        typer.Option(
            help="Where jobs run: slurm, cluster-generic, kubernetes, or a folder of yours; else here."
        ),
    ] = None,
) -> None:
    """Run the workflow, from models and data to the report, as Snakemake does with its Snakefile."""
    if config is not None and not config.is_file():
        raise UserError(f"--config {config} names no file; check the path, which is seen from this folder.")
    command = command_of_run(config, cores=cores, workflow_profile=workflow_profile)
    # In place of this process: whoever stops it stops the run.
    os.execv(sys.executable, [*command, *(arguments or [])])


def command_of_run(config: Path | None, *, cores: str | None, workflow_profile: str | None) -> list[str]:
    """Snakemake with this workflow; what it is to make, and its own options, may follow.

    Args:
        config: the configuration; None: the usual one.
        cores: that all jobs together take; None: all of them, where they run here.
        workflow_profile: where jobs run; None: here.
    """
    given = ["--configfile", str(config)] if config else []
    if workflow_profile:
        given += ["--workflow-profile", workflow_profile]
    if cores or not workflow_profile:
        given += ["--cores", cores or "all"]
    # An option of several values, such as --configfile, would take what is to be made for one of them.
    given += ["--snakefile", str(workflow_folder() / _SNAKEFILE)]
    return [sys.executable, "-m", "snakemake", *given]


@app.command()
def workflow() -> None:
    """Show the folder of the workflow: its Snakefile, profiles to copy from, and the demo's configuration."""
    print(workflow_folder())


def usual_configuration() -> Path:
    """What a run reads where no configuration is given: that of this folder, or the demo's."""
    own = Path(_CONFIGURATION)
    return own if own.is_file() else workflow_folder() / _CONFIGURATION


def profile_folder(profile: Path) -> Path:
    """A profile as Snakemake finds it: the path, or the workflow's own profile of that name."""
    own = workflow_folder() / "profiles" / profile
    return own if own.exists() and not profile.exists() else profile


def workflow_folder() -> Path:
    """The folder of the Snakefile, of an installed package or of the project.

    Raises:
        UserError: where there is none.
    """
    package = Path(refvessel.__file__).parent
    places = (package.parent / _INSTALLED, package.parents[1])
    found = next((place for place in places if (place / _SNAKEFILE).is_file()), None)
    if found is None:
        raise UserError(
            f"Beside {package} there is no {_INSTALLED} with a {_SNAKEFILE}; install refvessel anew."
        )
    return found
