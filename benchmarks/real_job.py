"""A whole job, from the command's start to its end: one shard of a full-size model, by parts, beside a plain loop.

    PYTHONPATH=src:tools python benchmarks/real_job.py [--frames 1220] [--runs 2] [--plain 24] [--folder DIR]
        [--cache DIR] [--small] [--parts] [-- OPTION ...]

Writes an official folder of the 8B's shapes with random weights (or, with `--small`, one of a few megabytes that a
CPU computes) and a tree of frames of 512x512, one expression each; reads the weights once, so that they lie in the
page cache; then runs `refvessel segment` as anybody would, `--runs` times, each in a process of its own, with what
follows `--` as its options. Each run prints one row of a table:

start     the command's start to "loading": imports, the folder's checks, its hash as far as it is awaited
load      "loading" to the state in which images go through
first     from there to the first lines on the disk: where it compiles, that is here
stream    the first lines to the last one
finish    the last line to "finished"
exit      "finished" to the process's end

With `--parts`, each run tells besides, on stderr, what `timeline.py` does: when its steps begin and end, in
milliseconds since the command's start, and where its threads were meanwhile.

The plain loop is `plain_loop.py`'s over `--plain` expressions, in a process of its own that loads by
`Sa2VAModel.load`, as plainly as it comes: its time is its start and loading, and so many expressions at its rate.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

SIDE = 512  # pixels
DRAWN = 8  # kinds of frames
PHRASE = "blood vessel"
BEGIN = "BEGIN"  # what stands in a command for the time at which it starts
STATES = ("loading", "warming up", "running", "finished")
IMPORTS = """
import os, refvessel.cli
from refvessel.model.library import load_by_parts
load_by_parts()
import refvessel.inference.run
os._exit(0)
"""
SMALL = {
    "template": "qwen_chat",
    "force_image_size": 56,
    "vision_config": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 56,
    },
    "llm_config": {
        "architectures": ["Qwen2ForCausalLM"],
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "grounding_encoder_config": {
        "embed_dim": 8,
        "num_heads": 1,
        "stages": [1, 1, 2, 1],
        "global_att_blocks": [3],
        "image_size": 128,
        "hidden_dim": 128,
        "mask_decoder_mlp_dim": 16,
        "iou_head_hidden_dim": 16,
        "memory_dim": 64,
        "memory_attention_layers": 1,
        "memory_attention_mlp_dim": 16,
        "memory_fuser_mlp_dim": 16,
    },
}


def write_model(folder: Path, *, small: bool) -> None:
    """The official folder."""
    import torch
    from full_size import FAMILIES, write_official_folder

    device = "cuda" if torch.cuda.is_available() else "cpu"
    write_official_folder(
        folder, SMALL if small else FAMILIES["internvl"] | {"template": "qwen_chat"}, device
    )


def write_tree(tree: Path, count: int) -> None:
    """So many frames in a split `test`, each with one expression; its truth, which nobody reads here, is all."""
    import numpy as np
    from PIL import Image

    from refvessel import rle
    from refvessel.dataset.tree.layout import IMAGES
    from refvessel.dataset.tree.writing import tree_writer
    from refvessel.demo.angiogram import angiogram

    (tree / IMAGES).mkdir(parents=True)
    drawn = [Image.fromarray(angiogram(7, number, 1).image).resize((SIDE, SIDE)) for number in range(DRAWN)]
    names = [f"p{number // 20}_{number}.png" for number in range(count)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda n: drawn[n % DRAWN].save(tree / IMAGES / names[n]), range(count)))
    truth = rle.encode(np.ones((SIDE, SIDE), bool))
    with tree_writer(tree, [PHRASE]) as writer:
        for number, name in enumerate(names):
            writer.add(
                file_name=name,
                size=(SIDE, SIDE),
                patient=f"p{number // 20}",
                split="test",
                truths={PHRASE: [truth]},
            )


def plain(model: Path, tree: Path, count: int) -> None:
    """Load and segment as plainly as it comes; prints the seconds per expression, without those of the first."""
    import torch
    from plain_loop import plain_masks

    from refvessel.dataset.tree.expressions import read_expressions
    from refvessel.inference.plan import ImageTask
    from refvessel.model.modeling import Sa2VAModel
    from refvessel.model.processing import Sa2VAProcessor

    device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
    loaded = Sa2VAModel.load(model, dtype=dtype, device=device)
    processor = Sa2VAProcessor.from_pretrained(model)
    tasks = [ImageTask((each,)) for each in read_expressions(tree, "test")[: count + 1]]
    masks = plain_masks(loaded, processor, tasks)
    next(masks)
    ready = time.time()
    assert len(list(masks)) == count
    print(json.dumps({"ready": ready, "seconds": (time.time() - ready) / count}))


def warm(folder: Path) -> None:
    """Read the weights, so that they lie in the page cache."""

    def read(path: Path) -> None:
        with path.open("rb", buffering=0) as stream:
            while stream.read(1 << 24):
                pass

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, folder.glob("*.safetensors")))


def timed_job(command: list[str], shard: Path) -> dict[str, float]:
    """Run a job, and note when it tells of a state, when lines are on the disk, and when it is gone."""
    seen: dict[str, float] = {}
    begin = time.perf_counter()
    job = subprocess.Popen(
        [str(time.time()) if each == BEGIN else each for each in command], stderr=subprocess.PIPE, text=True
    )

    def listen() -> None:
        for line in job.stderr:
            state = line.partition(":")[0]
            if state in STATES:
                seen.setdefault(state, time.perf_counter())
            else:
                sys.stderr.write(line)

    listener = threading.Thread(target=listen)
    listener.start()
    size = 0
    while job.poll() is None:
        with suppress(FileNotFoundError):
            now = shard.stat().st_size
            if now > size and "finished" not in seen:
                seen.setdefault("first line", time.perf_counter())
                seen["last line"] = time.perf_counter()
            size = now
        time.sleep(0.005)
    end = time.perf_counter()
    listener.join()
    if job.returncode:
        raise SystemExit(job.returncode)
    ready = seen.get("warming up", seen["running"])
    return {
        "start": seen["loading"] - begin,
        "load": ready - seen["loading"],
        "first": seen["first line"] - ready,
        "stream": seen["last line"] - seen["first line"],
        "finish": seen["finished"] - seen["last line"],
        "exit": end - seen["finished"],
        "all": end - begin,
    }


def row(name: str, parts: dict[str, float]) -> None:
    """A row of the table."""
    print(f"| {name} | " + " | ".join(f"{seconds:.1f}" for seconds in parts.values()) + " |", flush=True)


def import_seconds(python: list[str]) -> float:
    """Of a process that only imports what a job does, as a job does, its start included."""
    begin = time.perf_counter()
    subprocess.run([*python, "-c", IMPORTS], check=True)
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1220)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument(
        "--plain", type=int, default=24, help="expressions of the plain loop; 0 leaves it out"
    )
    parser.add_argument("--folder", type=Path, help="where the model and the tree are kept, for another call")
    parser.add_argument("--cache", type=Path, help="where compiled kernels are kept")
    parser.add_argument("--small", action="store_true", help="a model of a few megabytes")
    parser.add_argument("--parts", action="store_true", help="a time line of each run, on stderr")
    parser.add_argument("--part", choices=("model", "tree", "plain"), help=argparse.SUPPRESS)
    parser.add_argument("options", nargs="*", help="of `refvessel segment`, behind --")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        model, tree = folder / "model", folder / "tree"
        if arguments.part == "model":
            write_model(model, small=arguments.small)
        elif arguments.part == "tree":
            write_tree(tree, arguments.frames)
        elif arguments.part == "plain":
            plain(model, tree, arguments.plain)
        else:
            _measure(arguments, folder)


def _measure(arguments: argparse.Namespace, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = [sys.executable, __file__, "--folder", str(folder), "--frames", str(arguments.frames)]
    part += ["--small"] if arguments.small else []
    for what in ("model", "tree"):
        if not (folder / what).exists():
            begin = time.perf_counter()
            subprocess.run([*part, "--part", what], check=True)
            print(f"the {what} was written in {time.perf_counter() - begin:.0f} s", flush=True)
    warm(folder / "model")
    python = [sys.executable]
    print(
        f"imports alone, twice: {import_seconds(python):.1f} s, {import_seconds(python):.1f} s\n", flush=True
    )
    print(f"| {arguments.frames} frames | start | load | first | stream | finish | exit | all |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    runs = (
        [str(Path(__file__).with_name("timeline.py")), BEGIN] if arguments.parts else ["-m", "refvessel.cli"]
    )
    command = [*python, *runs, "segment", "--model", str(folder / "model")]
    command += ["--dataset", str(folder / "tree"), "--split", "test", *arguments.options]
    if arguments.cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(arguments.cache)
        os.environ["TRITON_CACHE_DIR"] = str(arguments.cache / "triton")
    size = 0
    with (
        tempfile.TemporaryDirectory() as output
    ):  # the kernels that the first run leaves there serve the next
        for number in range(arguments.runs):
            shard = Path(output) / f"{number + 1}.jsonl"
            row(f"run {number + 1}", timed_job([*command, "--output", str(shard)], shard))
            size = shard.stat().st_size
    print(
        f"\na shard of {size / 1e6:.1f} MB: masks of random weights are noise, which takes more than a mask"
    )
    if arguments.plain:
        begin = time.time()
        told = subprocess.run(
            [*part, "--part", "plain", "--plain", str(arguments.plain)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        plainly = json.loads(told.splitlines()[-1])
        before = plainly["ready"] - begin
        whole = before + plainly["seconds"] * arguments.frames
        print(
            f"\nplain loop: {before:.1f} s until it is ready, {plainly['seconds'] * 1e3:.0f} ms per expression: "
            f"{whole:.0f} s for all"
        )


if __name__ == "__main__":
    main()
