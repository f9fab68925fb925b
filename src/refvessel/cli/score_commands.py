"""Commands on predictions and their scores."""

from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app
from refvessel.cli.options import pairs
from refvessel.cli.section_options import Options, with_sections
from refvessel.errors import UserError
from refvessel.settings.inference_section import Inference
from refvessel.settings.scores_section import Protocol, Scores


@app.command()
@with_sections(
    settings=Options(
        Scores,
        "scores",
        only=(
            *("nsd_tolerance", "boundary_distance", "border_distance", "centre_line_tolerance"),
            *("ceiling_sample", "annotator_pixel", "bootstrap_draws"),
        ),
    ),
    inference=Options(Inference, "inference", only=("max_failures",)),
)
def score(
    settings: Scores,
    inference: Inference,
    predictions: Annotated[Path, typer.Option(help="Parquet table of `refvessel gather`.")],
    dataset: Annotated[Path, typer.Option(help="The tree that was segmented.")],
    split: Annotated[str, typer.Option(help="The split that was segmented.")],
    output: Annotated[Path, typer.Option(help="Folder to write cases.parquet and summary.json into.")],
    logits: Annotated[
        list[Path] | None,
        typer.Option(help="Logits of a shard, for AUC and its like; repeated, those of all shards."),
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(help="Whose reading of the tree is scored; the summary has the cIoU and gIoU of both."),
    ] = Protocol.OWN,
    threads: Annotated[int, typer.Option(min=1, help="Processes that share the work.")] = 1,
) -> None:
    """Score predictions against the tree's truth."""
    from refvessel.evaluation.split_scoring import score_split

    score_split(
        predictions=predictions,
        dataset=dataset,
        split=split,
        output=output,
        logits=logits or (),
        settings=settings,
        protocol=protocol,
        max_failures=inference.max_failures,
        threads=threads,
    )


@app.command()
@with_sections(
    settings=Options(
        Scores,
        "scores",
        only=("compared", "bootstrap_draws", "non_inferiority"),
        flags={"compared": "--score"},
    )
)
def compare(
    settings: Scores,
    cases: Annotated[list[str], typer.Argument(help="MODEL=cases.parquet, two or more.")],
    output: Annotated[Path, typer.Option(help="Folder to write comparison.json and ranking.csv into.")],
    group: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL=METHOD", help="What a model is one training of; repeated, for each."),
    ] = None,
) -> None:
    """Compare models on the same expressions: paired tests, effects, ranks, and what the patients can show."""
    from refvessel.evaluation.comparing import compare_models

    paths = {name: Path(path) for name, path in pairs(cases, "MODEL=cases.parquet").items()}
    compare_models(cases=paths, output=output, settings=settings, groups=pairs(group, "--group"))


@app.command()
@with_sections(
    settings=Options(Scores, "scores", only=("compared", "bootstrap_draws"), flags={"compared": "--score"})
)
def compare_datasets(
    settings: Scores,
    cases: Annotated[list[str], typer.Argument(help="MODEL/DATASET/SPLIT=cases.parquet, two or more.")],
    home: Annotated[
        list[str],
        typer.Option(metavar="MODEL=DATASET", help="What a model was trained for; repeated, for each."),
    ],
    output: Annotated[Path, typer.Option(help="File to write, JSON.")],
) -> None:
    """Compare models on several data sets with the one that each was trained for: drops and their intervals."""
    from refvessel.evaluation import external_comparing
    from refvessel.metrics.external_validation import Place

    form = "MODEL/DATASET/SPLIT=cases.parquet"
    named = {tuple(name.split("/")): Path(path) for name, path in pairs(cases, form).items()}
    if wrong := ["/".join(name) for name in named if len(name) != len(Place._fields)]:
        raise UserError(f"{wrong[0]!r} is not of the form {form}; name model, data set and split.")
    external_comparing.compare_datasets(
        cases={Place(*name): path for name, path in named.items()},
        homes=pairs(home, "--home"),
        output=output,
        settings=settings,
    )


@app.command()
@with_sections(settings=Options(Scores, "scores", only=("bootstrap_draws",)))
def score_sequences(
    settings: Scores,
    cases: Annotated[Path, typer.Option(help="cases.parquet of `refvessel score`.")],
    dataset: Annotated[Path, typer.Option(help="The tree that was segmented, which has runs.")],
    split: Annotated[str, typer.Option(help="The split that was segmented.")],
    output: Annotated[Path, typer.Option(help="Folder to write video_cases.parquet and video.json into.")],
    threads: Annotated[int, typer.Option(min=1, help="Processes that share the work.")] = 1,
) -> None:
    """Score the runs of a split: J, F, and how steady the masks are."""
    from refvessel.evaluation import sequence_scoring

    sequence_scoring.score_sequences(
        cases=cases, dataset=dataset, split=split, output=output, settings=settings, threads=threads
    )


@app.command()
@with_sections(settings=Options(Scores, "scores", only=("bootstrap_draws",)))
def compare_sequences(
    settings: Scores,
    cases: Annotated[list[str], typer.Argument(help="MODEL=video_cases.parquet, two or more.")],
    output: Annotated[Path, typer.Option(help="Folder to write video_comparison.json into.")],
) -> None:
    """Compare models on the same runs: paired tests of the scores of sequences."""
    from refvessel.evaluation import sequence_comparing

    paths = {name: Path(path) for name, path in pairs(cases, "MODEL=video_cases.parquet").items()}
    sequence_comparing.compare_sequences(cases=paths, output=output, settings=settings)
