"""Scoring the runs of a split: `video_cases.parquet`, one row per frame, and `video.json`."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from refvessel import rle
from refvessel.artifacts import VIDEO, VIDEO_CASES
from refvessel.dataset.tree.layout import description
from refvessel.dataset.tree.ref_vos import FRAME_TABLE, TreeFrame, VideoFiles, read_frame_table, read_ref_vos
from refvessel.dataset.tree.run_folders import folders_of_runs
from refvessel.errors import UserError
from refvessel.evaluation.shared_phrases import answered_of_cases
from refvessel.files import write_json
from refvessel.image_files import decode_file
from refvessel.metrics.bootstrap import CONFIDENCE, SEED
from refvessel.metrics.boundary import boundary_accuracy, region_similarity
from refvessel.metrics.cases import EXPRESSION, read_cases
from refvessel.metrics.sequences_summary import FRAMES_SCHEMA, score_sequences_of, summarise_sequences
from refvessel.metrics.summary import plain
from refvessel.metrics.temporal import MOTION, consistency, enlarged, motion, reduced
from refvessel.parallel import call_each
from refvessel.parquet_file import write_parquet
from refvessel.predictions.answered import ANSWERS
from refvessel.provenance import file_record, versions
from refvessel.settings.scores_section import Scores

_OF_CASES = (*EXPRESSION, "patient", "status", "dice")  # columns that stay as they are


@dataclass(frozen=True)
class _Frame:
    """A frame of an expression: its masks as the table of cases has them, JSON, and the rest of its row."""

    index: int
    path: Path
    truth: str
    prediction: str
    ignore: str | None
    row: Mapping[str, Any]


_Sequence = Sequence[_Frame]  # of one expression, in order


def score_sequences(
    *, cases: Path, dataset: Path, split: str, output: Path, settings: Scores, threads: int = 1
) -> dict[str, Any]:
    """Score the runs of a split; write both files and return what video.json says.

    Its numbers are those of `summarise_sequences`, overall and `by_phrase`; `by_sequence` has the scores of
    each. J, F and their mean are by the definition of the benchmarks (see `boundary`), but of the pixels that
    are scored: an ignored one is background in both masks. Consistency and flicker are those of `temporal`,
    each beside the truth's.

    Args:
        cases: table of an entrant on the split.
        dataset: the tree, which has runs.
        split: of the tree.
        output: folder of the two files.
        settings: `bootstrap_draws` is looked at.
        threads: processes that share the work.

    Raises UserError where the table lacks an annotated frame of the runs, and for damaged files.
    """
    table, made_from = read_cases(cases)
    by_sent_id = table.astype(object).where(table.notna(), None).set_index("sent_id", drop=False)
    folders = folders_of_runs(dataset, split)
    answered = answered_of_cases(made_from)
    videos = [
        each for folder in folders for each in _sequences_of_folder(folder, by_sent_id, cases, answered)
    ]
    rows = [row for rows in call_each(_score_video, videos, threads=threads) for row in rows]
    if not rows:
        raise UserError(
            f"{dataset} has no annotated frame in the runs of {split}; convert the data set again."
        )
    frames = pd.DataFrame(rows, columns=FRAMES_SCHEMA.names)
    sequences, draws = score_sequences_of(frames), settings.bootstrap_draws
    provenance = {
        "versions": versions(),
        "cases": file_record(cases),
        "dataset": file_record(description(dataset)),
        "split": split,
    }
    output = Path(output)
    known = {} if answered is None else {ANSWERS: sorted(answered)}
    made = {**provenance, **known, "settings": {**made_from["settings"], "motion": MOTION}}
    write_parquet(
        output / VIDEO_CASES, pa.Table.from_pandas(frames, schema=FRAMES_SCHEMA, preserve_index=False), made
    )
    summary = {
        **summarise_sequences(sequences, draws),
        "settings": {"motion": MOTION, "bootstrap": {"draws": draws, "seed": SEED, "confidence": CONFIDENCE}},
        "by_phrase": {
            str(phrase): summarise_sequences(group, draws) for phrase, group in sequences.groupby("phrase")
        },
        "by_sequence": [
            {str(name): plain(value) for name, value in row.items()} for row in sequences.to_dict("records")
        ],
        "provenance": {**provenance, "video_cases": file_record(output / VIDEO_CASES)},
    }
    write_json(output / VIDEO, summary)
    return summary


def _sequences_of_folder(
    folder: Path, cases: pd.DataFrame, path: Path, answered: Collection[str] | None
) -> Iterator[list[_Sequence]]:
    """The scored sequences of each video of a folder in the Ref-VOS layout; of answered phrases, None: of all."""
    places = read_frame_table(folder / FRAME_TABLE)
    for files in read_ref_vos(folder):
        of_video = places.get(files.video.name, {})
        silent = {
            each.id for each in files.video.expressions if answered is not None and each.text not in answered
        }
        yield [
            _sequence(files, expression, of_frames, cases, path)
            for expression, of_frames in of_video.items()
            if of_frames and expression not in silent
        ]


def _sequence(
    files: VideoFiles,
    expression: str,
    places: Mapping[str, TreeFrame],
    cases: pd.DataFrame,
    path: Path,
) -> _Sequence:
    """The annotated frames of an expression, in the order of the video."""
    found = []
    for index, (name, file) in enumerate(zip(files.video.frames, files.paths, strict=True)):
        if (place := places.get(name)) is None:
            continue
        if place.sent_id not in cases.index:
            raise UserError(
                f"{path} lacks the expression with sent_id {place.sent_id}, frame {name} of the run "
                f"{files.video.name}; score the predictions of this data set and split."
            )
        case: dict[Any, Any] = cases.loc[place.sent_id].to_dict()
        of_frame = {"video": files.video.name, "expression": expression, "frame": name, "index": index}
        found.append(
            _Frame(
                index,
                file,
                case["truth_mask"],
                case["predicted_mask"],
                case["ignore_mask"],
                {**of_frame, **{column: case[column] for column in _OF_CASES}},
            )
        )
    return found


def _score_video(sequences: Sequence[_Sequence]) -> list[dict[str, Any]]:
    """The rows of FRAMES_SCHEMA of a video's sequences; the masks of two frames at a time are in memory."""
    flow_between = _motions()
    return [row for sequence in sequences for row in _rows_of(sequence, flow_between)]


