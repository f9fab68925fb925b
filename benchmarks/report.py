"""What a report of many cases costs: seconds, memory, and bytes by part.

    .venv/bin/python benchmarks/report.py [--cases 3000] [--images 3000] [--models 1] [--keep FOLDER]

Makes vessel-like masks of 512x512 of some pairs, scores these, and repeats them, each mask a little different, as
files of a run: tree, predictions, scores with intervals, and of several models their comparison. Then renders
the whole report in a process of its own, by two processes, with the search for a hundred names. Seconds are the
processor's, of that process and its workers, and those on the clock; memory is the peak of all of them together,
looked at every 50 ms. Prints Markdown tables.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
from cases_page import SIDE, varied, vessel_pair
from PIL import Image

from refvessel.dataset.tree.layout import DATASET, IMAGES, INSTANCES
from refvessel.evaluation import forgery, judging, scoring
from refvessel.evaluation.comparing import compare_models
from refvessel.files import write_json
from refvessel.parquet_file import write_parquet
from refvessel.predictions.table import read_predictions
from refvessel.privacy.name_tables import Name, write_name_table
from refvessel.provenance import file_record
from refvessel.report.render import render_report
from refvessel.report.sections import Evaluation
from refvessel.settings.privacy_section import Privacy
from refvessel.settings.scores_section import Scores

PAIRS = 24  # different pairs of masks
PATIENTS = 100
SETTINGS = Scores(bootstrap_draws=200)


def make_images(tree: Path, images: int) -> list[str]:
    """A tree with images of noise; returns their names."""
    random = np.random.default_rng(0)
    (tree / IMAGES).mkdir(parents=True)
    names = [f"image{number:05d}" for number in range(images)]
    for name in names:
        noise = random.normal(120, 12, (SIDE // 4, SIDE // 4)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noise).resize((SIDE, SIDE)).save(tree / IMAGES / f"{name}.png", compress_level=1)
    listed = [
        {"id": number, "file_name": f"{name}.png", "width": SIDE, "height": SIDE}
        for number, name in enumerate(names)
    ]
    write_json(tree / INSTANCES, {"images": listed})
    write_json(tree / DATASET, {"pseudonymised": True, "counts": {"images": images}})
    return names


def tables(names: list[str], cases: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions and truth of `cases` expressions; the first PAIRS have masks of their own."""
    pairs = [vessel_pair(seed) for seed in range(PAIRS)]
    ids = pd.DataFrame(
        {
            "image_id": [names[number % len(names)] for number in range(cases)],
            "ref_id": range(1, cases + 1),
            "sent_id": range(1, cases + 1),
            "phrase": [("blood vessel", "catheter")[number % 2] for number in range(cases)],
        }
    )
    truths, predicted = (
        [varied(pairs[number % PAIRS][side], number) for number in range(cases)] for side in (0, 1)
    )
    truth = ids.assign(
        patient=[f"p{number % PATIENTS:010x}" for number in range(cases)],
        height=SIDE,
        width=SIDE,
        mask=truths,
        ignore_mask=None,
        spacing=None,
    )
    predictions = ids.assign(
        prompt="Please segment it.",
        answer="Sure, [SEG].",
        num_seg=1,
        status="ok",
        error=None,
        mask=[json.dumps(mask) for mask in predicted],
        masks=[json.dumps([mask]) for mask in predicted],
        score=np.random.default_rng(1).random(cases),
        seconds=0.1,
    )
    return predictions, truth


