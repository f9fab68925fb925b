"""Commands from a model to predictions."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app
from refvessel.cli.options import pairs
from refvessel.cli.precision import Dtype
from refvessel.errors import UserError


class Device(StrEnum):
    """Where a model runs."""

    cpu = "cpu"
    cuda = "cuda"


class DeviceMap(StrEnum):
    """How a model is spread over devices."""

    auto = "auto"


class LanguageWeights(StrEnum):
    """Kinds of 8-bit weights."""

    int8 = "int8"
    float8 = "float8"


class Score(StrEnum):
    """What a threshold is tuned for."""

    dice = "dice"
    iou = "iou"


@app.command()
def segment(
    model: Annotated[Path, typer.Option(help="Official Sa2VA Hugging Face folder.")],
    dataset: Annotated[Path, typer.Option(help="Official RefCOCO tree.")],
    split: Annotated[str, typer.Option(help="Split of the tree.")],
    output: Annotated[Path, typer.Option(help="Shard to write, JSON lines; an unfinished one is completed.")],
    shard: Annotated[str, typer.Option(help="K/N: the K-th shard of N.")] = "1/1",
    dtype: Annotated[Dtype | None, typer.Option(help="Default: bfloat16 on a GPU, else float32.")] = None,
    device: Annotated[Device | None, typer.Option(help="Default: a GPU where there is one.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a batch. Default: what fits.", min=1)] = None,
    threads: Annotated[int | None, typer.Option(help="Cores to use. Default: all.", min=1)] = None,
    gpus_per_job: Annotated[
        int, typer.Option(help="Free GPUs to take, where it runs on any; several share the model.", min=1)
    ] = 1,
    device_map: Annotated[
        DeviceMap | None, typer.Option(help="Spread the model over GPUs, memory and disk, as far as it must.")
    ] = None,
    max_memory: Annotated[
        list[str] | None,
        typer.Option(help="What weights may take of a GPU or of the host, e.g. 0=20GiB, cpu=40GiB."),
    ] = None,
    language_weights: Annotated[
        LanguageWeights | None, typer.Option(help="8-bit weights for the language model's linear layers.")
    ] = None,
    flips: Annotated[
        bool, typer.Option("--flips", help="Average the logits over each image and its flips.")
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Compile the model first: pays on a GPU, for many images.")
    ] = False,
    save_logits: Annotated[
        bool, typer.Option("--save-logits", help="Store the masks' logits beside the shard.")
    ] = False,
    max_failures: Annotated[int, typer.Option(help="Failed expressions that a shard may hold.")] = 0,
    answers: Annotated[
        Path | None, typer.Option(help="Folder of finished answers, used again and added to; output last.")
    ] = None,
) -> None:
    """Segment every expression of one shard of a split."""
    from refvessel.inference.run import segment_shard

    segment_shard(
        model=model,
        dataset=dataset,
        split=split,
        output=output,
        shard=shard,
        answers=answers,
        dtype=dtype and dtype.value,
        device=device and device.value,
        gpus_per_job=gpus_per_job,
        device_map=device_map and device_map.value,
        max_memory=pairs(max_memory, "--max-memory"),
        language_weights=language_weights and language_weights.value,
        batch_size=batch_size,
        threads=threads,
        flips=flips,
        compiled=compiled,
        save_logits=save_logits,
        max_failures=max_failures,
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
def tune_threshold(
    predictions: Annotated[Path, typer.Option(help="Parquet table of `refvessel gather`, of the split val.")],
    logits: Annotated[list[Path], typer.Argument(help="The logits of all its shards.")],
    dataset: Annotated[Path, typer.Option(help="The tree that was segmented.")],
    score: Annotated[Score, typer.Option(help="What is to be the highest.")],
    output: Annotated[Path, typer.Option(help="JSON file to write.")],
) -> None:
    """Find the threshold that scores best on one split, to be frozen for another."""
    from refvessel.evaluation.tuning import tune_threshold

    tuned = tune_threshold(
        predictions=predictions, logits=logits, dataset=dataset, score=score.value, output=output
    )
    print(
        f"{tuned['threshold']}: mean {tuned['score']} {tuned['mean']:.4f}, "
        f"at 0.5 {tuned['mean_at_half']:.4f}, of {tuned['n_expressions']} expressions"
    )


@app.command()
def refine(
    predictions: Annotated[Path, typer.Option(help="Parquet table of `refvessel gather`.")],
    output: Annotated[Path, typer.Option(help="Parquet table to write.")],
    logits: Annotated[
        list[Path] | None, typer.Argument(help="The logits of all its shards, for another threshold.")
    ] = None,
    threshold: Annotated[str, typer.Option(help="A probability, or the file of tune-threshold.")] = "0.5",
    smallest_component: Annotated[int, typer.Option(help="Drop components of fewer pixels.", min=0)] = 0,
    smallest_hole: Annotated[int, typer.Option(help="Fill holes of fewer pixels.", min=0)] = 0,
) -> None:
    """Make the masks of another threshold, and post-process them."""
    from refvessel.predictions.refinement import refine_predictions

    refine_predictions(
        predictions=predictions,
        output=output,
        logits=logits or (),
        threshold=_probability(threshold),
        smallest_component=smallest_component,
        smallest_hole=smallest_hole,
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


def _probability(text: str) -> float | Path:
    try:
        threshold = float(text)
    except ValueError:
        return Path(text)
    if not 0 < threshold < 1:
        raise UserError(f"--threshold {text} is not between 0 and 1; give a probability.")
    return threshold
