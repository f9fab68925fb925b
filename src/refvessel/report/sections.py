"""The artifacts that a report is made from, read and checked against each other."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel.artifacts import BREAKS, CASES, CONVERSION, SUMMARY, THRESHOLDS, WORDS
from refvessel.dataset.tree.image_places import image_places
from refvessel.dataset.tree.layout import DATASET, INSTANCES
from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.metrics.breaks_table import read_breaks
from refvessel.metrics.summary_file import read_summary
from refvessel.provenance import FileRecord, file_record
from refvessel.report.scored_runs import Runs, read_runs
from refvessel.report.shown_cases import read_cases_with_masks, sample, with_masks
from refvessel.report.wording import worded
from refvessel.settings.section import KEY

_NOT_OF_THE_SUMMARY = (
    "summary",
    "conversion",
    "words",
    "choice",
)  # what a summary does not say it was made from
_LONGEST_STEM = 160  # characters; a file name has 255 bytes


@dataclass(frozen=True)
class Evaluation:
    """One model on one split of one dataset: their names in the configuration and where its artifacts lie.

    `scores_dir` holds cases.parquet and summary.json, and is None where there is no truth; `predictions` is the
    predictions.parquet they came from; `choice` is the file of the question that was chosen among several, None
    where it was stated.
    """

    model: str
    dataset: str
    split: str
    scores_dir: Path | None
    predictions: Path
    choice: Path | None = None

    def __post_init__(self) -> None:
        for field in ("model", "dataset", "split"):
            if not re.fullmatch(KEY, getattr(self, field)):
                raise UserError(
                    f"The {field} '{getattr(self, field)}' cannot name a file; "
                    "use letters, digits, underscores and hyphens."
                )

    @property
    def name(self) -> str:
        """`model.dataset.split`: unique, as the three keys have no dot."""
        return f"{self.model}.{self.dataset}.{self.split}"

    @property
    def file_stem(self) -> str:
        """What the names of its figures begin with: its name, cut where file systems would refuse it."""
        return file_stem(self.name)

    @property
    def title(self) -> str:
        """What a heading says."""
        return worded(
            "Model %(model)s, dataset %(dataset)s, split %(split)s",
            model=self.model,
            dataset=self.dataset,
            split=self.split,
        )


def evaluations_of(
    named: Sequence[Mapping[str, str]],
    predictions: Iterable[Path],
    cases: Mapping[tuple[str, ...], Path],
    chosen: Sequence[bool],
    choices: Iterator[Path],
) -> list[Evaluation]:
    """The evaluations of a configuration, in its order.

    Args:
        named: model, dataset and split of each.
        predictions: the predictions.parquet of each.
        cases: the values of `named` -> cases.parquet, of those that have a truth.
        chosen: whether each asks a question that was chosen among several.
        choices: the files of those questions, in order.
    """
    return [
        Evaluation(
            **names,
            scores_dir=scored.parent if (scored := cases.get(tuple(names.values()))) else None,
            predictions=table,
            choice=next(choices) if is_chosen else None,
        )
        for names, table, is_chosen in zip(named, predictions, chosen, strict=True)
    ]


def file_stem(name: str) -> str:
    """The name, or where file systems would refuse it its beginning and its hash."""
    if len(name) <= _LONGEST_STEM:
        return name
    return f"{name[:_LONGEST_STEM]}.{hashlib.sha256(name.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Artifacts:
    """What an evaluation's files say.

    `cases` has the columns of CASES_SCHEMA, of more than MOST_SHOWN without masks; `shown` are those that are
    shown one by one, with their masks. `breaks` has those of BREAKS_SCHEMA; `thresholds` is thresholds.csv, None
    without logits. `images` maps an image_id to its file. `dataset` is dataset.json and `conversion` is
    conversion.json, None where a foreign tree or HF folder has none; `words` is words.json, None where only cases
    were scored; `choice` says how the question was chosen, None where it was stated. `sources` has the record
    (name, bytes, sha256) of each file by its role: cases, breaks, summary, predictions, dataset, thresholds,
    conversion, words, choice, video, video_cases. `runs` are None where the data set has none.
    """

    evaluation: Evaluation
    cases: pd.DataFrame
    shown: pd.DataFrame
    breaks: pd.DataFrame
    thresholds: pd.DataFrame | None
    summary: dict[str, Any]
    images: dict[str, Path]
    dataset: dict[str, Any] | None
    conversion: dict[str, Any] | None
    sources: dict[str, FileRecord]
    runs: Runs | None = None
    words: dict[str, Any] | None = None
    choice: dict[str, Any] | None = None

    @property
    def made_from(self) -> dict[str, Any]:
        """What the predictions say of the model, the data and the settings they come from."""
        return self.summary["provenance"]["predictions"]["made_from"]

    @property
    def imported(self) -> dict[str, Any] | None:
        """How masks of another model or annotator were read; None of a model that was run."""
        return self.made_from.get("imported")

    @property
    def sampled(self) -> dict[str, int] | None:
        """How many cases are `shown`, of how many, where these are not all."""
        shown, n = len(self.shown), len(self.cases)
        return {"shown": shown, "all": n} if shown < n else None

    def with_masks(self, cases: pd.DataFrame) -> pd.DataFrame:
        """Some of the cases, with their masks."""
        assert self.evaluation.scores_dir is not None
        return with_masks(cases, self.evaluation.scores_dir / CASES)

    @property
    def model_identity(self) -> str | None:
        """SHA-256 of the model's weights that the predictions carry; None where their shards came without it."""
        return (self.made_from.get("run") or {}).get("model")


