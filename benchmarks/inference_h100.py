"""Inference end to end at the 8B shapes on one GPU, beside a plain loop in the same run.

    PYTHONPATH=src:tools python benchmarks/inference_h100.py [--family internvl] [--frames 512] [--batch-size 64]
        [--profile] [--eager]

Weights are random, of the shapes of InternVL3-8B, Qwen2.5-VL-7B or Qwen3-VL-8B with SAM2 Hiera-L; the language
model's residual branches are scaled down and its head is wired so that it answers `Sure, [SEG].<|im_end|>`: the
arithmetic is that of a trained model. "End to end" is from PNG files on the disk to run-length masks in a shard on
the disk. Compilation and the first batches are left out and reported apart; some more batches run behind those
that count, so that as many are under way at the end as at the beginning. The plain loop is `plain_loop.py`'s.
"""

import argparse
import tempfile
from contextlib import contextmanager
from pathlib import Path

import torch
from engine import PHRASES, engine_seconds, frames, make_predictor
from full_size import FAMILIES, random_model
from PIL import Image
from plain_loop import plain_loop_seconds
from torch.profiler import ProfilerActivity, profile

from refvessel.inference.drafts import Drafts
from refvessel.inference.plan import ImageTask
from refvessel.inference.predictor import Predictor
from refvessel.inference.segmenter import ROUND_LENGTH
from refvessel.model.compilation import compile_blocks, fuse_blocks
from refvessel.model.decoding import Stopping
from refvessel.model.grounding import upsample_logits
from refvessel.model.image_tokens import join_tokens
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.packing import pack_prompts
from refvessel.model.processing import Sa2VAProcessor
from refvessel.settings.inference_section import Inference

KERNELS = 40
BEFORE, BEHIND = 4, 3  # batches that do not count
# Image encoder, language prefill, SAM2's encoder, of an image of 512x512: 280 tokens, and 560 or 430 (without
# attention) where an image is read at 644x644 or 640x640.
TFLOP_A_FRAME = {"internvl": 0.74 + 3.57 + 1.82, "qwen2_5_vl": 2.7 + 7.3 + 1.82, "qwen3_vl": 1.5 + 6.0 + 1.82}


@contextmanager
def timed(stages: dict[str, float], name: str, batch: int):
    """Milliseconds per image of what runs within, by device events, after one run that does not count."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    yield
    end.record()
    end.synchronize()
    stages[name] = start.elapsed_time(end) / batch


@torch.inference_mode()
def stage_times(
    model: Sa2VAModel, processor: Sa2VAProcessor, task: ImageTask, batch: int
) -> dict[str, float]:
    """Milliseconds per image of each stage on the GPU."""
    with Image.open(task.expressions[0].image_path) as stored:
        image = processor.process_image(stored.convert("RGB"))
    whole = torch.stack([image.whole] * batch).to(model.device)
    ids = processor.prompt_ids(Inference().question.format(phrase=PHRASES[0]), image.view.layout)
    draft = Drafts(processor.answer_ids(Inference().draft), processor.stop_token_ids).likeliest()
    packed = pack_prompts([[ids]] * batch, draft, multiple=ROUND_LENGTH)
    packed = processor.placed(packed, [image.view.layout] * batch).on(model.device)
    stopping = Stopping(processor.stop_token_ids, Inference().max_new_tokens)
    stages: dict[str, float] = {}
    for _ in range(3):
        with timed(stages, "image encoder", batch):
            tokens = join_tokens(model.read_images([image.view] * batch))
        with timed(stages, "language model", batch):
            prefilled = model.read_prompts(packed, tokens, processor.image_token_id)
        answers = model.answers(prefilled, seg_token_id=processor.seg_token_id, stopping=stopping)
        states = torch.cat([answer.seg_states for answer in answers])
        with timed(stages, "SAM2 encoder", batch):
            features = model.encode_images(model.normalise(whole, model.dtype))
        with timed(stages, "mask decoder", batch):
            masks = model.decode_masks(features, states)
        with timed(stages, "upsampling", batch):
            upsample_logits(masks.logits, 1024, image.height, image.width).sigmoid()
    return stages


def longest_kernels(predictor: Predictor, task: ImageTask, batch: int) -> list[tuple[float, int, str]]:
    """Milliseconds per image, launches and name of the kernels that take most of the time of one batch."""
    predictor.attempt([task] * batch)
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        predictor.attempt([task] * batch)
        torch.cuda.synchronize()
    kernels = sorted(profiled.key_averages(), key=lambda event: -event.self_device_time_total)
    return [(each.self_device_time_total / 1e3 / batch, each.count, each.key) for each in kernels[:KERNELS]]


def matmul_rate(count: int) -> float:
    """TFLOP/s of so many bfloat16 matmuls of 8192 x 8192 random matrices; of many, at the card's power limit."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    times: dict[str, float] = {}
    with timed(times, "matmul", count):
        for _ in range(count):
            a @ b
    return 2 * 8192**3 / times["matmul"] / 1e9


