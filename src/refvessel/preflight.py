"""What is wrong with a run, as far as its configuration and a glance at the disk tell, before anything starts."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from refvessel.artifacts import CONVERSION
from refvessel.dataset.conversion.phrases import require_phrases
from refvessel.dataset.patients.splits import STATE_PATIENTS, SplitRule, require_split_name
from refvessel.dataset.patients.stated import PatientPattern, PatientTable
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers import WITHOUT_PATIENTS
from refvessel.dataset.readers.formats import read_records
from refvessel.dataset.tree.expressions import selected_splits
from refvessel.errors import UserError
from refvessel.metrics.border_calibration import FROM_LOGITS
from refvessel.metrics.policy import SCORES, resolve_policy
from refvessel.predictions.identity import require_as_converted
from refvessel.settings.dataset_section import DEFAULT_RATIOS, Dataset
from refvessel.settings.inference_section import Inference
from refvessel.settings.model_section import Model
from refvessel.settings.public_layouts import LAYOUTS
from refvessel.settings.refinement_section import TUNING_SPLIT
from refvessel.settings.whole import Settings

# Paths of data are not told: they may name somebody, and Snakemake keeps what it prints.
_CHECK = "check the path, which is seen from the working directory"


def require_sound_run(settings: Settings, *, results: Path, gpus: int | None) -> None:
    """Raise UserError with all that is wrong with a run, one sentence per line.

    Looked at are the models and data sets that are evaluated. Files are not opened, but for tables of patients and
    converted weights that were touched since.

    Args:
        settings: the whole configuration; its paths are seen from the working directory.
        results: folder of all outputs; data below it may still have to be made.
        gpus: how many this machine has, None where jobs run elsewhere.
    """
    problems = [
        problem
        for name in settings.evaluated("model")
        for problem in _problems_of_model(settings.models[name], f"models.{name}", results)
    ]
    for name in settings.evaluated("model"):
        problems += _problems_of_converted(settings.models[name], results / "checkpoints" / name)
    for name in settings.evaluated("dataset"):
        dataset, output = settings.datasets[name], results / "datasets" / name
        problems += _problems_of_dataset(dataset, f"datasets.{name}", results, output)
    problems += _problems_of_splits(settings)
    problems += _problems_of_scores(settings)
    problems += _problems_of_inference(settings.inference, gpus)
    if problems:
        raise UserError("\n".join(f"config: {problem}" for problem in problems))


def _problems_of_model(model: Model, where: str, results: Path) -> Iterator[str]:
    if model.predictions is not None:
        # What the workflow makes may still be to come; a path may name somebody, and is not told.
        made = model.predictions.resolve().is_relative_to(results.resolve())
        if not (made or model.predictions.exists()):
            yield f"{where}.predictions names nothing that exists; {_CHECK}."
        annotations = model.options.given().get("annotations")
        if annotations is not None:
            yield from _problems_of_file(annotations, f"{where}.options.annotations")
    for key, folder in (("folder", model.folder), ("base_mllm", model.base_mllm)):
        if folder is not None:
            yield from _problems_of_folder(folder, f"{where}.{key} ({folder})")
            if folder.is_dir() and not (folder / "config.json").is_file():
                yield f"{where}.{key} ({folder}) names a folder without config.json; name the model's own."
    for key, file in (("sam2", model.sam2), ("pretrained", model.pretrained)):
        if file is not None:
            yield from _problems_of_file(file, f"{where}.{key} ({file})")
    if model.checkpoint is not None and not model.checkpoint.exists():
        yield f"{where}.checkpoint ({model.checkpoint}) names nothing that exists; {_CHECK}."


def _problems_of_converted(model: Model, converted: Path) -> Iterator[str]:
    """Snakemake does not see that a file in a folder that it made was overwritten; a linked one is linked anew."""
    if model.checkpoint is not None and (converted / CONVERSION).is_file():
        yield from _refusal(str(converted), lambda: require_as_converted(converted))


def _problems_of_dataset(dataset: Dataset, where: str, results: Path, output: Path) -> Iterator[str]:
    root = dataset.root
    if root.exists() or not root.resolve().is_relative_to(results.resolve()):
        yield from _problems_of_folder(root, f"{where}.root")
    real_root, real_output = root.resolve(), output.resolve()
    if real_output.is_relative_to(real_root) or real_root.is_relative_to(real_output):
        yield f"{where}.root and the output {output} lie in one another; change pathvars.results."
    for key, file in (("patients", dataset.patients), ("trained_on", dataset.trained_on)):
        if file is not None:
            yield from _problems_of_file(file, f"{where}.{key}")
    if dataset.pseudonymise and dataset.key_file.is_dir():
        yield f"{where}.key_file names a folder; name the file of the key, which is made where it is absent."
    pattern, phrases = dataset.patient_pattern, dataset.phrases
    if dataset.patients is not None and pattern is not None:
        yield f"{where}: patient_pattern and patients are both given; leave one out."
    yield from _refusal(where, lambda: _split_rule(dataset))
    yield from _problem_of_patients(dataset, where)
    if pattern is not None:
        yield from _refusal(where, lambda: PatientPattern(pattern))
    if phrases is not None:
        yield from _refusal(where, lambda: require_phrases(phrases))
    options = dataset.options.given()
    yield from _refusal(where, lambda: read_records(dataset.format, root, options, Problems()))


def _problem_of_patients(dataset: Dataset, where: str) -> Iterator[str]:
    """What conversion would refuse, for formats whose data never say who is on an image."""
    several = dataset.single_split is None and len(dataset.splits or DEFAULT_RATIOS) > 1
    stated = dataset.patient_pattern or dataset.patients
    if dataset.format in WITHOUT_PATIENTS and several and not stated:
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


def _problems_of_splits(settings: Settings) -> Iterator[str]:
    for number, evaluation in enumerate(settings.evaluations):
        name, split = evaluation.dataset, evaluation.split
        where = f"evaluations.{number}.split"
        unusable = [*_refusal(where, partial(require_split_name, split))]
        absent = _problem_of_split(settings.datasets[name], name, split, f"{where} is {split!r}")
        yield from unusable or absent
        if evaluation.choose:
            why = f"evaluations.{number} chooses its question on the split {TUNING_SPLIT!r}"
            yield from _problem_of_split(settings.datasets[name], name, TUNING_SPLIT, why)
    if isinstance(settings.refinement.threshold, str):
        for name in settings.evaluated("dataset"):
            why = f"refinement.threshold is tuned on the split {TUNING_SPLIT!r}"
            yield from _problem_of_split(settings.datasets[name], name, TUNING_SPLIT, why)


def _problem_of_split(dataset: Dataset, name: str, split: str, why: str) -> Iterator[str]:
    try:
        splits = _splits(dataset)
    except UserError:  # which is told elsewhere
        return
    if splits is not None and not selected_splits(split, splits):
        yield (
            f"{why}, which datasets.{name} will not have; it will have {', '.join(sorted(splits))}: "
            "evaluate one of those, or change its splits or single_split."
        )


def _splits(dataset: Dataset) -> set[str] | None:
    """The splits that a data set will have; None where the data say."""
    if dataset.single_split is not None:
        return {dataset.single_split}
    pattern, table = dataset.patient_pattern, dataset.patients
    if pattern is not None and "(?P<split>" in pattern:
        return None
    stated = PatientTable(table).splits if table is not None else set()
    known = {split for split in stated if split is not None}
    if stated and None not in stated:
        return known
    if dataset.splits is None:
        own = _own_splits(dataset)
        if own is None:
            return None
        known |= own
    return known | set(_split_rule(dataset).effective_ratios)


def _own_splits(dataset: Dataset) -> set[str] | None:
    """The splits that the form of the data brings, none for most; None where the data say."""
    options = dataset.options.given()
    if "layout" in options:
        options = LAYOUTS.get(options["layout"], ("", {}))[1] | options
    templates = [options.get(key) or "" for key in ("images", "annotations")]
    return None if dataset.format == "refcoco" or any("{split" in each for each in templates) else set()


def _split_rule(dataset: Dataset) -> SplitRule:
    return SplitRule(dataset.single_split, dataset.splits, dataset.split_seed, dataset.split_by_frames)


def _problems_of_scores(settings: Settings) -> Iterator[str]:
    yield from _refusal("scores.empty_cases", lambda: resolve_policy(settings.scores.empty_cases))
    for score in settings.scores.compared:
        if score not in SCORES:
            yield f"scores.compared names {score!r}, which is no score; choose among {', '.join(SCORES)}."
        elif score in FROM_LOGITS and not settings.inference.save_logits:
            yield f"scores.compared names {score!r}, which needs stored logits; set inference.save_logits."
        elif score in FROM_LOGITS and (imported := _compared_imports(settings)):
            yield f"scores.compared names {score!r}, which models.{imported[0]}, imported, lacks; leave it out."


def _compared_imports(settings: Settings) -> list[str]:
    """The imported models that are compared with others."""
    compared = {name for split in settings.compared_splits() for name in settings.entrants_on(*split)}
    return sorted(compared & {name for name, model in settings.models.items() if model.is_imported})


def _problems_of_inference(inference: Inference, gpus: int | None) -> Iterator[str]:
    if gpus is None or inference.device == "cpu":
        return
    if inference.device == "cuda" and not gpus:
        yield "inference.device is 'cuda', but this machine shows no GPU; leave it out, or give cpu."
    elif 0 < gpus < inference.gpus_per_job:
        yield (
            f"inference.gpus_per_job is {inference.gpus_per_job}, but this machine shows {gpus} "
            f"GPU{'s' * (gpus > 1)}; lower it."
        )


def _refusal(where: str, check: Callable[[], object]) -> Iterator[str]:
    """What `check` says against it."""
    try:
        check()
    except UserError as error:
        yield f"{where}: {error}"