def read_artifacts(evaluation: Evaluation, *, checkpoint: Path | None, dataset: Path) -> Artifacts:
    """Read an evaluation's files; `checkpoint` is the model's HF folder, None where its masks were imported,
    `dataset` the tree's root.

    Raises UserError where a file is missing or malformed, and where the scores were made from other cases,
    other predictions, another dataset or another model than those given.
    """
    assert evaluation.scores_dir is not None
    scores = Path(evaluation.scores_dir)
    conversion = None if checkpoint is None else Path(checkpoint) / CONVERSION
    description = Path(dataset) / DATASET
    instances = Path(dataset) / INSTANCES
    files = {
        "cases": scores / CASES,
        "breaks": scores / BREAKS,
        "summary": scores / SUMMARY,
        "predictions": Path(evaluation.predictions),
        "dataset": description if description.is_file() else instances,
    }
    for path in (*files.values(), instances, *(() if checkpoint is None else (Path(checkpoint),))):
        if not path.exists():
            raise UserError(f"{path} does not exist; make it before the report of {evaluation.name}.")
    curve = scores / THRESHOLDS
    words = scores / WORDS
    for role, path in (("thresholds", curve), ("conversion", conversion), ("words", words)):
        if path is not None and path.is_file():
            files[role] = path
    if evaluation.choice is not None:
        files["choice"] = Path(evaluation.choice)
    sources = {role: file_record(path) for role, path in files.items()}
    summary = read_summary(files["summary"])
    for role in (role for role in files if role not in _NOT_OF_THE_SUMMARY):
        _check_origin(files["summary"], summary, role, files[role], sources[role])
    if "thresholds" in summary["provenance"].keys() - files.keys():
        raise UserError(f"{curve} does not exist; score again.")
    cases = read_cases_with_masks(files["cases"])
    runs = read_runs(scores, sources["cases"]["sha256"])
    artifacts = Artifacts(
        evaluation=evaluation,
        cases=cases,
        shown=with_masks(sample(cases), files["cases"]),
        breaks=read_breaks(files["breaks"]),
        thresholds=pd.read_csv(files["thresholds"]) if "thresholds" in files else None,
        summary=summary,
        images=image_places(Path(dataset), set(cases["ref_id"])),
        dataset=read_json(description) if description.is_file() else None,
        conversion=read_json(files["conversion"]) if "conversion" in files else None,
        sources=sources | (runs.sources if runs else {}),
        runs=runs,
        words=read_json(words) if words.is_file() else None,
        choice=read_json(files["choice"]) if "choice" in files else None,
    )
    _check_model(artifacts, checkpoint)
    if artifacts.words and artifacts.words["predictions"]["sha256"] != sources["predictions"]["sha256"]:
        raise UserError(f"{words} was made from other predictions than {files['predictions']}; score again.")
    asked = (artifacts.made_from.get("run") or {}).get("question")
    if artifacts.choice and asked not in (None, artifacts.choice["question"]):
        raise UserError(f"{files['choice']} names another question than was asked; segment again.")
    return artifacts


def _check_origin(summary_path: Path, summary: Any, role: str, path: Path, record: FileRecord) -> None:
    try:
        recorded = summary["provenance"][role]["sha256"]
    except (KeyError, TypeError):
        raise UserError(
            f"{summary_path} does not say in provenance.{role} what it was made from; score again."
        ) from None
    if recorded != record["sha256"]:
        raise UserError(f"{summary_path} was made from another {role} file than {path}; score again.")


def _check_model(artifacts: Artifacts, checkpoint: Path | None) -> None:
    if checkpoint is None and artifacts.imported is None:
        raise UserError(
            f"The predictions of {artifacts.evaluation.name} were not imported; name the folder of their model."
        )
    if checkpoint is None or artifacts.conversion is None:
        return
    path = Path(checkpoint) / CONVERSION
    missing = [key for key in ("identity", "inputs") if key not in artifacts.conversion]
    if missing:
        raise UserError(f"{path} has no {missing[0]}; convert the checkpoint again.")
    if artifacts.model_identity not in (None, artifacts.conversion["identity"]):
        raise UserError(
            f"{path} describes another model than the one that made the predictions of "
            f"{artifacts.evaluation.name}; segment again or give the model they came from."
        )
