"""Models on other data sets than their own, read and checked against the evaluations of the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.provenance import FileRecord, file_record
from refvessel.report.sections import Artifacts

_PLACE = ("model", "dataset", "split")


@dataclass(frozen=True)
class External:
    """What external.json says, and the record of the file."""

    content: dict[str, Any]
    source: FileRecord

    @property
    def table(self) -> pd.DataFrame:
        """One row per score, model and split."""
        return pd.DataFrame(self.content["matrix"])

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Data set and split of each column of the matrix, in the order of the file."""
        return list(dict.fromkeys((row["dataset"], row["split"]) for row in self.content["matrix"]))

    @property
    def cells(self) -> dict[tuple[str, str], dict[tuple[str, str], dict[str, Any]]]:
        """Score and model of each row -> data set and split -> what the file says of it."""
        cells: dict[tuple[str, str], dict[tuple[str, str], dict[str, Any]]] = {}
        for row in self.content["matrix"]:
            cells.setdefault((row["score"], row["model"]), {})[row["dataset"], row["split"]] = row
        return cells

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of the file by the name that the manifest gives it."""
        return {self.source["name"]: self.source["sha256"]}


def read_external(path: Path, evaluations: Sequence[Artifacts]) -> External:
    """Read external.json; raises UserError where it was made from other cases than those of the report."""
    content = read_json(Path(path))
    known = {
        (*(getattr(one.evaluation, key) for key in _PLACE), one.sources["cases"]["sha256"])
        for one in evaluations
    }
    try:
        made_from = {
            (*(record[key] for key in _PLACE), record["sha256"]) for record in content["provenance"]["cases"]
        }
    except (KeyError, TypeError):
        raise UserError(f"{path} does not say what it was made from; compare the data sets again.") from None
    if not made_from <= known:
        raise UserError(
            f"{path} was made from other cases than those of the report; compare the data sets again."
        )
    return External(content, file_record(Path(path)))