def main() -> None:
    """Measure and print one table, row by row: what a time limit cuts off loses nothing before it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--family", choices=FAMILIES, default="internvl")
    parser.add_argument("--frames", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--plain", type=int, default=24, help="expressions of the plain loop")
    parser.add_argument("--profile", action="store_true", help="also list the longest kernels")
    parser.add_argument(
        "--eager", action="store_true", help="do not compile, as a job does where that does not pay"
    )
    arguments = parser.parse_args()
    batch = arguments.batch_size
    rate, lasting = matmul_rate(10), matmul_rate(2000)
    model, processor = random_model("cuda", arguments.family)
    predictor = make_predictor(model, processor, batch)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shard = folder / "shard.jsonl"
        single = frames(folder / "single", arguments.frames, 512, 1)
        four = frames(folder / "four", arguments.frames // 2, 512, 4)
        large = frames(folder / "large", arguments.frames // 4, 800, 1)
        plain_loop_seconds(model, processor, single[:3], shard)
        plain = plain_loop_seconds(model, processor, single[: arguments.plain], shard) / arguments.plain
        (fuse_blocks if arguments.eager else compile_blocks)(model)
        print(
            f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}, batches of {batch}, {arguments.family}"
        )
        print(f"bfloat16 matmul: {rate:.0f} TFLOP/s at first, {lasting:.0f} for seconds")
        print(f"plain loop: {plain * 1e3:.1f} ms per expression at 512x512")
        print(
            "| frames | images | expressions | ms per image | ms per expression | x plain | drafts kept "
            "| warm-up s |"
        )
        print("|---|---|---|---|---|---|---|---|", flush=True)
        per_image = []
        for label, tasks, size in (
            ("512x512, 1", single, batch),
            ("512x512, 4", four, batch),
            ("800x800, 1", large, batch // 4),
        ):
            predictor.batch_size = size
            warm_up, seconds, accepted = engine_seconds(
                predictor,
                processor,
                tasks,
                size,
                shard,
                before=(tasks * BEFORE)[: BEFORE * size],
                behind=(tasks * BEHIND)[: BEHIND * size],
            )
            expressions = sum(len(task.expressions) for task in tasks)
            per_image.append(seconds / len(tasks))
            times = f"{per_image[-1] * 1e3:.2f} | {seconds / expressions * 1e3:.2f}"
            ratio = plain * expressions / seconds
            print(
                f"| {label} | {len(tasks)} | {expressions} | {times} | {ratio:.2f} | {accepted} "
                f"| {warm_up:.0f} |",
                flush=True,
            )
        stages = stage_times(model, processor, single[0], batch)
        kernels = longest_kernels(predictor, single[0], batch) if arguments.profile else []
    total = sum(stages.values())
    print(", ".join(f"{stage} {ms:.2f} ms" for stage, ms in stages.items()), f"= {total:.2f} ms per image")
    reached = TFLOP_A_FRAME[arguments.family] / per_image[0]
    print(f"end to end {reached:.0f} TFLOP/s, {reached / lasting:.0%} of the matmuls' rate for seconds")
    print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    for milliseconds, launches, name in kernels:
        print(f"{milliseconds:8.3f} ms {launches:5d} x {name[:120]}")


if __name__ == "__main__":
    main()
