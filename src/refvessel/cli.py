"""The command line: each command names its inputs and calls one function of the package.

Heavy packages are imported inside the commands, so that `refvessel --help` answers at once.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from refvessel.dataset.readers import FORMATS
from refvessel.errors import UserError

app = typer.Typer(
    name="refvessel",
    help="Reproducible evaluation of Sa2VA on blood-vessel images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Dtype(StrEnum):
    """Precisions of weights and computation."""

    float32 = "float32"
    bfloat16 = "bfloat16"


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


Format = StrEnum("Format", {name: name for name in FORMATS})


class Target(StrEnum):
    """What an expression asks for."""

    phrase = "phrase"
    region = "region"


class CrossingOutlines(StrEnum):
    """What becomes of outlines that cross themselves."""

    refuse = "refuse"
    draw = "draw"


class Score(StrEnum):
    """What a threshold is tuned for."""

    dice = "dice"
    iou = "iou"


Folder = Annotated[Path, typer.Option(file_okay=False)]


@app.command("convert-checkpoint")
def convert_checkpoint(
    base_mllm: Annotated[Path, typer.Option(help="Folder of the base InternVL model.")],
    checkpoint: Annotated[
        Path, typer.Option(help="What training left: iter_N.pth, a file or a DeepSpeed folder.")
    ],
    output: Annotated[Path, typer.Option(help="Hugging Face folder to write.")],
    sam2: Annotated[
        Path | None, typer.Option(help="SAM2 checkpoint, a .pt file; not for a complete Sa2VA.")
    ] = None,
    pretrained: Annotated[
        Path | None, typer.Option(help="Whole Sa2VA .pth that training began from.")
    ] = None,
    dtype: Annotated[Dtype, typer.Option(help="Precision of the written weights.")] = Dtype.bfloat16,
    override: Annotated[
        list[str] | None,
        typer.Option(help="KEY=VALUE (YAML) in place of the training config, e.g. llm_lora.r=64."),
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Pattern of tensors that do not take part; may be repeated.")
    ] = None,
) -> None:
    """Stack the layers of a fine-tuning run into an official Hugging Face folder."""
    from refvessel.checkpoint.convert import convert_checkpoint
    from refvessel.checkpoint.report import summary

    report = convert_checkpoint(
        base_mllm=base_mllm,
        sam2=sam2,
        pretrained=pretrained,
        checkpoint=checkpoint,
        output=output,
        dtype=dtype.value,
        overrides=_nested(override, "--override"),
        leave_out=leave_out or (),
    )
    print(summary(report))


@app.command("link-checkpoint")
def link_checkpoint(
    folder: Annotated[Path, typer.Option(help="Official Sa2VA Hugging Face folder.")],
    output: Annotated[Path, typer.Option(help="Folder to write the links and conversion.json into.")],
) -> None:
    """Check, hash and link an official Hugging Face folder, in place of converting."""
    from refvessel.checkpoint.link import link_checkpoint
    from refvessel.checkpoint.report import summary

    print(summary(link_checkpoint(folder=folder, output=output)))


@app.command("compare-checkpoints")
def compare_checkpoints(
    a: Annotated[Path, typer.Argument(help="Hugging Face folder, ZeRO folder, .pth, .pt or .safetensors.")],
    b: Annotated[Path, typer.Argument(help="Another.")],
) -> None:
    """Tell which tensors differ between two checkpoints, and by how much."""
    from refvessel.checkpoint.compare import compare_checkpoints

    print(compare_checkpoints(a, b).text())


@app.command()
def inspect(
    file: Annotated[
        Path, typer.Argument(help="Hugging Face folder, ZeRO folder, .pth, .pt or .safetensors.")
    ],
) -> None:
    """Tell what a checkpoint holds without loading its tensors."""
    from refvessel.checkpoint.contents import describe

    print(describe(file))


@app.command("convert-dataset")
def convert_dataset(
    source_format: Annotated[Format, typer.Option("--format", help="Form of the data.")],
    root: Annotated[Path, typer.Option(help="Folder of the data.")],
    output: Annotated[Path, typer.Option(help="RefCOCO tree to write.")],
    option: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE (YAML) for the format, e.g. layout=drive; see data/README.md."),
    ] = None,
    phrase: Annotated[
        list[str] | None,
        typer.Option(help="LABEL=PHRASE, once a label; without any, labels are phrases."),
    ] = None,
    target: Annotated[Target, typer.Option(help="All regions of a phrase, or each region.")] = Target.phrase,
    include_empty: Annotated[
        bool, typer.Option("--include-empty", help="Ask every phrase of every image, absent ones too.")
    ] = False,
    crossing_outlines: Annotated[
        CrossingOutlines, typer.Option(help="Refuse outlines that cross themselves, or draw them.")
    ] = CrossingOutlines.refuse,
    patient_pattern: Annotated[
        str | None, typer.Option(help="Regular expression on file names, with a group `patient`.")
    ] = None,
    patients: Annotated[Path | None, typer.Option(help="CSV: image, patient, and frame, split.")] = None,
    split: Annotated[list[str] | None, typer.Option(help="NAME=SHARE of the patients, once a split.")] = None,
    single_split: Annotated[str | None, typer.Option(help="Put everything into this split.")] = None,
    split_seed: Annotated[int, typer.Option(help="Seed of the patients' order.")] = 1,
    split_by_frames: Annotated[
        bool, typer.Option("--split-by-frames", help="Let shares count frames instead of patients.")
    ] = False,
    near_duplicates: Annotated[
        int, typer.Option(help="Bits of 256 in which images of two splits must differ; -1: not compared.")
    ] = 40,
    trained_on: Annotated[
        Path | None, typer.Option(help="List of training images, none of which may be evaluated on.")
    ] = None,
    no_pseudonyms: Annotated[
        bool, typer.Option("--no-pseudonyms", help="Keep file names as image ids: they will be published.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(help="Processes; default: one a core.")] = None,
) -> None:
    """Convert vessel images and their annotations to the official RefCOCO tree."""
    import yaml

    from refvessel.dataset.convert import convert_dataset

    options = _pairs(option, "--option") or {}
    convert_dataset(
        source_format=source_format.value,
        root=root,
        output=output,
        options={name: yaml.safe_load(value) for name, value in options.items()},
        phrases=_pairs(phrase, "--phrase"),
        target=target.value,
        include_empty=include_empty,
        crossing_outlines=crossing_outlines.value,
        patient_pattern=patient_pattern,
        patients=patients,
        splits=_shares(split),
        single_split=single_split,
        split_seed=split_seed,
        split_by_frames=split_by_frames,
        near_duplicates=None if near_duplicates < 0 else near_duplicates,
        trained_on=trained_on,
        pseudonymise=not no_pseudonyms,
        jobs=jobs,
    )


@app.command("check-privacy")
def check_privacy(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What is to be published.")],
    names: Annotated[
        Path, typer.Option(help="Folder of the name tables, beside the key of the pseudonyms.")
    ] = Path(".refvessel/names"),
) -> None:
    """Search text, archives and image metadata for the original names behind pseudonyms."""
    from refvessel.privacy.check import check_privacy

    tables = sorted(names.glob("*.csv"))
    if not tables:
        raise UserError(f"{names} has no name table; name the folder that converting data sets made.")
    checked = check_privacy(folder, tables)
    print(
        f"{checked.names} names are not in the {checked.files} files of {folder} "
        f"({checked.names_left_out} more are too short or too common to be searched for)."
    )


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
) -> None:
    """Segment every expression of one shard of a split."""
    from refvessel.inference.run import segment_shard

    segment_shard(
        model=model,
        dataset=dataset,
        split=split,
        output=output,
        shard=shard,
        dtype=dtype and dtype.value,
        device=device and device.value,
        gpus_per_job=gpus_per_job,
        device_map=device_map and device_map.value,
        max_memory=_pairs(max_memory, "--max-memory"),
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
    from refvessel.inference.gather import gather_predictions

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
    from refvessel.tuning import tune_threshold

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
    from refvessel.inference.refinement import refine_predictions

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
    from refvessel.evaluation import score_split

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
    from refvessel.metrics.compare import COMPARED_SCORES, compare_models

    paths = {name: Path(path) for name, path in (_pairs(cases, "MODEL=cases.parquet") or {}).items()}
    compare_models(cases=paths, output=output, scores=score or COMPARED_SCORES)


def main() -> None:
    """Run the command line; a user's mistake is one sentence and status 1."""
    try:
        app()
    except UserError as error:
        print(f"refvessel: {error}", file=sys.stderr)
        sys.exit(1)


