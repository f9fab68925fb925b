"""What is wrong with a run, as far as its configuration and a glance at the disk tell, before anything starts."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from refvessel.artifacts import CONVERSION
from refvessel.config import TUNING_SPLIT
from refvessel.dataset.conversion.phrases import require_phrases
from refvessel.dataset.patients.splits import DEFAULT_RATIOS, STATE_PATIENTS, SplitRule, require_split_name
from refvessel.dataset.patients.stated import PatientPattern, PatientTable
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers import WITHOUT_PATIENTS
from refvessel.dataset.readers.formats import read_records
from refvessel.dataset.readers.layouts import LAYOUTS
from refvessel.dataset.tree.expressions import selected_splits
from refvessel.errors import UserError
from refvessel.metrics.policy import SCORES, resolve_policy
from refvessel.metrics.probability import PROBABILITY_SCORES
from refvessel.predictions.identity import require_as_converted

# Paths of data are not told: they may name somebody, and Snakemake keeps what it prints.
_CHECK = "check the path, which is seen from the working directory"


def require_sound_run(config: Mapping[str, Any], *, results: Path, gpus: int | None) -> None:
    """Raise UserError with all that is wrong with a run, one sentence per line.

    Looked at are the models and data sets that are evaluated. Files are not opened, but for tables of patients and
    converted weights that were touched since.

    Args:
        config: as `checked_config` gives it; its paths are seen from the working directory.
        results: folder of all outputs; data below it may still have to be made.
        gpus: how many this machine has, None where jobs run elsewhere.
    """
    problems = [
        problem
        for name in _evaluated(config, "model")
        for problem in _problems_of_model(config["models"][name], f"models.{name}")
    ]
    for name in _evaluated(config, "model"):
        problems += _problems_of_converted(config["models"][name], results / "checkpoints" / name)
    for name in _evaluated(config, "dataset"):
        settings, output = config["datasets"][name], results / "datasets" / name
        problems += _problems_of_dataset(settings, f"datasets.{name}", results, output)
    problems += _problems_of_splits(config)
    problems += _problems_of_scores(config)
    problems += _problems_of_inference(config["inference"], gpus)
    if problems:
        raise UserError("\n".join(f"config: {problem}" for problem in problems))


def _evaluated(config: Mapping[str, Any], kind: str) -> list[str]:
    return sorted({evaluation[kind] for evaluation in config["evaluations"]})


def _problems_of_model(settings: Mapping[str, Any], where: str) -> Iterator[str]:
    for key in ("folder", "base_mllm"):
        if key in settings:
            path = Path(settings[key])
            yield from _problems_of_folder(path, f"{where}.{key} ({path})")
            if path.is_dir() and not (path / "config.json").is_file():
                yield f"{where}.{key} ({path}) names a folder without config.json; name the model's own."
    for key in ("sam2", "pretrained"):
        if path := settings.get(key):
            yield from _problems_of_file(Path(path), f"{where}.{key} ({path})")
    if "checkpoint" in settings and not (path := Path(settings["checkpoint"])).exists():
        yield f"{where}.checkpoint ({path}) names nothing that exists; {_CHECK}."


def _problems_of_converted(settings: Mapping[str, Any], converted: Path) -> Iterator[str]:
    """Snakemake does not see that a file in a folder that it made was overwritten; a linked one is linked anew."""
    if "folder" not in settings and (converted / CONVERSION).is_file():
        yield from _refusal(str(converted), lambda: require_as_converted(converted))


def _problems_of_dataset(
    settings: Mapping[str, Any], where: str, results: Path, output: Path
) -> Iterator[str]:
    root = Path(settings["root"])
    if root.exists() or not root.resolve().is_relative_to(results.resolve()):
        yield from _problems_of_folder(root, f"{where}.root")
    real_root, real_output = root.resolve(), output.resolve()
    if real_output.is_relative_to(real_root) or real_root.is_relative_to(real_output):
        yield f"{where}.root and the output {output} lie in one another; change pathvars.results."
    for key in ("patients", "trained_on"):
        if settings[key]:
            yield from _problems_of_file(Path(settings[key]), f"{where}.{key}")
    if settings["pseudonymise"] and Path(settings["key_file"]).is_dir():
        yield f"{where}.key_file names a folder; name the file of the key, which is made where it is absent."
    if settings["patients"] and settings["patient_pattern"] is not None:
        yield f"{where}: patient_pattern and patients are both given; leave one out."
    yield from _refusal(where, lambda: _split_rule(settings))
    yield from _problem_of_patients(settings, where)
    if settings["patient_pattern"] is not None:
        yield from _refusal(where, lambda: PatientPattern(settings["patient_pattern"]))
    if settings["phrases"] is not None:
        yield from _refusal(where, lambda: require_phrases(settings["phrases"]))
    yield from _refusal(
        where, lambda: read_records(settings["format"], root, settings["options"], Problems())
    )


def _problem_of_patients(settings: Mapping[str, Any], where: str) -> Iterator[str]:
    """What conversion would refuse, for formats whose data never say who is on an image."""
    several = settings["single_split"] is None and len(settings["splits"] or DEFAULT_RATIOS) > 1
    stated = settings["patient_pattern"] or settings["patients"]
    if settings["format"] in WITHOUT_PATIENTS and several and not stated:
        yield (
            f"{where} is divided into splits, and nothing says who is on its images; {STATE_PATIENTS}, or put "
            "everything into one split (single_split)."
        )


def _problems_of_folder(path: Path, where: str) -> Iterator[str]:
    if not path.exists():
        yield f"{where} names no folder that exists; {_CHECK}."
    elif not path.is_dir():
        yield f"{where} names a file; name the folder."


def _problems_of_file(path: Path, where: str) -> Iterator[str]:
    if not path.exists():
        yield f"{where} names no file that exists; {_CHECK}."
    elif path.is_dir():
        yield f"{where} names a folder; name the file."


def _problems_of_splits(config: Mapping[str, Any]) -> Iterator[str]:
    for number, evaluation in enumerate(config["evaluations"]):
        name, split = evaluation["dataset"], evaluation["split"]
        where = f"evaluations.{number}.split"
        unusable = [*_refusal(where, lambda split=split: require_split_name(split))]
        absent = _problem_of_split(config["datasets"][name], name, split, f"{where} is {split!r}")
        yield from unusable or absent
    if isinstance(config["refinement"]["threshold"], str):
        for name in _evaluated(config, "dataset"):
            why = f"refinement.threshold is tuned on the split {TUNING_SPLIT!r}"
            yield from _problem_of_split(config["datasets"][name], name, TUNING_SPLIT, why)


def _problem_of_split(settings: Mapping[str, Any], name: str, split: str, why: str) -> Iterator[str]:
    try:
        splits = _splits(settings)
    except UserError:  # which is told elsewhere
        return
    if splits is not None and not selected_splits(split, splits):
        yield (
            f"{why}, which datasets.{name} will not have; it will have {', '.join(sorted(splits))}: "
            "evaluate one of those, or change its splits or single_split."
        )


def _splits(settings: Mapping[str, Any]) -> set[str] | None:
    """The splits that a data set will have; None where the data say."""
    if settings["single_split"] is not None:
        return {settings["single_split"]}
    pattern, table = settings["patient_pattern"], settings["patients"]
    if pattern is not None and "(?P<split>" in pattern:
        return None
    stated = PatientTable(Path(table)).splits if table else set()
    if stated and None not in stated:
        return stated
    if settings["splits"] is None:
        own = _own_splits(settings)
        if own is None:
            return None
        stated = stated | own
    return {split for split in stated if split} | set(_split_rule(settings).effective_ratios)


def _own_splits(settings: Mapping[str, Any]) -> set[str] | None:
    """The splits that the form of the data brings, none for most; None where the data say."""
    options = settings["options"]
    if "layout" in options:
        options = LAYOUTS.get(options["layout"], ("", {}))[1] | options
    templates = [options.get(key) or "" for key in ("images", "annotations")]
    return None if settings["format"] == "refcoco" or any("{split" in each for each in templates) else set()


def _split_rule(settings: Mapping[str, Any]) -> SplitRule:
    return SplitRule(settings["single_split"], settings["splits"])


def _problems_of_scores(config: Mapping[str, Any]) -> Iterator[str]:
    yield from _refusal("scores.empty_cases", lambda: resolve_policy(config["scores"]["empty_cases"]))
    for score in config["scores"]["compared"]:
        if score not in SCORES:
            yield f"scores.compared names {score!r}, which is no score; choose among {', '.join(SCORES)}."
        elif score in PROBABILITY_SCORES and not config["inference"]["save_logits"]:
            yield f"scores.compared names {score!r}, which needs stored logits; set inference.save_logits."


def _problems_of_inference(inference: Mapping[str, Any], gpus: int | None) -> Iterator[str]:
    question = inference["question"]
    if question.count("<image>") != 1 or question.count("{phrase}") != 1:
        yield f"inference.question: {question!r} must hold <image> and {{phrase}} once each; add them."
    if gpus is None or inference["device"] == "cpu":
        return
    if inference["device"] == "cuda" and not gpus:
        yield "inference.device is 'cuda', but this machine shows no GPU; leave it out, or give cpu."
    elif 0 < gpus < inference["gpus_per_job"]:
        yield (
            f"inference.gpus_per_job is {inference['gpus_per_job']}, but this machine shows {gpus} "
            f"GPU{'s' * (gpus > 1)}; lower it."
        )


def _refusal(where: str, check: Callable[[], object]) -> Iterator[str]:
    """What `check` says against it."""
    try:
        check()
    except UserError as error:
        yield f"{where}: {error}"
