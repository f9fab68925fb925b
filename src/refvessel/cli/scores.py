"""Commands on predictions and their scores."""

from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app
from refvessel.cli.options import pairs


@app.command()
def score(
    predictions: Annotated[Path, typer.Option(help="Parquet table of `refvessel gather`.")],
    dataset: Annotated[Path, typer.Option(help="The tree that was segmented.")],
    split: Annotated[str, typer.Option(help="The split that was segmented.")],
    output: Annotated[Path, typer.Option(help="Folder to write cases.parquet and summary.json into.")],
    logits: Annotated[
        list[Path] | None,
        typer.Option(help="Logits of a shard, for AUC and its like; repeated, those of all shards."),
    ] = None,
    cores: Annotated[int, typer.Option(min=1, help="Processes that share the work.")] = 1,
) -> None:
    """Score predictions against the tree's truth."""
    from refvessel.evaluation.split_scoring import score_split

    score_split(
        predictions=predictions,
        dataset=dataset,
        split=split,
        output=output,
        logits=logits or (),
        cores=cores,
    )


@app.command()
def compare(
    cases: Annotated[list[str], typer.Argument(help="MODEL=cases.parquet, two or more.")],
    output: Annotated[Path, typer.Option(help="Folder to write comparison.json and ranking.csv into.")],
    score: Annotated[list[str] | None, typer.Option(help="Score to compare; may be repeated.")] = None,
) -> None:
    """Compare models on the same expressions: paired tests, effects and ranks."""
    from refvessel.evaluation.comparing import COMPARED_SCORES, compare_models

    paths = {name: Path(path) for name, path in (pairs(cases, "MODEL=cases.parquet") or {}).items()}
    compare_models(cases=paths, output=output, scores=score or COMPARED_SCORES)