def _pairs(texts: list[str] | None, option: str) -> dict[str, str] | None:
    if not texts:
        return None
    pairs = dict(text.partition("=")[::2] for text in texts)
    if missing := sorted(key for key, value in pairs.items() if not (key and value)):
        raise UserError(f"{option} {missing[0]!r} is not of the form NAME=VALUE; write both sides.")
    return pairs


def _nested(texts: list[str] | None, option: str) -> dict[str, Any]:
    """KEY=VALUE with dotted keys as an object; values are YAML."""
    import yaml

    nested: dict[str, Any] = {}
    for key, text in (_pairs(texts, option) or {}).items():
        *parents, name = key.split(".")
        place = nested
        try:
            for parent in parents:
                place = place.setdefault(parent, {})
            place[name] = yaml.safe_load(text)
        except (yaml.YAMLError, AttributeError, TypeError):
            raise UserError(
                f"{option} {key}={text} cannot be read; write one value, e.g. llm_lora.r=64."
            ) from None
    return nested


def _probability(text: str) -> float | Path:
    try:
        threshold = float(text)
    except ValueError:
        return Path(text)
    if not 0 < threshold < 1:
        raise UserError(f"--threshold {text} is not between 0 and 1; give a probability.")
    return threshold


def _shares(texts: list[str] | None) -> dict[str, float] | None:
    pairs = _pairs(texts, "--split")
    try:
        return pairs and {name: float(share) for name, share in pairs.items()}
    except ValueError:
        raise UserError(
            f"--split {' '.join(texts or [])}: a share is not a number; write e.g. test=0.2."
        ) from None


if __name__ == "__main__":
    main()
