"""Inference end to end at the 8B shapes on one GPU, beside a plain loop in the same run.

    PYTHONPATH=src python benchmarks/inference_h100.py [--frames 512] [--batch-size 64] [--profile] [--eager]

Weights are random, of the shapes of InternVL3-8B with SAM2 Hiera-L; the language model's residual branches are
scaled down and its head is wired so that it answers `Sure, [SEG].<|im_end|>`: the arithmetic is that of a trained
model. "End to end" is from PNG files on the disk to run-length masks in a shard on the disk. Compilation and the
first batches are left out and reported apart; some more batches run behind those that count, so that as many are
under way at the end as at the beginning. The plain loop is that of `plain_loop.py`.
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path

import torch
from PIL import Image
from plain_loop import plain_masks
from torch.profiler import ProfilerActivity, profile

from refvessel.dataset.loader import open_image
from refvessel.dataset.tree import Expression
from refvessel.demo.angiogram import angiogram
from refvessel.demo.tokenizer import BASE_TOKENS, SA2VA_TOKENS, load_tokenizer, write_tokenizer
from refvessel.demo.train import train_words
from refvessel.inference.batches import BatchSize
from refvessel.inference.drafts import EXPECTED, Drafts
from refvessel.inference.plan import ImageTask
from refvessel.inference.predictor import Predictor
from refvessel.inference.reading import cores, read_images
from refvessel.inference.segmenter import ROUND_LENGTH, Segmenter
from refvessel.masks import encode
from refvessel.model.compilation import compile_blocks
from refvessel.model.configuration import Sa2VAConfig
from refvessel.model.decoding import Stopping
from refvessel.model.modeling import Sa2VAModel, upsample_logits
from refvessel.model.packing import pack_prompts
from refvessel.model.processing import Sa2VAProcessor, normalise

QUESTION = "<image>\n Please segment {phrase} in this image."
PHRASES = ("blood vessel", "catheter", "left coronary artery", "side branch")
KERNELS = 40
BEFORE, BEHIND = 4, 3  # batches that do not count
TFLOP_A_FRAME = 6.13  # 0.74 + 3.57 + 1.82: image encoder, language prefill of 280 tokens, SAM2's encoder
LANGUAGE = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "vocab_size": 151679,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "rope_theta": 1e6,
}


def random_model(device: str) -> tuple[Sa2VAModel, Sa2VAProcessor]:
    """The 8B's shapes, answering as expected, in bfloat16 on the device."""
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder), train_words(), BASE_TOKENS + SA2VA_TOKENS)
        tokenizer = load_tokenizer(Path(folder))
    config = Sa2VAConfig(vision_config={}, llm_config=LANGUAGE)
    with torch.device("meta"):
        model = Sa2VAModel(config)
    model = model.to(torch.bfloat16).to_empty(device=device).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            branch = "language_model" in name and name.endswith(("o_proj.weight", "down_proj.weight"))
            tensor.fill_(1.0) if "norm" in name and name.endswith("weight") else tensor.normal_(std=0.02)
            if branch:
                tensor.mul_(1e-3)
        rotary = model.language_model.model.rotary_emb
        rotary.__init__(config.llm_config, device=device)
        model.grounding_encoder.shared_image_embedding.positional_embedding = torch.randn(
            2, 128, device=device
        )
        embeddings = model.language_model.model.embed_tokens.weight
        embeddings.normal_()
        processor = Sa2VAProcessor(config, tokenizer)
        end = processor.prompt_ids(QUESTION.format(phrase=PHRASES[0]), 1)[-1]
        answer = processor.answer_ids(EXPECTED)
        for token, following in zip([end, *answer], answer, strict=False):
            model.language_model.lm_head.weight[following] = embeddings[token]
    model.requires_grad_(False)
    return model, processor


def frames(folder: Path, count: int, size: int, expressions: int) -> list[ImageTask]:
    """Synthetic frames as PNG files of size x size, each with as many expressions."""
    folder.mkdir()
    drawn = [Image.fromarray(angiogram(7, number, 1).image).resize((size, size)) for number in range(8)]
    paths = [folder / f"{number:05d}.png" for number in range(count)]
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(lambda number: drawn[number % len(drawn)].save(paths[number]), range(count)))
    return [
        ImageTask(
            tuple(
                Expression(
                    image_id=path.stem,
                    ref_id=number,
                    sent_id=number * expressions + index,
                    phrase=PHRASES[index],
                    patient=path.stem,
                    height=size,
                    width=size,
                    truth={},
                    image_path=path,
                )
                for index in range(expressions)
            )
        )
        for number, path in enumerate(paths)
    ]


def engine_seconds(
    predictor: Predictor,
    processor: Sa2VAProcessor,
    tasks: list[ImageTask],
    batch: int,
    shard: Path,
    *,
    before: list[ImageTask],
    behind: list[ImageTask],
) -> tuple[float, float, int]:
    """Seconds of what runs before, seconds from files to a shard on the disk, and the number of drafts accepted.

    All is one run, and counted from where a batch is on the disk to where another is.
    """
    parts = [
        [part[start : start + batch] for start in range(0, len(part), batch)]
        for part in (before, tasks, behind)
    ]
    batches = [*chain.from_iterable(parts)]
    everything = [*before, *tasks, *behind]
    first, last = len(parts[0]), len(parts[0]) + len(parts[1])
    accepted = 0
    on_gpu = torch.cuda.is_available()
    begin = warm = end = time.perf_counter()
    reading = read_images(everything, processor, readers=cores() if on_gpu else 1, pinned=on_gpu)
    with (
        reading as images,
        closing(predictor.predict_all(batches, images)) as predictions,
        shard.open("w") as stream,
    ):
        for number, predicted in enumerate(predictions, start=1):
            stream.writelines(prediction.to_line() for prediction, _ in predicted)
            stream.flush()
            os.fsync(stream.fileno())
            assert all(prediction.status == "ok" for prediction, _ in predicted), predicted[0][0].error
            if number == first:
                warm = time.perf_counter()
            elif first < number <= last:
                end = time.perf_counter()
                accepted += sum(prediction.drafted for prediction, _ in predicted)
    return warm - begin, end - warm, accepted


def plain_loop_seconds(
    model: Sa2VAModel, processor: Sa2VAProcessor, tasks: list[ImageTask], shard: Path
) -> float:
    """The same by the plain loop."""
    begin = time.perf_counter()
    with shard.open("w") as stream:
        for mask in plain_masks(model, processor, tasks, QUESTION):
            stream.write(f"{encode(mask)}\n")
            stream.flush()
    return time.perf_counter() - begin


@contextmanager
def timed(stages: dict[str, float], name: str, batch: int):
    """Milliseconds an image of what runs within, by device events, after one run that does not count."""
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
    """Milliseconds an image of each stage on the GPU."""
    with Image.open(task.expressions[0].image_path) as stored:
        image = processor.process_image(stored.convert("RGB"))
    tiles = torch.cat([image.tiles] * batch).to(model.device)
    whole = torch.stack([image.whole] * batch).to(model.device)
    ids = processor.prompt_ids(QUESTION.format(phrase=PHRASES[0]), len(image.tiles))
    draft = Drafts(processor.answer_ids(EXPECTED), processor.stop_token_ids).likeliest()
    packed = pack_prompts([[ids]] * batch, draft, multiple=ROUND_LENGTH).on(model.device)
    stopping = Stopping(processor.stop_token_ids, 2048)
    stages: dict[str, float] = {}
    for _ in range(3):
        with timed(stages, "image encoder", batch):
            embeds = model.embed_tiles(normalise(tiles, model.dtype)).flatten(0, 1)
        with timed(stages, "language model", batch):
            begun = model.read_prompts(packed, embeds, processor.image_token_id)
        answers = model.answers(begun, seg_token_id=processor.seg_token_id, stopping=stopping)
        states = torch.cat([answer.seg_states for answer in answers])
        with timed(stages, "SAM2 encoder", batch):
            features = model.encode_images(normalise(whole, model.dtype))
        with timed(stages, "mask decoder", batch):
            masks = model.decode_masks(features, states)
        with timed(stages, "upsampling", batch):
            upsample_logits(masks.logits, 1024, image.height, image.width).sigmoid()
    return stages


def longest_kernels(
    segmenter: Segmenter, processor: Sa2VAProcessor, task: ImageTask, batch: int
) -> list[tuple[float, int, str]]:
    """Milliseconds an image, launches and name of the kernels that take most of the time of one batch."""
    image = processor.process_image(open_image(task.expressions[0]))
    work = [image] * batch, [[QUESTION.format(phrase=PHRASES[0])]] * batch
    segmenter.segment(*work)
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        segmenter.segment(*work)
        torch.cuda.synchronize()
    kernels = sorted(profiled.key_averages(), key=lambda event: -event.self_device_time_total)
    return [(each.self_device_time_total / 1e3 / batch, each.count, each.key) for each in kernels[:KERNELS]]


def matrix_rate(products: int) -> float:
    """TFLOP/s of so many bfloat16 products of 8192 x 8192 random matrices; of many, at the card's power limit."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    times: dict[str, float] = {}
    with timed(times, "product", products):
        for _ in range(products):
            a @ b
    return 2 * 8192**3 / times["product"] / 1e9


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--plain", type=int, default=24, help="expressions of the plain loop")
    parser.add_argument("--profile", action="store_true", help="also list the longest kernels")
    parser.add_argument("--eager", action="store_true", help="do not compile")
    arguments = parser.parse_args()
    batch = arguments.batch_size
    rate, lasting = matrix_rate(10), matrix_rate(2000)
    model, processor = random_model("cuda")
    drafts = Drafts(processor.answer_ids(EXPECTED), processor.stop_token_ids)
    segmenter = Segmenter(model, processor, drafts=drafts)
    predictor = Predictor(segmenter, processor, QUESTION, batch)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shard = folder / "shard.jsonl"
        single = frames(folder / "single", arguments.frames, 512, 1)
        four = frames(folder / "four", arguments.frames // 2, 512, 4)
        large = frames(folder / "large", arguments.frames // 4, 800, 1)
        plain_loop_seconds(model, processor, single[:3], shard)
        plain = plain_loop_seconds(model, processor, single[: arguments.plain], shard) / arguments.plain
        if not arguments.eager:
            compile_blocks(model)
        rows = []
        for label, tasks, size in (
            ("512x512, 1", single, batch),
            ("512x512, 4", four, batch),
            ("800x800, 1", large, batch // 4),
        ):
            predictor.batch_size = BatchSize(size)
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
            rows.append((label, warm_up, seconds, len(tasks), expressions, accepted))
        stages = stage_times(model, processor, single[0], batch)
        kernels = longest_kernels(segmenter, processor, single[0], batch) if arguments.profile else []
    print(f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}, batches of {batch}")
    print(f"bfloat16 product: {rate:.0f} TFLOP/s at first, {lasting:.0f} for seconds")
    print(f"plain loop: {plain * 1e3:.1f} ms an expression at 512x512")
    print(
        "| frames | images | expressions | ms an image | ms an expression | x plain | drafts kept | warm-up s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for label, warm_up, seconds, images, expressions, accepted in rows:
        times = f"{seconds / images * 1e3:.2f} | {seconds / expressions * 1e3:.2f}"
        ratio = plain * expressions / seconds
        print(f"| {label} | {images} | {expressions} | {times} | {ratio:.1f} | {accepted} | {warm_up:.0f} |")
    total = sum(stages.values())
    print(", ".join(f"{stage} {ms:.2f} ms" for stage, ms in stages.items()), f"= {total:.2f} ms an image")
    reached = TFLOP_A_FRAME * rows[0][3] / rows[0][2]
    print(f"end to end {reached:.0f} TFLOP/s, {reached / lasting:.0%} of the products' rate for seconds")
    print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    for milliseconds, launches, name in kernels:
        print(f"{milliseconds:8.3f} ms {launches:5d} x {name[:120]}")


if __name__ == "__main__":
    main()