def _motions() -> Callable[[Path, Path], np.ndarray]:
    """A function: two frames' files -> their motion; each is estimated once, whatever is asked of the video."""

    @cache
    def image(path: Path) -> np.ndarray:
        return reduced(decode_file(path))

    return cache(lambda previous, current: motion(image(previous), image(current)))


def _rows_of(
    sequence: _Sequence, flow_between: Callable[[Path, Path], np.ndarray]
) -> Iterator[dict[str, Any]]:
    before: tuple[_Frame, np.ndarray, np.ndarray] | None = None
    for frame in sequence:
        truth, prediction = _masks(frame)
        row = {
            **frame.row,
            "truth_pixels": int(truth.sum()),
            "predicted_pixels": int(prediction.sum()),
            "J": region_similarity(prediction, truth),
            "F": boundary_accuracy(prediction, truth),
        }
        if before is not None:
            last, last_truth, last_prediction = before
            flow = enlarged(flow_between(last.path, frame.path), truth.shape)
            row |= {
                "step": frame.index - last.index,
                "consistency": consistency(last_prediction, prediction, flow),
                "truth_consistency": consistency(last_truth, truth, flow),
            }
        before = frame, truth, prediction
        yield row


def _masks(frame: _Frame) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction, bool (height, width), without the pixels that no score looks at."""
    truth, prediction = (
        rle.decode(json.loads(mask)).astype(bool) for mask in (frame.truth, frame.prediction)
    )
    if frame.ignore is None:
        return truth, prediction
    scored = ~rle.decode(json.loads(frame.ignore)).astype(bool)
    return truth & scored, prediction & scored
