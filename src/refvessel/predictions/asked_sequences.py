"""What the runs of a split ask of a model, and not the truths that the answers are compared with."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from refvessel.dataset.tree.ref_vos import FRAME_TABLE, FrameTable, VideoFiles, read_frame_table, read_ref_vos
from refvessel.dataset.tree.run_folders import folders_of_runs
from refvessel.files import write_json
from refvessel.predictions.asked import Asked
from refvessel.predictions.identity import answer_identity, hashes_of_files, sequence_identity
from refvessel.prompts import prompt_of
from refvessel.settings.video_section import Video


def asked_in_sequences(dataset: Path, split: str, run_identity: str, video: Video) -> list[Asked]:
    """What the annotated frames of a split's runs ask in a run of a model.

    Args:
        dataset: tree with runs.
        split: of it.
        run_identity: see `Run.identity`.
        video: how the runs were segmented.
    """
    asked = []
    for files, table in _runs(dataset, split):
        hashes = hashes_of_files(files.paths)
        frames = [hashes[path] for path in files.paths]
        for expression in files.video.expressions:
            prompt = prompt_of(video.question_for(expression.text), expression.text)
            places = table.get(files.video.name, {}).get(expression.id, {})
            asked += [
                Asked(
                    places[frame].image_id,
                    places[frame].ref_id,
                    places[frame].sent_id,
                    expression.text,
                    answer_identity(run_identity, sequence_identity(frames, place), prompt),
                )
                for place, frame in enumerate(files.video.frames)
                if frame in places
            ]
    return asked


def list_sequences(*, dataset: Path, split: str, output: Path) -> None:
    """Write how many runs, frames and expressions a split asks for, and a SHA-256 over them, as JSON.

    The hash covers names, numbers, phrases and the bytes of all frames. It stays the same where only truths
    change, and so does whatever depends on this file alone.
    """
    digest, counts = hashlib.sha256(), {"runs": 0, "frames": 0, "expressions": 0}
    for files, table in _runs(dataset, split):
        hashes = hashes_of_files(files.paths)
        video = files.video
        counts["runs"] += 1
        counts["frames"] += len(files.paths)
        counts["expressions"] += len(video.expressions)
        digest.update(f"{video.name!r}{[hashes[path] for path in files.paths]!r}\n".encode())
        for each in video.expressions:
            places = sorted(table.get(video.name, {}).get(each.id, {}).items())
            digest.update(f"{each.id!r}{each.text!r}{places!r}\n".encode())
    write_json(output, {**counts, "sha256": digest.hexdigest()})


def _runs(dataset: Path, split: str) -> Iterator[tuple[VideoFiles, FrameTable]]:
    """The runs of a split, each with the table of its folder."""
    for folder in folders_of_runs(dataset, split):
        table = read_frame_table(folder / FRAME_TABLE)
        for files in read_ref_vos(folder):
            yield files, table
