"""Several checkpoints of one run at the 8B shapes on one GPU: what each further one costs beside the first.

    PYTHONPATH=src:tools python benchmarks/series.py [--models 4] [--frames 512] [--batch-size 64] [--compiled]
        [--small]

Weights are random, of the shapes of InternVL3-8B with SAM2 Hiera-L, wired so that they answer as trained ones do
(see `full_size.py`). The checkpoints differ as those of one LoRA run do: in all linear layers of the language
model by low-rank updates, in embeddings and output layer, projector, text projection and mask decoder; InternViT
and SAM2's trunk are equal. Each row is a stream from PNG files of 512x512, one expression each, to shards on the
disk, by so many models in turn. The first batches are left out, and some run behind those that count. At last the
records and logits of the first model alone are compared with those that it gives among all.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from itertools import tee
from pathlib import Path

import torch
from engine import frames
from full_size import random_model
from real_job import SMALL as SMALL_MODEL

from refvessel.cores import usable_cores
from refvessel.inference.drafts import Drafts
from refvessel.inference.looks import Looks
from refvessel.inference.plan import ImageTask
from refvessel.inference.predictor import Predicted, Predictor, predict_in_turn
from refvessel.inference.reading import read_images
from refvessel.inference.segmenter import Segmenter
from refvessel.inference.turns import Turns
from refvessel.model.compilation import compile_blocks, fuse_blocks
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor
from refvessel.model.sharing import share_equal, shared_towers
from refvessel.settings.inference_section import Inference

ON_GPU = torch.cuda.is_available()
BEFORE, BEHIND = 3, 2  # batches that do not count
RANK = 64
SMALL = 1e-3  # share by which an update changes weights
TRAINED = ("multi_modal_projector", "text_hidden_fcs", "grounding_encoder.mask_decoder")


@torch.no_grad()
def train(model: Sa2VAModel, seed: int) -> None:
    """Change in place what a LoRA run trains, as far as the answer stays the expected one."""
    torch.manual_seed(seed)
    for name, tensor in model.named_parameters():
        if name.startswith("language_model.model.layers") and name.endswith("_proj.weight"):
            rows, columns = tensor.shape
            update = torch.randn(rows, RANK, device=tensor.device, dtype=tensor.dtype)
            update = update @ torch.randn(RANK, columns, device=tensor.device, dtype=tensor.dtype)
            tensor.add_(update, alpha=SMALL * tensor.std().item())
        elif name.startswith(TRAINED):
            tensor.mul_(1 + 0.1 * torch.rand_like(tensor))
        elif name.startswith(("language_model.model.embed_tokens", "language_model.lm_head")):
            tensor.mul_(1 + SMALL * seed)


def checkpoints(count: int, *, compiled: bool, small: bool) -> tuple[list[Sa2VAModel], Sa2VAProcessor, int]:
    """Models of one run, the processor of all, and the bytes that are equal to another's."""
    models: list[Sa2VAModel] = []
    shared = 0
    for number in range(count):
        model, processor = random_model("cuda" if ON_GPU else "cpu", settings=SMALL_MODEL if small else None)
        if number:
            train(model, number)
        (compile_blocks if compiled else fuse_blocks)(model) if ON_GPU else None
        shared += share_equal(model, models)
        models.append(model)
        print(f"model {number + 1}: {memory(torch.cuda.memory_allocated):.1f} GiB", flush=True)
    return models, processor, shared


def memory(asked: Callable[[], int]) -> float:
    """GiB of a GPU; 0 without one."""
    return asked() / 2**30 if ON_GPU else 0.0


def predictors(models: Sequence[Sa2VAModel], processor: Sa2VAProcessor, batch: int) -> list[Predictor]:
    """Of models that take turns."""
    settings = Inference()
    turns = Turns(Looks(shared_towers(models)))
    made = []
    for model in models:
        drafts = Drafts(processor.answer_ids(settings.draft), processor.stop_token_ids)
        segmenter = Segmenter(model, processor, settings.max_new_tokens, drafts, turns.looks)
        made.append(Predictor(segmenter, processor, settings.question, batch, turns=turns))
    return made