def write_run(root: Path, model: str, predictions: pd.DataFrame, truth: pd.DataFrame) -> None:
    """The files of one evaluation; the first PAIRS cases are judged, the others have their scores, shaken."""
    path = predictions_of(root, model)
    made_from = {"run": {"model": "ab" * 32, "split": "test"}}
    write_parquet(path, pa.Table.from_pandas(predictions, preserve_index=False), made_from)
    judged: list[judging.Judged] = []

    def judge_some(paired, policy, measure, *_):
        if not judged:
            judged.append(judge(paired.iloc[:PAIRS], policy, measure))
        random = np.random.default_rng(len(model))
        places = np.arange(len(paired)) % PAIRS
        own = ["image_id", "ref_id", "sent_id", "phrase", "patient"]
        table = judged[0].cases.iloc[places].reset_index(drop=True)
        for name in ("dice", "iou", "precision", "recall", "cldice"):
            table[name] = (table[name] - 0.05 * random.random(len(table))).clip(0, 1)
        table = table.assign(
            **{name: paired[name].to_numpy() for name in own},
            truth_mask=paired["mask"].map(json.dumps).to_numpy(),
            predicted_mask=paired["mask_predicted"].map(json.dumps).to_numpy(),
        )
        return judging.Judged(table, judged[0].breaks)

    judge, judging.judge_pairs = judging.judge_pairs, judge_some
    add, forgery.Forgeries.add = forgery.Forgeries.add, lambda *_, **__: None
    try:
        read, origin = read_predictions(path)
        scoring.score(
            predictions=read,
            truth=truth,
            output=scores_of(root, model),
            settings=SETTINGS,
            provenance={"predictions": origin, "dataset": file_record(root / "tree" / DATASET)},
        )
    finally:
        judging.judge_pairs, forgery.Forgeries.add = judge, add


def predictions_of(root: Path, model: str) -> Path:
    """Where a model's predictions lie."""
    return root / "predictions" / model / "predictions.parquet"


def scores_of(root: Path, model: str) -> Path:
    """Where a model's scores lie."""
    return root / "scores" / model


def make(root: Path, cases: int, images: int, models: list[str]) -> None:
    """All files that the report is made from."""
    names = make_images(root / "tree", images)
    predictions, truth = tables(names, cases)
    for model in models:
        (root / "checkpoints" / model).mkdir(parents=True)
        write_run(root, model, predictions, truth)
    people = [Name("patient", f"p{n:010x}", f"Surname{n:03d}^Given{n:03d}") for n in range(PATIENTS)]
    write_name_table(root / "names/data.csv", people)
    if len(models) > 1:
        compare_models(
            cases={model: scores_of(root, model) / "cases.parquet" for model in models},
            output=root / "comparison",
            settings=SETTINGS,
        )


def render(root: Path, models: list[str]) -> None:
    """The report of the files of `make`, below `root`."""
    evaluations = [
        Evaluation(
            model,
            "data",
            "test",
            scores_dir=scores_of(root, model),
            predictions=predictions_of(root, model),
        )
        for model in models
    ]
    render_report(
        evaluations=evaluations,
        output=root / "report",
        checkpoints={model: root / "checkpoints" / model for model in models},
        datasets={"data": root / "tree"},
        comparisons=[root / "comparison/comparison.json"] if len(models) > 1 else [],
        name_tables=[root / "names/data.csv"],
        settings=Privacy(),
        threads=2,
    )


def measured(root: Path, models: list[str]) -> dict[str, float]:
    """Seconds and peak memory of rendering, in a process of its own."""
    before, start, peak = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0
    process = subprocess.Popen(
        [sys.executable, __file__, "--render", str(root), "--models", str(len(models))]
    )
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        peak = max(peak, memory_of(watched))
        time.sleep(0.05)
    if process.returncode:
        sys.exit("rendering failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds of processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "seconds on the clock": time.perf_counter() - start,
        "peak memory, MB": peak / 1e6,
    }


def memory_of(process: psutil.Process) -> int:
    """Bytes that a process and its workers have for themselves or share with each other, each page once."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_full_info().pss
        except psutil.Error:
            continue  # it has just ended
    return total


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--render", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    models = [f"model{number}" for number in range(1, options.models + 1)]
    if options.render:
        render(options.render, models)
        return
    with tempfile.TemporaryDirectory() as temporary:
        root = options.keep or Path(temporary)
        if not (root / "names/data.csv").is_file():
            make(root, options.cases, options.images, models)
        figures = measured(root, models)
        print(f"{options.cases} cases of {SIDE}x{SIDE}, {options.images} images, {len(models)} models\n")
        print("| | |\n| --- | ---: |")
        for name, value in figures.items():
            print(f"| {name} | {value:.1f} |")
        sizes: Counter[str] = Counter()
        for path in (root / "report").rglob("*"):
            if path.is_file():
                sizes[f"{path.relative_to(root / 'report').parts[0]}"] += path.stat().st_size
        print("\n| part of the report | MB |\n| --- | ---: |")
        for name, size in sizes.most_common():
            print(f"| {name} | {size / 1e6:.2f} |")
        print(f"| all | {sizes.total() / 1e6:.2f} |")


if __name__ == "__main__":
    main()
