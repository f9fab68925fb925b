"""How long gathering takes, from the start of the process to the table on the disk.

    python benchmarks/gather_speed.py [--expressions 10000] [--shards 4] [--turns 3]

A made-up split: two expressions per image of 512x512, the images copies of 20 synthetic angiograms, truths and
predictions vessel-like masks. Prints wall and CPU seconds of `refvessel gather`, turn by turn.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from subprocess import run as run_command

from PIL import Image
from score_speed import vessel_pair

from refvessel.answer_status import Status
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.layout import IMAGES
from refvessel.dataset.tree.writing import tree_writer
from refvessel.demo.angiogram import angiogram
from refvessel.files import write_json
from refvessel.predictions.asked import Asked, asked_of
from refvessel.predictions.prediction import Prediction
from refvessel.predictions.run_file import Run, run_file
from refvessel.rle import RLE
from refvessel.settings.inference_section import Inference

PHRASES = ("blood vessel", "catheter")
SIDE = 512
IMAGE_KINDS, MASK_KINDS = 20, 60
RUN = Run(
    model="m",
    split="test",
    shard="1/1",
    question=Inference().question,
    dtype="float32",
    device="cpu",
    language_weights=None,
    batch_size=1,
    draft=None,
    max_new_tokens=9,
    flips=False,
    compiled=False,
    save_logits=False,
    code="c",
    versions={},
)


def write_split(folder: Path, expressions: int, shards: int) -> None:
    """A tree with a split `test` of so many expressions in `folder/tree`, and their predictions in shards."""
    tree, count = folder / "tree", expressions // len(PHRASES)
    (tree / IMAGES).mkdir(parents=True)
    pictures = []
    for number in range(IMAGE_KINDS):
        pictures.append(folder / f"{number}.png")
        Image.fromarray(angiogram(1, number, 0).image).save(pictures[-1])
    masks = [vessel_pair(seed) for seed in range(MASK_KINDS)]
    with tree_writer(tree, list(PHRASES)) as writer:
        for number in range(count):
            name = f"p{number % 100}_{number}.png"
            (tree / IMAGES / name).write_bytes(pictures[number % IMAGE_KINDS].read_bytes())
            truths = {phrase: [masks[(number + k) % MASK_KINDS][1]] for k, phrase in enumerate(PHRASES)}
            writer.add(
                file_name=name, size=(SIDE, SIDE), patient=f"p{number % 100}", split="test", truths=truths
            )
    asked = asked_of(read_expressions(tree, "test"), RUN.identity, RUN.question)
    for shard in range(shards):
        path = folder / f"{shard + 1}-of-{shards}.jsonl"
        lines = [prediction_line(each, masks[each.sent_id % MASK_KINDS][0]) for each in asked[shard::shards]]
        path.write_text("".join(lines), "utf-8")
        write_json(run_file(path), asdict(RUN))


def prediction_line(asked: Asked, mask: RLE) -> str:
    """The line of a shard that answers with this mask."""
    return Prediction(
        image_id=asked.image_id,
        ref_id=asked.ref_id,
        sent_id=asked.sent_id,
        phrase=asked.phrase,
        prompt=RUN.question.format(phrase=asked.phrase),
        answer="Sure, [SEG].<|im_end|>",
        num_seg=1,
        status=Status.OK,
        error=None,
        mask=mask,
        masks=[mask],
        score=0.9,
        seconds=0.01,
        drafted=True,
        identity=asked.identity,
        lead=0.1,
    ).to_line()


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--expressions", type=int, default=10_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_split(Path(folder), options.expressions, options.shards)
        command = [sys.executable, "-m", "refvessel.cli", "gather", *map(str, Path(folder).glob("*.jsonl"))]
        command += ["--dataset", f"{folder}/tree", "--split", "test", "--output", f"{folder}/out.parquet"]
        print("| turn | wall s | CPU s |\n|---|---|---|")
        for turn in range(1, options.turns + 1):
            begin, before = time.perf_counter(), os.times()
            run_command(command, check=True)
            after = os.times()
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            print(f"| {turn} | {time.perf_counter() - begin:.2f} | {cpu:.2f} |", flush=True)


if __name__ == "__main__":
    main()
