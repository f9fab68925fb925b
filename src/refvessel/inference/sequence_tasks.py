"""What is asked about the sequences of a layout, and which numbers its frames have."""

from collections.abc import Iterator, Sequence
from itertools import count, groupby
from pathlib import Path, PurePosixPath

from refvessel.dataset.tree.expressions import Sentence
from refvessel.dataset.tree.ref_vos import (
    FRAME_TABLE,
    TreeFrame,
    Video,
    VideoExpression,
    VideoFiles,
    read_frame_table,
    read_ref_vos,
)
from refvessel.dataset.tree.run_folders import folders_of_runs
from refvessel.errors import UserError
from refvessel.inference.sequence_plan import SequenceTask


def tasks_of_split(dataset: Path, split: str) -> list[SequenceTask]:
    """The sequences of a split of a converted tree.

    All frames are recorded: those that `frames.json` lists by their numbers in the tree, the others by negative
    numbers, which no truth has. Raises UserError where the split has no sequences, or they are damaged.
    """
    tasks, numbers = [], count(-1, -1)
    for root in folders_of_runs(Path(dataset), split):
        table = read_frame_table(root / FRAME_TABLE)
        for files in read_ref_vos(root):
            known = table.get(files.video.name, {})
            asked = {}
            for expression in files.video.expressions:
                of_frames = known.get(expression.id, {})
                if strange := of_frames.keys() - set(files.video.frames):
                    raise UserError(
                        f"{root / FRAME_TABLE} names the frame {min(strange)} of {files.video.name}, which has "
                        "none; convert again."
                    )
                asked[expression.id] = {
                    place: _sentence(files, place, expression.text, of_frames.get(frame), numbers)
                    for place, frame in enumerate(files.video.frames)
                }
            tasks.append(SequenceTask(files, asked))
    return tasks


def _sentence(
    files: VideoFiles, place: int, phrase: str, known: TreeFrame | None, numbers: Iterator[int]
) -> Sentence:
    """What is asked of a frame; one that the tree does not know takes the next of `numbers`."""
    if known is None:
        number = next(numbers)
        known = TreeFrame(f"{files.video.name}/{files.video.frames[place]}", number, number)
    return Sentence(
        known.image_id, known.ref_id, known.sent_id, phrase, files.height, files.width, files.paths[place]
    )


def tasks_of_frames(sentences: Sequence[Sentence]) -> list[SequenceTask]:
    """Sequences of frames that are called `SEQUENCE/FRAME`, all of one size, each asked the same phrases in turn.

    Raises UserError, naming all, for sequences whose frames differ in size.
    """
    tasks, uneven = [], []
    for name, of_run in groupby(sentences, key=lambda each: PurePosixPath(each.image_id).parent.as_posix()):
        mine = list(of_run)
        frames = dict.fromkeys(each.image_path for each in mine)
        if len({(each.height, each.width) for each in mine}) > 1:
            uneven.append(name)
        phrases = [each.phrase for each in mine[: len(mine) // len(frames)]]
        expressions = tuple(VideoExpression(str(number), phrase) for number, phrase in enumerate(phrases))
        asked = {
            each.id: dict(enumerate(sentence for sentence in mine if sentence.phrase == each.text))
            for each in expressions
        }
        video = Video(name, tuple(path.stem for path in frames), expressions)
        tasks.append(SequenceTask(VideoFiles(video, tuple(frames), mine[0].height, mine[0].width), asked))
    if uneven:
        raise UserError(
            f"frames of one sequence differ in size in {', '.join(uneven)}; put each run into a folder of its own."
        )
    return tasks


def tasks_of_layout(videos: Sequence[VideoFiles]) -> list[SequenceTask]:
    """The sequences of a layout of anybody's; all frames are recorded, numbered in the order of the file."""
    sentences, refs = count(1), count(1)
    tasks = []
    for files in videos:
        asked = {}
        for expression in files.video.expressions:
            ref_id = next(refs)
            asked[expression.id] = {
                place: Sentence(
                    f"{files.video.name}/{frame}",
                    ref_id,
                    next(sentences),
                    expression.text,
                    files.height,
                    files.width,
                    path,
                )
                for place, (frame, path) in enumerate(zip(files.video.frames, files.paths, strict=True))
            }
        tasks.append(SequenceTask(files, asked))
    return tasks
