"""The command that renders the report."""

import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from refvessel import artifacts
from refvessel.cli.app import app
from refvessel.cli.run_command import usual_configuration
from refvessel.cli.section_options import SET, read_settings
from refvessel.settings.whole import Settings


@app.command()
def report(
    config: Annotated[
        Path | None,
        typer.Option(help="Configuration; without it config.yaml of this folder or, without that, the demo."),
    ] = None,
    assignments: Annotated[list[str] | None, SET] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write; default: the report's among the results.")
    ] = None,
    is_shown: Annotated[
        bool, typer.Option("--open", help="Show it in the browser; one that is there is not rendered again.")
    ] = False,
) -> None:
    """Render the report of a configuration from the results that there are."""
    settings = read_settings(config or usual_configuration(), assignments)
    folder = output or Path(settings.pathvars.apply("<results>")) / artifacts.OF_REPORT
    page = (folder / artifacts.PAGE).absolute()
    if not (is_shown and page.is_file()):
        render(settings, folder)
    if is_shown and not webbrowser.open(page.as_uri()):
        print(f"No browser was found; open {page} in yours.")


def render(settings: Settings, output: Path) -> None:
    """As the workflow's rule renders it, into the folder `output`."""
    from refvessel.jobs.shown_command import shown_command
    from refvessel.report.render import render_report
    from refvessel.report.run_told import RunTold
    from refvessel.report.sections import Evaluation
    from refvessel.settings.published import published

    results = Path(settings.pathvars.apply("<results>"))
    entries = settings.entries()
    datasets = trees(settings)
    render_report(
        evaluations=[
            Evaluation(
                **each.places,
                scores_dir=results / artifacts.OF_SCORES.format(**each.places)
                if settings.datasets[each.dataset].has_truth
                else None,
                predictions=results
                / artifacts.OF_PREDICTIONS.format(**each.places)
                / settings.scored_table(),
                choice=results / artifacts.CHOSEN.format(**each.places) if each.entrant.candidates else None,
            )
            for each in entries
        ],
        output=output,
        checkpoints={
            each.entrant.name: results / artifacts.OF_CHECKPOINT.format(model=each.entrant.model)
            for each in entries
            if each.entrant.kind != "imported"
        },
        datasets=datasets,
        comparisons=[
            results / artifacts.OF_COMPARISON.format(dataset=dataset, split=split) / artifacts.COMPARISON
            for dataset, split in settings.compared_splits()
        ],
        external=results / artifacts.EXTERNAL if settings.away_from_home() else None,
        name_tables=name_tables(settings),
        settings=settings.privacy,
        private_log=Path(settings.pathvars.apply("<private_logs>")) / artifacts.PRIVATE_LOG_OF_REPORT,
        language=settings.report.language,
        benchmarks=Path(settings.pathvars.apply("<benchmarks>")),
        run=RunTold(shown_command(sys.argv), published(settings)),
    )


def trees(settings: Settings) -> dict[str, Path]:
    """Each data set that is evaluated -> its tree among the results."""
    results = Path(settings.pathvars.apply("<results>"))
    names = settings.evaluated("dataset")
    return {name: results / artifacts.OF_DATASET.format(dataset=name) for name in names}


def name_tables(settings: Settings) -> list[Path]:
    """The tables of the names behind the pseudonyms of the data sets that are evaluated."""
    from refvessel.privacy.name_tables import table_of_tree

    return [
        table_of_tree(tree, settings.datasets[name].key_file)
        for name, tree in trees(settings).items()
        if settings.datasets[name].pseudonymise
    ]
