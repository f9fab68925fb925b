"""All looks together."""

from collections.abc import Iterable
from pathlib import Path

from refvessel.doctor.finding import Finding
from refvessel.doctor.machine_checks import (
    look_at_disk,
    look_at_folders,
    look_at_gpus,
    look_at_memory,
    look_at_versions,
)
from refvessel.doctor.profile_checks import look_at_profile, runs_elsewhere
from refvessel.errors import UserError
from refvessel.files import read_yaml
from refvessel.jobs.gpus import usable_gpus
from refvessel.jobs.needs import memory_mb, size_mb
from refvessel.preflight import require_sound_run
from refvessel.settings.checked import checked_config
from refvessel.settings.whole import PathVariables, Settings


def examine(*, config: Path | None, profile: Path | None, results: Path | None) -> list[Finding]:
    """What can be known before a run about the machine, the configuration and the profile.

    Args:
        config: configuration of the run; None: the machine alone is looked at.
        profile: folder of a Snakemake profile; None: jobs run on this machine.
        results: folder of the outputs; None: the one that the configuration says, or its default.

    Raises:
        UserError: where the profile cannot be read.
    """
    elsewhere = profile is not None and runs_elsewhere(profile)
    settings, of_configuration = _look_at_configuration(config, results, elsewhere=elsewhere)
    inference = settings.inference if settings else None
    place = results or Path((settings.pathvars if settings else PathVariables()).results)
    here = [look_at_versions()]
    if not elsewhere:  # else this machine's GPUs and memory do not count
        here += [look_at_gpus(inference), look_at_memory(memory_mb("segment", _layers(settings), 1))]
    here += [look_at_disk(place, _size_of_results(settings)), look_at_folders(place)]
    with_gpu = inference is None or inference.device != "cpu"
    there = look_at_profile(profile, with_gpu=with_gpu) if profile else []
    return [*here, *of_configuration, *there]


def _look_at_configuration(
    config: Path | None, results: Path | None, *, elsewhere: bool
) -> tuple[Settings | None, list[Finding]]:
    """The settings, where they can be read, and what is wrong with a run of them."""
    if config is None:
        return None, []
    settings = None
    try:
        settings = _with_folders(checked_config(read_yaml(config)), results)
        gpus = None if elsewhere else len(usable_gpus())
        require_sound_run(settings, results=Path(settings.pathvars.results), gpus=gpus)
    except UserError as error:
        sentences = str(error).replace("config: ", "").splitlines()
        return settings, [Finding("configuration", "failure", each) for each in sentences]
    evaluated = f"{len(settings.evaluations)} evaluations; what can be known to be wrong is not"
    return settings, [Finding("configuration", "fine", evaluated)]


def _with_folders(settings: Settings, results: Path | None) -> Settings:
    """The same with the folders that path variables stand for, as the workflow has them."""
    pathvars = settings.pathvars
    if results is not None:
        pathvars = pathvars.model_copy(update={"results": str(results)})
    models, datasets = dict(settings.models), dict(settings.datasets)
    for name, model in models.items():
        if model.predictions is not None:
            predictions = Path(pathvars.apply(str(model.predictions)))
            models[name] = model.model_copy(update={"predictions": predictions})
    for name, dataset in datasets.items():
        datasets[name] = dataset.model_copy(update={"root": Path(pathvars.apply(str(dataset.root)))})
    return settings.model_copy(update={"models": models, "datasets": datasets, "pathvars": pathvars})


def _layers(settings: Settings | None) -> list[Path]:
    """The files and folders that models are converted from, of all that are evaluated."""
    if settings is None:
        return []
    models = [settings.models[name] for name in settings.evaluated("model")]
    paths = [
        path for model in models for path in (model.folder, model.base_mllm, model.sam2, model.checkpoint)
    ]
    return [path for path in paths if path is not None and path.exists()]


def _size_of_results(settings: Settings | None) -> float:
    """About what converted models and data sets take, in megabytes."""
    if settings is None:
        return 0
    roots: Iterable[Path] = (settings.datasets[name].root for name in settings.evaluated("dataset"))
    return size_mb([*_layers(settings), *(root for root in roots if root.exists())])
