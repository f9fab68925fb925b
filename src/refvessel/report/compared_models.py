"""Comparisons of models, read and checked against the evaluations of the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel.artifacts import RANKING, VIDEO_COMPARISON
from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.metrics.policy import ERRORS
from refvessel.metrics.verdicts import Verdict
from refvessel.provenance import FileRecord, file_record
from refvessel.report.sections import Artifacts
from refvessel.spreadsheets import read_csv

_KEYS = ["dataset", "split"]


@dataclass(frozen=True)
class Comparison:
    """The models of one split: what comparison.json says, the table ranking.csv, and the records of the files.

    sequences: what video_comparison.json says; None where the data set has no runs.
    """

    dataset: str
    split: str
    content: dict[str, Any]
    ranking: pd.DataFrame
    sources: dict[str, FileRecord]
    sequences: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """`dataset.split`: unique, as keys have no dot."""
        return f"{self.dataset}.{self.split}"

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of the files by the names that the manifest gives them."""
        return {f"{self.name}/{record['name']}": record["sha256"] for record in self.sources.values()}


def read_comparison(path: Path, evaluations: Sequence[Artifacts]) -> Comparison:
    """Read comparison.json and, beside it, ranking.csv.

    Raises UserError where one is missing or was made from other cases than the evaluations of the report.
    """
    path, ranking = Path(path), Path(path).parent / RANKING
    content = read_json(path)
    if not ranking.is_file():
        raise UserError(f"{ranking} does not exist; compare the models again.")
    sources = {"comparison": file_record(path), "ranking": file_record(ranking)}
    try:
        made_from = content["provenance"]
        hashes = {model: record["sha256"] for model, record in made_from["cases"].items()}
        ranking_hash = made_from["ranking"]["sha256"]
    except (KeyError, TypeError):
        raise UserError(f"{path} does not say what it was made from; compare the models again.") from None
    if missing := {"agreement", "non_inferiority", "groups", "phrases_left_out"} - content.keys():
        raise UserError(
            f"{path} has no {sorted(missing)[0]}, as an earlier version wrote it; compare the models again."
        )
    known = {(one.evaluation.model, one.sources["cases"]["sha256"]): one.evaluation for one in evaluations}
    compared = [known[item] for item in hashes.items() if item in known]
    if len(compared) < len(hashes) or ranking_hash != sources["ranking"]["sha256"]:
        raise UserError(
            f"{path} was made from other cases than those of the report; compare the models again."
        )
    first = compared[0]
    sequences = path.parent / VIDEO_COMPARISON
    compared_runs = _compared_runs(sequences, evaluations) if sequences.is_file() else None
    if compared_runs is not None:
        sources["sequences"] = file_record(sequences)
    ranked = read_csv(ranking, texts=("score", "model"))
    return Comparison(first.dataset, first.split, content, ranked, sources, compared_runs)


def _compared_runs(path: Path, evaluations: Sequence[Artifacts]) -> dict[str, Any]:
    content: dict[str, Any] = read_json(path)
    known = {
        (one.evaluation.model, one.runs.sources["video_cases"]["sha256"]) for one in evaluations if one.runs
    }
    try:
        compared = {(model, record["sha256"]) for model, record in content["provenance"]["cases"].items()}
    except (KeyError, TypeError):
        raise UserError(f"{path} does not say what it was made from; compare the sequences again.") from None
    if not compared <= known:
        raise UserError(
            f"{path} was made from other sequences than those of the report; compare the sequences again."
        )
    return content


@dataclass(frozen=True)
class Best:
    """A model that is better than every other one of its split, its mean over patients, and of how many."""

    model: str
    patient_mean: float
    n_expressions: int


def best_shown(comparison: Comparison) -> dict[str, Best]:
    """Score -> the model that is shown to be better than every other one; scores without one are absent."""
    won: dict[str, list[Best]] = {}
    for row in comparison.content["tests"]:
        if row["verdict"] == Verdict.SHOWN:
            side = "first" if (row["difference"] > 0) != (row["score"] in ERRORS) else "second"
            best = Best(row[side], row[f"{side}_patient_mean"], row["n_expressions"])
            won.setdefault(row["score"], []).append(best)
    others = len(comparison.content["models"]) - 1
    return {
        score: best
        for score, winners in won.items()
        for best in winners
        if [each.model for each in winners].count(best.model) == others
    }


def tests_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row per split, score and pair of models: every number of the paired tests."""
    return _rows(comparisons, "tests")


def agreement_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row per split, score and pair of ranking methods: Kendall's tau."""
    return _rows(comparisons, "agreement")


def non_inferiority_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row per split, score with a margin and pair of models."""
    return _rows(comparisons, "non_inferiority")


def trainings_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row per split, score and group of trainings."""
    table = _rows(comparisons, "groups")
    return table if table.empty else table.assign(trainings=table["trainings"].map(", ".join))


def _rows(comparisons: Sequence[Comparison], key: str) -> pd.DataFrame:
    """The rows that comparison.json has under a key, of all splits."""
    rows = [
        {"dataset": one.dataset, "split": one.split, **row} for one in comparisons for row in one.content[key]
    ]
    return pd.DataFrame(rows)


def ranking_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row per split, score and model: its rank."""
    return pd.concat(
        [one.ranking.assign(dataset=one.dataset, split=one.split) for one in comparisons], ignore_index=True
    )[[*_KEYS, *comparisons[0].ranking.columns]]
