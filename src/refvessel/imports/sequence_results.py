"""`results.json`: masks of videos as the official inference script writes them, of a tree with runs."""

from collections.abc import Iterator, Mapping
from typing import Any

from refvessel.artifacts import VIDEO_RESULTS
from refvessel.dataset.fields import of_kind, require, shown
from refvessel.dataset.regions.segmentation import read_segmentation
from refvessel.dataset.tree.ref_vos import (
    FRAME_TABLE,
    META_EXPRESSIONS,
    TreeFrame,
    Video,
    read_frame_table,
    read_videos,
)
from refvessel.dataset.tree.run_folders import folders_of_runs
from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.imports.source import Answer, Source

_MASKS, _FRAMES = "prediction_masks", "frames"


def read(source: Source) -> Iterator[Answer]:
    """The masks of the annotated frames; runs are called as in the tree, or as they were before pseudonyms."""
    path = source.the_file(VIDEO_RESULTS)
    source.files[path] = None
    results = of_kind(read_json(path), dict, f"{path}: its content")
    for folder in folders_of_runs(source.wanted.root, source.wanted.split):
        table = read_frame_table(folder / FRAME_TABLE)
        for video in read_videos(folder / META_EXPRESSIONS):
            named = source.originals.get(video.name, video.name)
            of_video = results.get(video.name, results.get(named))
            for identifier, places in table.get(video.name, {}).items():
                if of_video is None:
                    continue  # each of its frames is told
                where = f"{path}: video {shown(video.name)}, expression {shown(identifier)}"
                with source.problems.collect():
                    result = of_kind(of_video, dict, where).get(identifier)
                    if result is not None:
                        yield from _frames(source, result, video, places, where)


def _frames(
    source: Source, result: Any, video: Video, places: Mapping[str, TreeFrame], where: str
) -> Iterator[Answer]:
    masks = require(result, _MASKS, list, where)
    named = result.get(_FRAMES)
    frames = list(video.frames) if named is None else of_kind(named, list, f"{where}: the field {_FRAMES!r}")
    if len(masks) != len(frames) or set(frames) != set(video.frames):
        raise UserError(
            f"{where} has {len(masks)} masks of {len(frames)} frames, the run has {len(video.frames)}; give one "
            "mask per frame, in the order of meta_expressions.json."
        )
    asked = {each.sent_id: each for each in source.wanted.sentences}
    for frame, mask in zip(frames, masks, strict=True):
        place = places.get(frame)
        if place is None or place.sent_id not in asked:
            continue  # nothing is annotated there
        expression = asked[place.sent_id]
        with source.about(place.image_id):
            found = read_segmentation(
                mask, expression.height, expression.width, f"{where}, frame {shown(frame)}"
            )
            yield Answer(place.image_id, expression.phrase, found, where, sent_id=place.sent_id)
