"""The command that renders the report."""

from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app
from refvessel.cli.sections import CONFIG, SET, read_settings
from refvessel.settings.tree import Settings


@app.command()
def report(
    config: Annotated[Path, CONFIG],
    assignments: Annotated[list[str] | None, SET] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write; default: the report's among the results.")
    ] = None,
) -> None:
    """Render the report of a configuration from the results that there are."""
    settings = read_settings(config, assignments)
    render(settings, output)


def render(settings: Settings, output: Path | None) -> None:
    """As the workflow's rule renders it."""
    from refvessel.privacy.name_tables import table_of_tree
    from refvessel.report.render import render_report
    from refvessel.report.sections import Evaluation

    results = Path(settings.pathvars.apply("<results>"))
    places = [(each, Path(each.model, each.dataset, each.split)) for each in settings.evaluations]
    datasets = {name: results / "datasets" / name for name in settings.evaluated("dataset")}
    described = {name: settings.datasets[name] for name in datasets}
    render_report(
        evaluations=[
            Evaluation(
                **each.canonical(),
                scores_dir=results / "scores" / place,
                predictions=results / "predictions" / place / f"{settings.scored_table()}.parquet",
            )
            for each, place in places
        ],
        output=output or results / "report",
        checkpoints={name: results / "checkpoints" / name for name in settings.evaluated("model")},
        datasets=datasets,
        comparisons=[
            results / "comparisons" / dataset / split / "comparison.json"
            for dataset, split in settings.compared_splits()
        ],
        name_tables=[
            table_of_tree(datasets[name], each.key_file)
            for name, each in described.items()
            if each.pseudonymise
        ],
        settings=settings.privacy,
        private_log=Path(settings.pathvars.apply("<private_logs>")) / "report.log",
    )
