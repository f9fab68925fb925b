"""The runs of a data set on their way into the tree: frames, truths by phrase, and what is said of them."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from refvessel.dataset.conversion.converted import Converted, Truths
from refvessel.dataset.conversion.spool import Spool
from refvessel.dataset.problems import Problems
from refvessel.dataset.tree.ref_vos import TreeFrame
from refvessel.dataset.tree.ref_vos_writing import ref_vos_writer
from refvessel.dataset.tree.run_folders import folder_of_split
from refvessel.rle import RLE
from refvessel.sentences import english

_EXAMPLES = 3  # runs named in a warning
Numbers = Mapping[str, Mapping[str, Sequence[int]]]  # image_id -> phrase -> numbers of its refs


def runs_of(converted: Sequence[Converted]) -> dict[str, list[Converted]]:
    """Video -> its frames in order, of the runs that are asked for something."""
    runs: dict[str, list[tuple[int, Converted]]] = {}
    for item in converted:
        if (place := item.identity.place) is not None:
            runs.setdefault(place.video, []).append((place.index, item))
    ordered = {
        video: [item for _, item in sorted(runs[video], key=lambda frame: frame[0])] for video in sorted(runs)
    }
    return {
        video: frames for video, frames in ordered.items() if any(item.tally.expressions for item in frames)
    }


def require_common_sizes(converted: Sequence[Converted], problems: Problems) -> None:
    """Report runs whose frames differ in size."""
    for frames in runs_of(converted).values():
        first = frames[0]
        size = (first.image.width, first.image.height)
        for item in frames[1:]:
            if (other := (item.image.width, item.image.height)) != size:
                problems.add(
                    f"{item.identity.record.where}: {item.identity.record.name} has {other[0]} x {other[1]} "
                    f"pixels, but {first.identity.record.name} of the same run {size[0]} x {size[1]}; all "
                    "frames of a run must be of one size."
                )
                break


def write_runs(
    tree: Path, converted: Sequence[Converted], spool: Spool, phrases: Sequence[str], numbers: Numbers
) -> None:
    """Write the Ref-VOS files of each split beside the frames' images.

    Args:
        tree: that is written.
        converted: all images, those of runs that are not annotated too.
        spool: that has their truths.
        phrases: all that are asked for.
        numbers: of the refs in the RefCOCO tree.
    """
    splits: dict[str, list[tuple[str, list[Converted]]]] = {}
    runs = runs_of(converted)
    for video, frames in runs.items():
        splits.setdefault(frames[0].identity.split, []).append((video, frames))
    for split, videos in splits.items():
        with ref_vos_writer(folder_of_split(tree, split)) as writer:
            for video, frames in videos:
                truths = [_truths(item, spool) for item in frames]
                asked = [phrase for phrase in phrases if any(phrase in each for each in truths)]
                image = frames[0].image
                writer.add(
                    video,
                    frames=len(frames),
                    size=(image.width, image.height),
                    truths={phrase: [each.get(phrase) for each in truths] for phrase in asked},
                    places={phrase: _places(frames, phrase, numbers) for phrase in asked},
                )
    _remove_others(tree, converted, runs)


def _truths(item: Converted, spool: Spool) -> dict[str, RLE]:
    """The truth of each phrase that is asked of an image."""
    if not item.tally.expressions:
        return {}
    truths: Truths = spool.read(item.truths)
    return {phrase: masks[0] for phrase, masks in truths.by_phrase.items()}


def _places(frames: Sequence[Converted], phrase: str, numbers: Numbers) -> dict[int, TreeFrame]:
    places = {}
    for index, item in enumerate(frames):
        image_id = item.identity.image_id
        for number in numbers.get(image_id, {}).get(phrase, ()):
            places[index] = TreeFrame(image_id, number, number)  # a ref has one sentence, of its own number
    return places


def _remove_others(tree: Path, converted: Sequence[Converted], kept: Mapping[str, Any]) -> None:
    """Remove the frames of runs of which nothing is asked."""
    for item in converted:
        if (path := item.film_file(tree)) is not None and path.parent.name not in kept:
            shutil.rmtree(path.parent, ignore_errors=True)


def runs_record(converted: Sequence[Converted]) -> dict[str, Any]:
    """What `dataset.json` says of the runs, by their names."""
    return {
        video: {
            "patient": frames[0].identity.patient,
            "split": frames[0].identity.split,
            "frames": len(frames),
            "frames_annotated": sum(bool(item.tally.expressions) for item in frames),
            "pixels_sha256": _joint_hash(frames),
        }
        for video, frames in runs_of(converted).items()
    }


def warnings_of_runs(converted: Sequence[Converted]) -> list[str]:
    """What is to be known of runs: numbers that are missing between their frames."""
    gaps = {
        video: missing
        for video, frames in runs_of(converted).items()
        if (missing := sum(item.identity.place.gap for item in frames if item.identity.place is not None))
    }
    if not gaps:
        return []
    examples = ", ".join(f"{video}: {gaps[video]}" for video in sorted(gaps)[:_EXAMPLES])
    return [
        english(
            "%(n)s runs lack numbers between their frames (%(examples)s); they count as following one another.",
            n=len(gaps),
            examples=examples,
        )
    ]


def _joint_hash(frames: Sequence[Converted]) -> str:
    """SHA-256 over the frames' pixels, in order."""
    return hashlib.sha256("".join(item.image.pixels_sha256 for item in frames).encode()).hexdigest()