def stream(
    models: Sequence[Sa2VAModel],
    processor: Sa2VAProcessor,
    tasks: list[ImageTask],
    batch: int,
    folder: Path,
) -> tuple[float, float, list[Predicted]]:
    """Seconds of what does not count, seconds of the rest, and what the first model predicted of that."""
    repeated = [tasks[:batch]] * BEFORE + [
        tasks[start : start + batch] for start in range(0, len(tasks), batch)
    ]
    repeated += [tasks[:batch]] * BEHIND
    first, last = BEFORE, len(repeated) - BEHIND
    everything = [task for part in repeated for task in part]
    found: list[Predicted] = []
    begin = warm = end = time.perf_counter()
    with ExitStack() as held:
        images = held.enter_context(read_images(everything, processor, readers=usable_cores(), pinned=ON_GPU))
        shards = [held.enter_context((folder / f"{number}.jsonl").open("w")) for number in range(len(models))]
        of_each, shown = [repeated] * len(models), tee(images, len(models))
        made = predict_in_turn(predictors(models, processor, batch), of_each, shown)
        predictions = held.enter_context(closing(made))
        done = [0] * len(models)
        for number, predicted in predictions:
            shards[number].writelines(prediction.to_line() for prediction, _ in predicted)
            shards[number].flush()
            os.fsync(shards[number].fileno())
            assert all(prediction.status == "ok" for prediction, _ in predicted), predicted[0][0].error
            done[number] += 1
            if number == 0 and first < done[0] <= last:
                found += predicted
            if number == len(models) - 1 and done[number] == first:
                warm = time.perf_counter()
            elif number == len(models) - 1 and done[number] == last:
                end = time.perf_counter()
    return warm - begin, end - warm, found


def are_equal(some: list[Predicted], others: list[Predicted]) -> bool:
    """Whether records, but for their times, and logits are the same bit by bit."""
    return len(some) == len(others) and all(
        (one.answer, one.masks, one.score, one.lead, one.status)
        == (other.answer, other.masks, other.score, other.lead, other.status)
        and logits.tobytes() == theirs.tobytes()
        for (one, logits), (other, theirs) in zip(some, others, strict=True)
    )


def main() -> None:
    """Measure and print one table, row by row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--frames", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument(
        "--small", action="store_true", help="models of a few megabytes, which a CPU computes"
    )
    arguments = parser.parse_args()
    begin = time.perf_counter()
    models, processor, shared = checkpoints(
        arguments.models, compiled=arguments.compiled, small=arguments.small
    )
    print(
        f"{torch.cuda.get_device_name() if ON_GPU else 'CPU'}, torch {torch.__version__}, batches of "
        f"{arguments.batch_size}; made in "
        f"{time.perf_counter() - begin:.0f} s, {shared / 1e9:.2f} GB are equal to others\n"
    )
    print(
        "| models | ms per image | each further | peak memory GiB | warm-up s |\n|---|---|---|---|---|",
        flush=True,
    )
    alone = 0.0
    of_first: list[list[Predicted]] = []
    with tempfile.TemporaryDirectory() as name:
        tasks = frames(Path(name) / "frames", arguments.frames, 512, 1)
        for count in dict.fromkeys((1, 2, len(models))):
            if ON_GPU:
                torch.cuda.reset_peak_memory_stats()
            warm_up, seconds, found = stream(
                models[:count], processor, tasks, arguments.batch_size, Path(name)
            )
            of_first.append(found)
            per_image = seconds / len(tasks) * 1e3
            alone = alone or per_image
            further = f"{(per_image - alone) / (count - 1):.2f}" if count > 1 else "-"
            peak = memory(torch.cuda.max_memory_allocated)
            print(f"| {count} | {per_image:.2f} | {further} | {peak:.1f} | {warm_up:.0f} |", flush=True)
    equal = all(are_equal(of_first[0], others) for others in of_first[1:])
    print(
        f"\nthe first model's {len(of_first[0])} records and logits, alone and among others: "
        f"{'equal bit by bit' if equal else 'NOT EQUAL'}"
    )


if __name__ == "__main__":
    main()
