"""What is left to do when the last answer is there: gathering, scoring with all scores, and the report.

    PYTHONPATH=src python benchmarks/after_inference.py [--expressions 1220] [--threads 2] [--keep FOLDER]

Makes a tree of frames of 512x512 with one vessel-like truth each, and one shard of predictions with mistakes
(`score_speed.py`'s pairs); then does what the rules do, each in a process of its own with its imports. Seconds are
those by the clock and those of all cores. Prints a Markdown table.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

PHRASE = "blood vessel"
SPLIT = "test"
STEPS = ("gather", "score", "report")


def make(root: Path, count: int) -> None:
    """The tree, and the shard."""
    import numpy as np
    from PIL import Image
    from score_speed import SIDE, vessel_pair

    from refvessel.answer_status import Status
    from refvessel.dataset.tree.expressions import read_expressions
    from refvessel.dataset.tree.layout import DATASET, IMAGES
    from refvessel.dataset.tree.writing import tree_writer
    from refvessel.files import write_json
    from refvessel.predictions.prediction import Prediction

    tree = root / "tree"
    (tree / IMAGES).mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        pairs = list(pool.map(vessel_pair, range(count), chunksize=16))
    random = np.random.default_rng(0)
    with tree_writer(tree, [PHRASE]) as writer:
        for number, (_, truth) in enumerate(pairs):
            name = f"p{number // 20:03}_{number:05}.png"
            noise = random.normal(120, 12, (SIDE // 4, SIDE // 4)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noise).resize((SIDE, SIDE)).save(tree / IMAGES / name, compress_level=1)
            writer.add(
                file_name=name,
                size=(SIDE, SIDE),
                patient=f"p{number // 20:03}",
                split=SPLIT,
                truths={PHRASE: [truth]},
            )
    write_json(tree / DATASET, {"pseudonymised": False, "counts": {"images": count}})
    with (root / "shard.jsonl").open("w") as shard:
        for each, (mask, _) in zip(read_expressions(tree, SPLIT), pairs, strict=True):
            shard.write(
                Prediction(
                    *(each.image_id, each.ref_id, each.sent_id, each.phrase, PHRASE, "Sure, [SEG].", 1),
                    *(Status.OK, None, mask, [mask], float(random.random()), 0.01),
                ).to_line()
            )


def gather(root: Path, _threads: int) -> None:
    """Rule gather_predictions."""
    from refvessel.predictions.gather import gather_predictions

    gather_predictions(
        shards=[root / "shard.jsonl"],
        dataset=root / "tree",
        split=SPLIT,
        output=root / "predictions.parquet",
    )


def score(root: Path, threads: int) -> None:
    """Rule score_cases."""
    from refvessel.evaluation.split_scoring import score_split
    from refvessel.settings.scores_section import Scores

    score_split(
        predictions=root / "predictions.parquet",
        dataset=root / "tree",
        split=SPLIT,
        output=root / "scores",
        settings=Scores(),
        threads=threads,
    )


def report(root: Path, threads: int) -> None:
    """Rule render_report."""
    from refvessel.report.render import render_report
    from refvessel.report.sections import Evaluation
    from refvessel.settings.privacy_section import Privacy

    predictions = root / "predictions.parquet"
    (root / "checkpoint").mkdir(exist_ok=True)
    render_report(
        evaluations=[Evaluation("model", "data", SPLIT, scores_dir=root / "scores", predictions=predictions)],
        output=root / "report",
        checkpoints={"model": root / "checkpoint"},
        datasets={"data": root / "tree"},
        comparisons=[],
        name_tables=[],
        settings=Privacy(),
        threads=threads,
    )


def timed(step: str, root: Path, threads: int) -> tuple[float, float]:
    """Seconds by the clock and of all cores."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, __file__, "--step", step, "--keep", str(root), "--threads", str(threads)]
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begin, cpu


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--expressions", type=int, default=1220)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="where all is kept, for another call")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        {"gather": gather, "score": score, "report": report}[asked.step](asked.keep, asked.threads)
        return
    with tempfile.TemporaryDirectory() as temporary:
        root = asked.keep or Path(temporary)
        if not (root / "shard.jsonl").exists():
            make(root, asked.expressions)
        rows = {step: timed(step, root, asked.threads) for step in STEPS}
        rows["all"] = tuple(map(sum, zip(*rows.values(), strict=True)))
        print(f"| {asked.expressions} expressions | seconds | CPU seconds |\n|---|---:|---:|")
        for step, (clock, cpu) in rows.items():
            print(f"| {step} | {clock:.1f} | {cpu:.1f} |")


if __name__ == "__main__":
    main()
