"""Masks of videos as the official inference script writes them.

results.json                             {VIDEO: {ID: {"frames": [...], "prediction_masks": [RLE per frame], ...}}}
Annotations/VIDEO/ID/FRAME.png           grey, 0 and 255

The official script sorts frames by their names as text, its scorers take masks in the order of
`meta_expressions.json`. Here masks are in the order of that file, and `frames` names them.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from refvessel.artifacts import SHARD_SUFFIX, beside
from refvessel.dataset.tree.ref_vos import read_ref_vos
from refvessel.errors import UserError
from refvessel.files import atomic_directory, atomic_file, require_no_folder
from refvessel.inference.official_results import records_of_results, results_of
from refvessel.inference.sequence_plan import SequenceTask
from refvessel.inference.sequence_run import segment_sequences
from refvessel.inference.sequence_tasks import tasks_of_layout
from refvessel.predictions.prediction import Prediction
from refvessel.rle import decode
from refvessel.settings.inference_section import Inference
from refvessel.settings.video_section import Video

_SPLIT = "videos"  # of a layout that knows no splits
_FOREGROUND = 255
_OURS = ".refvessel"  # in a folder of masks that a command wrote, and may write again


def segment_videos(
    *,
    model: Path,
    root: Path,
    output: Path,
    annotations: Path | None = None,
    sam2: Path | None = None,
    settings: Inference,
    video: Video,
) -> None:
    """Segment the videos of an official Ref-VOS layout, and write `results.json`.

    What is finished is kept in a shard beside it, from which a killed run continues.

    Args:
        model: official Hugging Face folder.
        root: folder with `meta_expressions.json` and `JPEGImages`.
        output: `results.json` to write.
        annotations: folder for masks as PNG, or None.
        sam2: SAM2's own checkpoint (.pt), for the propagation sa2va-i.
        settings: how the model is run.
        video: how videos are segmented.

    Raises:
        UserError: for bad input, or more failures than allowed.
    """
    require_no_folder(output)
    if annotations is not None:
        _require_ours(Path(annotations))
    videos = read_ref_vos(root)
    for each in videos:
        if not each.video.in_text_order:
            print(
                f"{each.video.name}: its frames are not in the order of their names as text, which the official "
                "inference takes; they are taken, and masks written, in the order of the file.",
                file=sys.stderr,
            )
    tasks = tasks_of_layout(videos)
    shard = beside(output, SHARD_SUFFIX)
    segment_sequences(
        model=model,
        tasks=tasks,
        name=_SPLIT,
        split=_SPLIT,
        output=shard,
        sam2=sam2,
        settings=settings,
        video=video,
    )
    predictions = records_of_results([shard])
    if annotations is not None:
        Path(annotations).mkdir(parents=True, exist_ok=True)
        (Path(annotations) / _OURS).touch()
        for task in tasks:
            _write_annotations(Path(annotations) / task.name, task, predictions)
    with atomic_file(output) as temporary, temporary.open("w", encoding="utf-8") as stream:
        json.dump(results_of(tasks, predictions), stream, ensure_ascii=False, allow_nan=False)


def _require_ours(folder: Path) -> None:
    """Raise UserError where a folder holds what no earlier command wrote: truths, perhaps."""
    if folder.exists() and not (folder.is_dir() and ((folder / _OURS).exists() or not any(folder.iterdir()))):
        raise UserError(f"{folder} holds files that segment-videos did not write; choose another folder.")


def _write_annotations(folder: Path, task: SequenceTask, predictions: Mapping[int, Prediction]) -> None:
    """The masks of one video, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(folder) as temporary:
        for identifier, of_frames in task.asked.items():
            (temporary / identifier).mkdir()
            for place, sentence in of_frames.items():
                mask = decode(predictions[sentence.sent_id].mask) * np.uint8(_FOREGROUND)
                name = f"{task.files.video.frames[place]}.png"
                Image.fromarray(mask).save(temporary / identifier / name)
