"""What is asked about the sequences of a layout, and which numbers its frames have."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from refvessel.dataset.tree.expressions import Sentence
from refvessel.dataset.tree.layout import REF_VOS
from refvessel.dataset.tree.ref_vos import FRAME_TABLE, VideoFiles, read_frame_table, read_ref_vos
from refvessel.errors import UserError
from refvessel.inference.sequence_plan import SequenceTask


def tasks_of_split(dataset: Path, split: str) -> list[SequenceTask]:
    """The sequences of a split of a converted tree; recorded are the frames that its `frames.json` lists.

    Raises UserError where the split has no sequences, or they are damaged.
    """
    root = Path(dataset) / REF_VOS / split
    if not root.is_dir():
        raise UserError(
            f"{dataset} has no sequences of the split {split!r}; convert a data set that has some."
        )
    table = read_frame_table(root / FRAME_TABLE)
    tasks = []
    for files in read_ref_vos(root):
        places = {frame: place for place, frame in enumerate(files.video.frames)}
        known = table.get(files.video.name, {})
        asked = {}
        for expression in files.video.expressions:
            of_frames = known.get(expression.id, {})
            if strange := of_frames.keys() - places.keys():
                raise UserError(
                    f"{root / FRAME_TABLE} names the frame {min(strange)} of {files.video.name}, which has none; "
                    "convert again."
                )
            asked[expression.id] = {
                places[frame]: Sentence(
                    each.image_id,
                    each.ref_id,
                    each.sent_id,
                    expression.text,
                    files.height,
                    files.width,
                    files.paths[places[frame]],
                )
                for frame, each in of_frames.items()
            }
        tasks.append(SequenceTask(files, asked))
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
