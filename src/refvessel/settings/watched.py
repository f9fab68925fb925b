"""The configuration of a run that evaluates checkpoints of one training, made of that of a run of one of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refvessel.errors import UserError
from refvessel.settings.refinement_section import TUNING_SPLIT
from refvessel.settings.whole import Settings


def watched_model(settings: Settings, name: str | None) -> str:
    """The model of which checkpoints are watched: the one that is named, else the only one that is trained.

    Raises UserError where none can be watched, or several could.
    """
    trained = [key for key, model in settings.models.items() if model.checkpoint is not None]
    if name is not None and name not in trained:
        raise UserError(
            f"models.{name} has no checkpoint, in whose place those of the work folder come; give "
            f"{' or '.join(trained) or 'a model that has one'}."
        )
    if name is None and len(trained) != 1:
        raise UserError(
            f"{len(trained)} of the models have a checkpoint, in whose place those of the work folder come; "
            "choose one with --name."
        )
    return name or trained[0]


def watched_dataset(settings: Settings, model: str, name: str | None) -> str:
    """The data set on which checkpoints of a model are evaluated: the one that is named, else that of the model.

    Raises UserError where there is none, or several are.
    """
    evaluated = [each.dataset for each in settings.evaluations if each.model == model]
    known = list(dict.fromkeys(evaluated)) or [*settings.datasets]
    if name is not None and name not in settings.datasets:
        raise UserError(f"datasets has no {name}; --dataset may be {', '.join(settings.datasets)}.")
    if name is None and len(known) != 1:
        raise UserError(f"there are {', '.join(known)}; choose a data set with --dataset.")
    return name or known[0]


def configuration_of(
    settings: Settings, model: str, dataset: str, checkpoints: Mapping[str, Path]
) -> dict[str, Any]:
    """The configuration that evaluates these checkpoints on the validation split, all that see alike at once.

    What would be settled on that very split is left at its default.

    Args:
        settings: those of a run.
        model: a key of its models.
        dataset: a key of its data sets.
        checkpoints: name -> what stands in the place of the model's checkpoint.
    """
    whole = settings.canonical()
    like = whole["models"][model]
    whole["models"] = {name: like | {"checkpoint": str(path)} for name, path in checkpoints.items()}
    whole["datasets"] = {dataset: whole["datasets"][dataset]}
    whole["evaluations"] = [
        {"model": name, "dataset": dataset, "split": TUNING_SPLIT} for name in checkpoints
    ]
    if isinstance(settings.refinement.threshold, str):
        del whole["refinement"]["threshold"]
    whole["inference"]["together"] = settings.inference.device_map is None and (
        settings.inference.gpus_per_job == 1 or settings.inference.device == "cpu"
    )
    for each in whole["models"].values():
        each["home"] = None  # other data sets are not there
    return whole
