"""Videos end to end at the 8B's shapes on one GPU, beside a plain loop in the same run.

    PYTHONPATH=src:tools python benchmarks/video_h100.py [--frames 64] [--videos 16] [--plain 24] [--eager]

Weights are random, as those of `inference_h100.py`. "End to end" is from PNG files on the disk to run-length masks
on the disk, in milliseconds per frame and expression. The first group of videos is left out: what is compiled is
compiled there. The plain loop is that of `plain_video.py`: one expression of one video at a time, each frame
encoded for it alone, by transformers' own modules.
"""

import argparse
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch
from full_size import FAMILIES, random_model
from PIL import Image
from plain_video import plain_video_seconds
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoMemoryAttention

from refvessel.cores import usable_cores
from refvessel.dataset.tree.ref_vos import Video as VideoOfLayout
from refvessel.dataset.tree.ref_vos import VideoExpression, VideoFiles
from refvessel.demo.angiogram import angiogram
from refvessel.inference.drafts import Drafts
from refvessel.inference.frame_reading import read_groups
from refvessel.inference.segmenter import Segmenter
from refvessel.inference.sequence_plan import SequenceTask, form_groups
from refvessel.inference.sequence_segmenter import SequenceSegmenter
from refvessel.inference.sequence_tasks import tasks_of_layout
from refvessel.model.compilation import compile_blocks
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor
from refvessel.settings.inference_section import Inference
from refvessel.settings.video_section import Video

PHRASES = ("blood vessel", "catheter", "left coronary artery", "side branch")
SIZE = 512
VIDEO = Video()


def with_memory(model: Sa2VAModel) -> None:
    """Memory attention whose tables are filled, which those of a random model are not."""
    sam2 = model.grounding_encoder
    with torch.device(model.device):
        attention = Sam2VideoMemoryAttention(sam2.config).eval().requires_grad_(False)
    for parameter in attention.parameters():
        parameter.data = parameter.data.to(model.grounding_dtype)
    sam2.memory_attention = attention


def videos(folder: Path, count: int, frames: int, expressions: int) -> list[SequenceTask]:
    """So many videos of PNG files, each asked about so many expressions."""
    drawn = [Image.fromarray(angiogram(7, number, 1).image).resize((SIZE, SIZE)) for number in range(8)]
    asked = tuple(VideoExpression(str(number), PHRASES[number]) for number in range(expressions))
    files = []
    for number in range(count):
        mine = folder / f"{number:03}"
        mine.mkdir(parents=True)
        paths = tuple(mine / f"{frame:05}.png" for frame in range(frames))
        for frame, path in enumerate(paths):
            drawn[(number + frame) % len(drawn)].save(path, compress_level=1)
        video = VideoOfLayout(mine.name, tuple(path.stem for path in paths), asked)
        files.append(VideoFiles(video, paths, SIZE, SIZE))
    return tasks_of_layout(files)


def engine_seconds(
    segmenter: SequenceSegmenter,
    processor: Sa2VAProcessor,
    tasks: list[SequenceTask],
    together: int,
    shard: Path,
) -> tuple[float, float]:
    """Seconds of the first group, and of all others, from files to masks on the disk."""
    shown = {task.name: list(range(VIDEO.frames)) for task in tasks}
    groups = form_groups(tasks, shown, together)
    on_gpu = torch.cuda.is_available()
    begin = time.perf_counter()
    warm = begin
    reading = read_groups(groups, processor, readers=usable_cores() if on_gpu else 1, pinned=on_gpu)
    with reading as frames, shard.open("w") as stream:
        for number, group in enumerate(groups):
            prompts = [
                [VIDEO.question_for(each.text).replace("{phrase}", each.text) for each in task.expressions]
                for task in group.tasks
            ]
            answers = segmenter.segment(group, prompts, islice(frames, len(group.tasks) + len(group.reads)))
            for mine in answers:
                for answer in mine:
                    assert len(answer.masks) == group.tasks[0].length, answer.answer
                    stream.writelines(f"{mask.mask}\n" for mask in answer.masks.values())
            stream.flush()
            if not number:
                warm = time.perf_counter()
    return warm - begin, time.perf_counter() - warm


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--together", type=int, default=8)
    parser.add_argument("--ahead", type=int, default=32)
    parser.add_argument("--plain", type=int, default=24, help="frames of the plain loop")
    parser.add_argument("--family", choices=FAMILIES, default="internvl")
    parser.add_argument("--folder", type=Path, help="a model's folder, on the CPU: to try the script")
    parser.add_argument("--eager", action="store_true", help="do not compile")
    arguments = parser.parse_args()
    if arguments.folder:
        model = Sa2VAModel.load(arguments.folder, dtype=torch.float32)
        processor = Sa2VAProcessor.from_pretrained(arguments.folder)
    else:
        model, processor = random_model("cuda", arguments.family)
        with_memory(model)
    drafts = Drafts(processor.answer_ids(Inference().draft), processor.stop_token_ids)
    segmenter = SequenceSegmenter(
        model,
        Segmenter(model, processor, Inference().max_new_tokens, drafts),
        original=None,
        encoded_ahead=arguments.ahead,
        keep_logits=False,
    )
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain_video_seconds(model, processor, videos(folder / "warm", 1, 7, 1), VIDEO, folder / "plain")
        few = videos(folder / "plain_videos", 1, arguments.plain, 1)
        plain = plain_video_seconds(model, processor, few, VIDEO, folder / "plain") / arguments.plain
        print(f"plain loop: {plain * 1e3:.1f} ms per frame and expression", flush=True)
        if not arguments.eager:
            compile_blocks(model)
        for expressions, together in ((1, arguments.together), (4, arguments.together), (1, 1)):
            count = max(2, arguments.videos // (expressions * (1 if together > 1 else 4)))
            count = -(-count // together) * together + together  # and the group that does not count
            tasks = videos(folder / f"{expressions}-{together}", count, arguments.frames, expressions)
            warm_up, seconds = engine_seconds(segmenter, processor, tasks, together, folder / "shard")
            frames = (count - together) * arguments.frames
            rows.append((expressions, together, count - together, frames, warm_up, seconds))
            print(rows[-1], flush=True)
    if torch.cuda.is_available():
        print(f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}")
        print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    print(f"plain loop: {plain * 1e3:.1f} ms per frame and expression")
    print(
        "| expressions | side by side | videos | ms per frame | ms per expression | x plain | first group, s |"
    )
    print("|---|---|---|---|---|---|---|")
    for expressions, together, count, frames, warm_up, seconds in rows:
        times = f"{seconds / frames * 1e3:.2f} | {seconds / frames / expressions * 1e3:.2f}"
        ratio = plain * frames * expressions / seconds
        print(f"| {expressions} | {together} | {count} | {times} | {ratio:.1f} | {warm_up:.0f} |")


if __name__ == "__main__":
    main()
