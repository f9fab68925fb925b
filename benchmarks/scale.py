"""How time and memory grow with the number of expressions and of jobs.

    python benchmarks/scale.py stages [--expressions 10000 20000 40000] [--side 64] [--stages gather score report]
                                      [--judge-once] [--threads 1] [--models 1]
    python benchmarks/scale.py dag [--shards 100] [--models 10] [--datasets 5]
    python benchmarks/scale.py simulate

`stages` makes up a split: ten expressions per image, the images copies of 20 synthetic angiograms, truths and
predictions vessel-like masks, and prints CPU seconds and peak memory of each stage, a process of its own, and of
its processes together. With `--judge-once` the shape scores of equal pairs of masks, of which there are 600, are
computed once: what is left is what grows with the expressions beside these scores, each of which takes the same.
With two models, both of the same masks, `compare` is a stage, and the report shows both.
`dag` prints those of a dry run of the whole workflow. `simulate` takes the costs of RESULTS.md and prints how long
segmenting takes on many GPUs, see `scale_simulation.py`.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import yaml
from gather_speed import RUN, prediction_line
from PIL import Image
from scale_simulation import print_simulation
from score_speed import vessel_pair

from refvessel import rle
from refvessel.artifacts import CASES, COMPARISON
from refvessel.dataset.tree.expressions import read_sentences
from refvessel.dataset.tree.layout import IMAGES
from refvessel.dataset.tree.writing import tree_writer
from refvessel.demo.angiogram import angiogram
from refvessel.files import write_json
from refvessel.predictions.asked import asked_of
from refvessel.predictions.run_file import run_file
from refvessel.rle import RLE

ROOT = Path(__file__).parent.parent
PHRASES = tuple(f"vessel {number}" for number in range(10))  # asked of each image
PATIENTS, IMAGE_KINDS, MASK_KINDS, SHARDS = 100, 20, 60, 4
_SAMPLED_EVERY = 0.2  # seconds


class Cost(NamedTuple):
    """Of a process and those that it started: CPU and wall seconds.

    largest: peak resident memory of the largest of them in GB, from the kernel.
    together: the same of all at one time, of samples.
    """

    cpu: float
    wall: float
    largest: float
    together: float


def cost_of(command: Sequence[str | Path], folder: Path) -> Cost:
    """Run a command in a folder and measure it; its output goes to `log.txt` there."""
    begin, together = time.perf_counter(), 0.0
    with (folder / "log.txt").open("w") as log:
        process = psutil.Popen(list(map(str, command)), cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        while True:
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            together = max(together, _resident(process))
            time.sleep(_SAMPLED_EVERY)
    if status:
        sys.exit((folder / "log.txt").read_text())
    return Cost(
        used.ru_utime + used.ru_stime, time.perf_counter() - begin, used.ru_maxrss * 1024 / 1e9, together
    )


def _resident(process: psutil.Process) -> float:
    """GB of a process and its descendants; what they share counts for each."""
    total = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += each.memory_info().rss / 1e9
    return total


def write_split(folder: Path, expressions: int, side: int) -> None:
    """A tree with a split `test` of so many expressions, on images of `side` pixels, and their predictions."""
    tree, count = folder / "tree", expressions // len(PHRASES)
    (tree / IMAGES).mkdir(parents=True)
    pictures = []
    for number in range(IMAGE_KINDS):
        picture = folder / f"{number}.png"
        Image.fromarray(angiogram(1, number, 0).image).resize((side, side)).save(picture)
        pictures.append(picture.read_bytes())
    pairs = [[_small(mask, side) for mask in vessel_pair(seed)] for seed in range(MASK_KINDS)]
    with tree_writer(tree, list(PHRASES)) as writer:
        for number in range(count):
            name = f"p{number % PATIENTS}_{number}.png"
            (tree / IMAGES / name).write_bytes(pictures[number % IMAGE_KINDS])
            truths = {phrase: [pairs[(number + k) % MASK_KINDS][1]] for k, phrase in enumerate(PHRASES)}
            writer.add(
                file_name=name,
                size=(side, side),
                patient=f"p{number % PATIENTS}",
                split="test",
                truths=truths,
            )
    asked = asked_of(read_sentences(tree, "test"), RUN.identity, RUN.question)
    for shard in range(SHARDS):
        path = folder / f"{shard + 1}-of-{SHARDS}.jsonl"
        with path.open("w", encoding="utf-8") as lines:
            for each in asked[shard::SHARDS]:
                lines.write(prediction_line(each, pairs[each.sent_id % MASK_KINDS][0]))
        write_json(run_file(path), asdict(RUN))


def _small(mask: RLE, side: int) -> RLE:
    pixels = rle.decode(mask)
    return rle.encode(pixels[:: len(pixels) // side, :: len(pixels) // side][:side, :side].copy())


def stage_commands(folder: Path, threads: int, judge_once: bool, models: int) -> dict[str, list[str | Path]]:
    """What a user would type for each stage; without a command line of its own this script's."""
    shards = sorted(folder.glob("*.jsonl"))
    split = ["--dataset", folder / "tree", "--split", "test"]
    predictions, scores = folder / "predictions.parquet", folder / "scores"
    refvessel: list[str | Path] = [sys.executable, "-m", "refvessel.cli"]
    once = [sys.executable, __file__, "judge-once"]
    cases = [f"m{number}={scores / CASES}" for number in range(models)]
    return {
        "gather": [*refvessel, "gather", *shards, *split, "--output", predictions],
        "score": [
            *(once if judge_once else refvessel),
            "score", "--predictions", predictions, *split, "--output", scores, "--threads", str(threads),
        ],
        "compare": [*refvessel, "compare", *cases, "--output", folder / "comparison"],
        "report": [sys.executable, __file__, "report", folder, str(models)],
    }  # fmt: skip


def judge_once(arguments: Sequence[str]) -> None:
    """A command, with the shape scores of equal pairs of masks computed once."""
    from refvessel.cli import app
    from refvessel.metrics import shape

    shape._shape_of_pair = _known_pairs(shape._shape_of_pair)
    app(list(arguments))


def _known_pairs(judge: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[tuple[str, str], Any] = {}

    def judged(prediction: RLE, truth: RLE, *others: Any) -> Any:
        pair = prediction["counts"], truth["counts"]
        if pair not in known:
            known[pair] = judge(prediction, truth, *others)
        return known[pair]

    return judged


def report(folder: Path, models: int) -> None:
    """The report of the split's scores, of models that have no checkpoint here."""
    from refvessel.report.render import render_report
    from refvessel.report.sections import Evaluation
    from refvessel.settings.privacy_section import Privacy

    names = [f"m{number}" for number in range(models)]
    (folder / "checkpoint").mkdir(exist_ok=True)
    render_report(
        evaluations=[
            Evaluation(name, "data", "test", folder / "scores", folder / "predictions.parquet")
            for name in names
        ],
        output=folder / "report",
        checkpoints=dict.fromkeys(names, folder / "checkpoint"),
        datasets={"data": folder / "tree"},
        comparisons=[folder / "comparison" / COMPARISON] if models > 1 else [],
        settings=Privacy(),
    )


def print_stages(options: argparse.Namespace) -> None:
    """Measure the stages, a split after the other."""
    print(
        f"| stage | expressions of {options.side}x{options.side} | CPU s | ms each | over the row before | "
        "peak GB | of all processes |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
    before: dict[str, float] = {}
    for size in options.expressions:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            subprocess.run(
                [sys.executable, __file__, "write", folder, str(size), str(options.side)], check=True
            )
            commands = stage_commands(folder, options.threads, options.judge_once, options.models)
            for stage in options.stages:
                cost = cost_of(commands[stage], folder)
                ratio = f"{cost.cpu / before[stage]:.2f}" if stage in before else ""
                before[stage] = cost.cpu
                print(
                    f"| {stage} | {size:,} | {cost.cpu:.1f} | {1000 * cost.cpu / size:.2f} | {ratio} | "
                    f"{cost.largest:.2f} | {cost.together:.2f} |",
                    flush=True,
                )


def print_dry_run(shards: int, models: int, datasets: int) -> None:
    """Measure a dry run of the demo's model and data, under as many names."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    model, dataset = config["models"]["demo"], config["datasets"]["demo"]
    for layer in ("base_mllm", "sam2", "checkpoint"):
        model[layer] = str(ROOT / model[layer])
    config["models"] = {f"m{number}": model for number in range(models)}
    config["datasets"] = {f"d{number}": dataset for number in range(datasets)}
    config["evaluations"] = [
        {"model": one, "dataset": other, "split": "test"}
        for one in config["models"]
        for other in config["datasets"]
    ]
    config["inference"] |= {"shards": shards, "device": "cpu"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
        command = [sys.executable, "-m", "snakemake", "-n", "-q", "--cores", "2", "-s", ROOT / "Snakefile"]
        cost = cost_of([*command, "--configfile", "config.yaml"], folder)
    print("| shards | models | data sets | CPU s | wall s | peak GB |\n|---:|---:|---:|---:|---:|---:|")
    print(f"| {shards} | {models} | {datasets} | {cost.cpu:.1f} | {cost.wall:.1f} | {cost.largest:.2f} |")


def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    what = parser.add_subparsers(dest="what", required=True)
    stages = what.add_parser("stages")
    stages.add_argument("--expressions", type=int, nargs="+", default=[10_000, 20_000, 40_000])
    stages.add_argument("--side", type=int, default=64)
    stages.add_argument("--stages", nargs="+", default=["gather", "score", "report"])
    stages.add_argument("--judge-once", action="store_true")
    stages.add_argument("--threads", type=int, default=1)
    stages.add_argument("--models", type=int, default=1)
    dag = what.add_parser("dag")
    for name, default in (("--shards", 100), ("--models", 10), ("--datasets", 5)):
        dag.add_argument(name, type=int, default=default)
    what.add_parser("simulate")
    for name, numbers in (("report", ["models"]), ("write", ["expressions", "side"])):
        part = what.add_parser(name)  # of `stages`
        part.add_argument("folder", type=Path)
        for number in numbers:
            part.add_argument(number, type=int)
    what.add_parser("judge-once").add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.what == "stages":
        print_stages(options)
    elif options.what == "dag":
        print_dry_run(options.shards, options.models, options.datasets)
    elif options.what == "report":
        report(options.folder, options.models)
    elif options.what == "write":
        write_split(options.folder, options.expressions, options.side)
    elif options.what == "judge-once":
        judge_once(options.arguments)
    else:
        print_simulation()


if __name__ == "__main__":
    main()
