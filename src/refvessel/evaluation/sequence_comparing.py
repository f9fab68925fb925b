"""Comparing entrants on the same sequences: `video_comparison.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel.artifacts import VIDEO_COMPARISON
from refvessel.errors import UserError
from refvessel.evaluation.shared_phrases import with_shared_phrases
from refvessel.files import write_json
from refvessel.metrics.bootstrap import CONFIDENCE, SEED
from refvessel.metrics.comparison import paired_tests
from refvessel.metrics.sequences_summary import COMPARED, FRAMES_SCHEMA, SEQUENCE, score_sequences_of
from refvessel.parquet_file import read_parquet
from refvessel.predictions.answered import ANSWERS
from refvessel.provenance import file_record, versions
from refvessel.settings.scores_section import Scores

_REMEDY = "score the sequences again"
# What makes two rows the same frame of the same sequence, with the same truth.
_SAME = (*SEQUENCE, "frame", "sent_id", "phrase", "patient", "truth_pixels")


def compare_sequences(*, cases: Mapping[str, Path], output: Path, settings: Scores) -> dict[str, Any]:
    """Compare two or more entrants on the same sequences; write video_comparison.json and return it.

    The tests are those of `paired_tests` on the scores of sequences, patients being drawn. So video inference
    is compared with frame-by-frame inference on the same frames.

    Args:
        cases: the video_cases.parquet of each entrant by its name.
        output: folder of the file.
        settings: `bootstrap_draws` is looked at.

    Raises UserError, before anything is written, for fewer than two entrants and for tables of other frames.
    """
    if len(cases) < 2:
        raise UserError("A comparison needs at least two models; name a video_cases.parquet of each.")
    frames, answered = {}, {}
    for name, path in cases.items():
        frames[name], answered[name] = read_frames(path)
    frames, left_out = with_shared_phrases(frames, answered)
    first, *others = frames
    for other in others:
        if not frames[first][list(_SAME)].equals(frames[other][list(_SAME)]):
            raise UserError(
                f"{cases[first]} and {cases[other]} are of different frames; compare models on the same sequences."
            )
    sequences = {name: score_sequences_of(table) for name, table in frames.items()}
    draws = settings.bootstrap_draws
    tests = paired_tests(sequences, list(COMPARED), draws)
    comparison = {
        "models": list(cases),
        "n_sequences": len(sequences[first]),
        "n_frames": len(frames[first]),
        "n_patients": int(sequences[first]["patient"].nunique()),
        "phrases_left_out": left_out,
        "settings": {
            "scores": list(COMPARED),
            "bootstrap": {"draws": draws, "seed": SEED, "confidence": CONFIDENCE},
        },
        "tests": [{_renamed(name): value for name, value in row.items()} for row in tests],
        "provenance": {
            "versions": versions(),
            "cases": {name: file_record(path) for name, path in cases.items()},
        },
    }
    write_json(Path(output) / VIDEO_COMPARISON, comparison)
    return comparison


def _renamed(name: str) -> str:
    """The unit of these tests is the sequence."""
    return "n_sequences" if name == "n_expressions" else name


def read_frames(path: Path) -> tuple[pd.DataFrame, list[str] | None]:
    """A video_cases.parquet, by sequence and frame, and the phrases that are answered, None where all are.

    Raises UserError where it is another file or missing.
    """
    table, made_from = read_parquet(path, _REMEDY)
    if not table.schema.equals(FRAMES_SCHEMA):
        raise UserError(f"{path} has other columns than this version of RefVessel writes; {_REMEDY}.")
    frames = table.to_pandas().sort_values([*SEQUENCE, "index"], ignore_index=True)
    return frames, (made_from or {}).get(ANSWERS)
