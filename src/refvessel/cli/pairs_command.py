"""The command that makes pairs for preference training."""

from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app
from refvessel.cli.options import pairs
from refvessel.cli.section_options import Options, with_sections
from refvessel.settings.scores_section import Scores


@app.command("export-pairs")
@with_sections(settings=Options(Scores, "scores", only=()))
def export_pairs(
    settings: Scores,
    predictions: Annotated[
        list[str], typer.Argument(metavar="NAME=predictions.parquet", help="One table per model or question.")
    ],
    dataset: Annotated[Path, typer.Option(help="The tree that was segmented.")],
    split: Annotated[str, typer.Option(help="Its training split; no other is exported.")],
    output: Annotated[Path, typer.Option(help="Folder to write pairs.jsonl and pairs.json into.")],
    with_truth: Annotated[
        bool,
        typer.Option("--with-truth", help="Let the truth be a candidate, too; one table is then enough."),
    ] = False,
    least_margin: Annotated[
        float, typer.Option(min=0, max=1, help="In Dice; closer masks make no pair.")
    ] = 0.0,
    threads: Annotated[int, typer.Option(min=1, help="Processes that share the work.")] = 1,
) -> None:
    """Pair better and worse masks of a training split, for preference training."""
    from refvessel.evaluation import preference_pairs

    summary = preference_pairs.export_pairs(
        predictions={
            name: Path(path) for name, path in pairs(predictions, "NAME=predictions.parquet").items()
        },
        dataset=dataset,
        split=split,
        output=output,
        settings=settings,
        with_truth=with_truth,
        least_margin=least_margin,
        threads=threads,
    )
    print(
        f"{summary['n_pairs']} pairs of {summary['n_expressions']} expressions, "
        f"{summary['n_expressions_without_pair']} of which have none."
    )
