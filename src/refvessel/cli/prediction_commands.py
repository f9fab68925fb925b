"""Commands from a model to predictions."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app
from refvessel.cli.options import pairs
from refvessel.cli.section_options import Options, with_sections
from refvessel.errors import UserError
from refvessel.mask_logits import MODEL_THRESHOLD
from refvessel.model.library import imports_kept
from refvessel.predictions.identity import identify
from refvessel.settings.inference_section import Inference
from refvessel.settings.refinement_section import TUNING_SPLIT, Refinement
from refvessel.settings.scores_section import Scores

_OF_A_SHARD = tuple(name for name in Inference.model_fields if name not in ("shards", "together"))


@app.command()
@with_sections(settings=Options(Inference, "inference", only=_OF_A_SHARD))
def segment(
    settings: Inference,
    model: Annotated[
        list[Path],
        typer.Option(
            help="Official Sa2VA Hugging Face folder; given several times, checkpoints of one family and size, "
            "which see each image together."
        ),
    ],
    dataset: Annotated[Path, typer.Option(help="Official RefCOCO tree.")],
    split: Annotated[str, typer.Option(help="Split of the tree.")],
    output: Annotated[
        list[Path],
        typer.Option(
            help="Shard to write, JSON lines; an unfinished one is completed. One of each model, in their order."
        ),
    ],
    shard: Annotated[str, typer.Option(help="K/N: the K-th shard of N.")] = "1/1",
    answers: Annotated[
        Path | None, typer.Option(help="Folder of finished answers, used again and added to; output last.")
    ] = None,
) -> None:
    """Segment every expression of one shard of a split."""
    if len(model) != len(output):
        raise UserError(
            f"{len(model)} --model and {len(output)} --output are given; give one output for each model, in order."
        )
    for several, flag in ((model, "--model"), (output, "--output")):
        if len({each.resolve() for each in several}) < len(several):
            raise UserError(f"{flag} names one path twice; name each once.")
    for folder in model:  # whose weights are hashed while libraries are imported
        identify(folder)
    with imports_kept():
        from refvessel.inference.run import segment_series
        from refvessel.inference.sheets import Wanted

    segment_series(
        models={
            folder: [Wanted(settings.question, path)] for folder, path in zip(model, output, strict=True)
        },
        dataset=dataset,
        split=split,
        shard=shard,
        answers=answers,
        settings=settings,
    )


@app.command()
def gather(
    shards: Annotated[list[Path], typer.Argument(help="All shards of the split.")],
    dataset: Annotated[Path, typer.Option(help="The tree that was segmented.")],
    split: Annotated[str, typer.Option(help="The split that was segmented.")],
    output: Annotated[Path, typer.Option(help="Parquet table to write.")],
) -> None:
    """Gather the shards of a split, every expression exactly once."""
    from refvessel.predictions.gather import gather_predictions

    gather_predictions(shards=shards, dataset=dataset, split=split, output=output)


@app.command("tune-threshold")
@with_sections(
    refinement=Options(Refinement, "refinement", only=("threshold",), flags={"threshold": "--score"}),
    scores=Options(Scores, "scores", only=()),
)
def tune_threshold(
    refinement: Refinement,
    scores: Scores,
    predictions: Annotated[
        Path, typer.Option(help=f"Parquet table of `refvessel gather`, of the split {TUNING_SPLIT}.")
    ],
    logits: Annotated[list[Path], typer.Argument(help="The logits of all its shards.")],
    dataset: Annotated[Path, typer.Option(help="The tree that was segmented.")],
    output: Annotated[Path, typer.Option(help="JSON file to write.")],
) -> None:
    """Find the threshold that scores best on one split, to be frozen for another."""
    from refvessel.evaluation.tuning import tune_threshold

    if not isinstance(refinement.threshold, str):
        raise UserError("nothing says what the threshold is tuned for; give --score dice or iou.")
    tuned = tune_threshold(
        predictions=predictions,
        logits=logits,
        dataset=dataset,
        score=refinement.threshold,
        output=output,
        settings=scores,
    )
    print(
        f"{tuned['threshold']}: mean {tuned['score']} {tuned['mean']:.4f}, "
        f"at {MODEL_THRESHOLD} {tuned['mean_at_half']:.4f}, of {tuned['n_expressions']} expressions"
    )


@app.command("choose-question")
@with_sections(settings=Options(Scores, "scores", only=("bootstrap_draws",)))
def choose_question(
    settings: Scores,
    predictions: Annotated[
        list[str],
        typer.Argument(help=f"NAME=predictions.parquet of each question, of the split {TUNING_SPLIT}."),
    ],
    dataset: Annotated[Path, typer.Option(help="The tree that was segmented.")],
    output: Annotated[Path, typer.Option(help="JSON file to write.")],
) -> None:
    """Find the question that scores best on one split, to be asked on another."""
    from refvessel.evaluation.choosing import choose_question

    named = {name: Path(path) for name, path in pairs(predictions, "NAME=predictions.parquet").items()}
    chosen = choose_question(candidates=named, dataset=dataset, output=output, settings=settings)
    means = {each["name"]: each["dice_patient_mean"] for each in chosen["candidates"]}
    told = ", ".join(
        f"{name} {'undefined' if mean is None else f'{mean:.4f}'}" for name, mean in means.items()
    )
    print(f"{chosen['name']}: {chosen['question']!r}; Dice, mean over patients: {told}")


@app.command()
@with_sections(settings=Options(Refinement, "refinement"))
def refine(
    settings: Refinement,
    predictions: Annotated[Path, typer.Option(help="Parquet table of `refvessel gather`.")],
    output: Annotated[Path, typer.Option(help="Parquet table to write.")],
    logits: Annotated[
        list[Path] | None, typer.Argument(help="The logits of all its shards, for another threshold.")
    ] = None,
    tuned_threshold: Annotated[
        Path | None, typer.Option(help="File of tune-threshold, in the place of --threshold.")
    ] = None,
) -> None:
    """Make the masks of another threshold, and post-process them."""
    from refvessel.predictions.refinement import refine_predictions

    refine_predictions(
        predictions=predictions,
        output=output,
        logits=logits or (),
        tuned_threshold=tuned_threshold,
        settings=settings,
    )


@app.command()
def status(
    results: Annotated[Path, typer.Argument(help="Folder of a run's results.")],
    watch: Annotated[bool, typer.Option("--watch", help="Go on, until interrupted.")] = False,
) -> None:
    """Show how far all shards below a folder are."""
    from refvessel.jobs import status

    if watch:
        status.watch(results, screen=sys.stdout.isatty())
    else:
        print(status.status(results))
