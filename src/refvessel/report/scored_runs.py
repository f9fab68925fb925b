"""The runs of an evaluation, read from `video.json` and its table and checked against the scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel.artifacts import VIDEO, VIDEO_CASES
from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.metrics.sequences_summary import FRAMES_SCHEMA, SEQUENCE
from refvessel.parquet_file import read_parquet
from refvessel.provenance import FileRecord, file_record
from refvessel.sentences import marked

TITLES = {  # of scores of sequences that have a truth beside them, the name of this one
    "J": ("J (IoU)", None),
    "F": (marked("F (boundary)"), None),
    "J&F": ("J&F", None),
    "dice": (marked("Dice per frame"), None),
    "consistency": (marked("Consistency after motion"), "truth_consistency"),
    "flicker": (marked("Flicker of the area"), "truth_flicker"),
}


@dataclass(frozen=True)
class Runs:
    """What video.json says, the rows of its table by sequence and frame, and the records of both files."""

    summary: dict[str, Any]
    frames: pd.DataFrame
    sources: dict[str, FileRecord]

    @property
    def sequences(self) -> pd.DataFrame:
        """The scores of each sequence."""
        return pd.DataFrame(self.summary["by_sequence"])

    def frames_of(self, sequence: Mapping[Any, Any], cases: pd.DataFrame) -> pd.DataFrame:
        """The frames of a sequence in order, with the masks and sizes that the table of cases has."""
        of_sequence = (self.frames[list(SEQUENCE)] == [sequence[name] for name in SEQUENCE]).all(axis=1)
        more = ["sent_id", *cases.columns.difference(self.frames.columns)]
        return self.frames[of_sequence].merge(cases[more], on="sent_id", validate="one_to_one")


def read_runs(scores: Path, cases_sha256: str) -> Runs | None:
    """What lies beside the cases of an evaluation; None where its data set has no runs.

    Raises UserError where the files were made from other cases or from one another not.
    """
    path, table_path = scores / VIDEO, scores / VIDEO_CASES
    if not path.is_file():
        return None
    summary = read_json(path)
    table, _ = read_parquet(table_path, "score the sequences again")
    sources = {"video": file_record(path), "video_cases": file_record(table_path)}
    try:
        made_from = summary["provenance"]
        hashes = made_from["cases"]["sha256"], made_from["video_cases"]["sha256"]
    except (KeyError, TypeError):
        raise UserError(f"{path} does not say what it was made from; score the sequences again.") from None
    if hashes != (cases_sha256, sources["video_cases"]["sha256"]) or not table.schema.equals(FRAMES_SCHEMA):
        raise UserError(f"{path} was made from other cases than these; score the sequences again.")
    return Runs(summary, table.to_pandas().sort_values([*SEQUENCE, "index"], ignore_index=True), sources)


def sequences_table(evaluations: Sequence[tuple[dict[str, str], Runs]]) -> pd.DataFrame:
    """One row per evaluation and sequence: every score; the evaluations with what identifies them."""
    tables = [runs.sequences.assign(**identity) for identity, runs in evaluations]
    first = list(evaluations[0][0])
    return pd.concat(tables, ignore_index=True)[[*first, *tables[0].columns.difference(first, sort=False)]]
