"""What the crate of a finished run holds, and the inputs of which it holds the hashes alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from refvessel import artifacts
from refvessel.errors import UserError
from refvessel.files import read_json, sha256_of_file
from refvessel.metrics.summary_file import read_summary
from refvessel.settings.whole import Settings

Role = Literal["configuration", "model", "data", "predictions", "scores", "comparisons", "report", "code"]
CONFIGURATION = "configuration.json"
_OF_SCORES = (
    *(artifacts.CASES, artifacts.BREAKS, artifacts.SUMMARY, artifacts.THRESHOLDS, artifacts.WORDS),
    *(artifacts.VIDEO, artifacts.VIDEO_CASES),
)
_OF_COMPARISON = (artifacts.COMPARISON, artifacts.RANKING, artifacts.VIDEO_COMPARISON)
_CODE = ("Snakefile", "workflow/common/*.smk", "workflow/rules/*.smk", "workflow/scripts/*.py")
_REMEDY = "run the workflow to its end before its crate is made"


@dataclass(frozen=True)
class Part:
    """A file of the crate: where it lies, its path in the crate, and what it is."""

    source: Path
    path: str
    role: Role


@dataclass(frozen=True)
class Input:
    """A file that was read and is not in the crate: `name` has no folders, which can identify a person."""

    name: str
    sha256: str
    bytes: int


def outputs(settings: Settings, results: Path) -> list[Part]:
    """The files that a finished run left: what its data became, predictions, scores, comparisons, the report.

    Raises UserError where one is missing, and where the report is not the one that its manifest describes.
    """
    parts = [
        *_of_data(settings),
        *_of_evaluations(settings),
        *_of_comparisons(settings),
        *_of_report(results),
    ]
    found = [
        Part(results / path, path, role)
        for path, role, needed in parts
        if needed or (results / path).is_file()
    ]
    if missing := next((part.source for part in found if not part.source.is_file()), None):
        raise UserError(f"{missing} does not exist; {_REMEDY}.")
    return found


def inputs(settings: Settings, results: Path) -> list[Input]:
    """The files that models were made of, as their conversions state them.

    Those of data sets stand, image by image, in the dataset.json that the crate holds; those of imported masks in
    the predictions.
    """
    found: list[Input] = []
    for model in _models_run(settings):
        path = results / artifacts.OF_CHECKPOINT.format(model=model) / artifacts.CONVERSION
        if path.is_file():  # else the folder was given as it is
            found += [_input(record) for record in read_json(path)["inputs"]]
    return list(dict.fromkeys(found))


def code(workflow: Path) -> list[Part]:
    """The workflow's files; `workflow` is the folder of its Snakefile."""
    paths = sorted(path for pattern in _CODE for path in workflow.glob(pattern))
    return [Part(path, path.relative_to(workflow).as_posix(), "code") for path in paths]


def names_published(settings: Settings) -> list[str]:
    """What the configuration calls its models, data sets and splits, and what it asks: published on purpose."""
    names = [*settings.models, *settings.datasets, *settings.entrants()]
    questions = [settings.inference.question]
    for each in settings.evaluations:
        names += [each.split, *each.questions]
        questions += each.questions.values()
    for entry in settings.entries():
        if entry.words is not None:
            questions += _texts(entry.words.model_dump())
    return [*names, *questions]


def versions_stated(settings: Settings, results: Path) -> dict[str, str]:
    """The software of the jobs that scored, as the first summary.json states it; empty without scores."""
    for each in settings.scored_entries():
        summary = read_summary(results / artifacts.OF_SCORES.format(**each.places) / artifacts.SUMMARY)
        versions: dict[str, str] = summary["provenance"]["versions"]
        return versions
    return {}


def _models_run(settings: Settings) -> list[str]:
    return sorted({each.entrant.model for each in settings.entries() if each.entrant.kind != "imported"})


def _of_data(settings: Settings) -> Iterator[tuple[str, Role, bool]]:
    for name in settings.evaluated("dataset"):
        yield f"{artifacts.OF_DATASET.format(dataset=name)}/{artifacts.DATASET}", "data", True
    for model in _models_run(settings):
        yield f"{artifacts.OF_CHECKPOINT.format(model=model)}/{artifacts.CONVERSION}", "model", False


def _of_evaluations(settings: Settings) -> Iterator[tuple[str, Role, bool]]:
    for each in settings.entries():
        yield (
            f"{artifacts.OF_PREDICTIONS.format(**each.places)}/{settings.scored_table()}",
            "predictions",
            True,
        )
    for each in settings.scored_entries():
        for name in _OF_SCORES:
            needed = name in (artifacts.CASES, artifacts.BREAKS, artifacts.SUMMARY)
            yield f"{artifacts.OF_SCORES.format(**each.places)}/{name}", "scores", needed


def _of_comparisons(settings: Settings) -> Iterator[tuple[str, Role, bool]]:
    for dataset, split in settings.compared_splits():
        for name in _OF_COMPARISON:
            folder = artifacts.OF_COMPARISON.format(dataset=dataset, split=split)
            yield f"{folder}/{name}", "comparisons", name != artifacts.VIDEO_COMPARISON
    if settings.away_from_home():
        yield artifacts.EXTERNAL, "comparisons", True


def _of_report(results: Path) -> Iterator[tuple[str, Role, bool]]:
    manifest = results / artifacts.OF_REPORT / artifacts.MANIFEST
    if not manifest.is_file():
        raise UserError(f"{manifest} does not exist; {_REMEDY}.")
    for name, record in read_json(manifest)["outputs"].items():
        path = manifest.parent / name
        if path.is_file() and sha256_of_file(path) != record["sha256"]:
            raise UserError(
                f"{path} is not the file that {manifest.name} describes; render the report again."
            )
        yield f"{artifacts.OF_REPORT}/{name}", "report", True
    yield f"{artifacts.OF_REPORT}/{artifacts.MANIFEST}", "report", True


def _input(record: Mapping[str, Any]) -> Input:
    return Input(str(record["name"]), str(record["sha256"]), int(record["bytes"]))


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.items() for each in item for text in _texts(each)]
    if isinstance(value, list | tuple):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []
