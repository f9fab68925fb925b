"""The workflow's configuration, checked against its schema before anything starts."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError, validators

from refvessel.dataset.readers import FORMATS, WITHOUT_PATIENTS
from refvessel.dataset.splits import DEFAULT_RATIOS, STATE_PATIENTS
from refvessel.errors import UserError
from refvessel.inference.spreading import stated_memory

MODEL_THRESHOLD = 0.5  # of the masks that the model's own code makes
TUNING_SPLIT = "val"


def checked_config(config: Mapping[str, Any], schema: Path) -> dict[str, Any]:
    """The configuration with the schema's defaults filled in.

    Raises UserError, naming the key and the remedy, for an unknown key, a missing one, a value of another type,
    an unknown format, splits of images of which nobody says who is on them, an evaluation of a model or data set
    that is not described, settings of a spread model that exclude each other, a threshold without the logits that
    it needs, or one that would be tuned on what it is evaluated on.
    """
    validator = _FillingValidator(yaml.safe_load(Path(schema).read_text("utf-8")))
    complete = _plain(config)
    for error in validator.iter_errors(complete):
        raise UserError(f"config: {_sentence(error)}.")
    _require_described(complete)
    _require_known_formats(complete)
    _require_stated_patients(complete)
    _require_folders_as_they_are(complete)
    _require_consistent_spreading(complete["inference"])
    _require_fair_threshold(complete)
    return complete


def _require_described(config: dict[str, Any]) -> None:
    for number, evaluation in enumerate(config["evaluations"]):
        for kind in ("model", "dataset"):
            if (name := evaluation[kind]) not in config[f"{kind}s"]:
                raise UserError(
                    f"config: evaluations.{number}.{kind} is {name!r}, which {kind}s does not describe."
                )


def _require_known_formats(config: dict[str, Any]) -> None:
    for name, dataset in config["datasets"].items():
        if dataset["format"] not in FORMATS:
            raise UserError(
                f"config: datasets.{name}.format: {dataset['format']!r} is not one of: {', '.join(FORMATS)}."
            )


def _require_stated_patients(config: dict[str, Any]) -> None:
    """What conversion would refuse, for formats whose data never say who is on an image."""
    for name, dataset in config["datasets"].items():
        several = dataset["single_split"] is None and len(dataset["splits"] or DEFAULT_RATIOS) > 1
        stated = dataset["patient_pattern"] or dataset["patients"]
        if dataset["format"] in WITHOUT_PATIENTS and several and not stated:
            raise UserError(
                f"config: datasets.{name} is divided into splits, and nothing says who is on its images; "
                f"{STATE_PATIENTS}, or put everything into one split (single_split)."
            )


def _require_folders_as_they_are(config: dict[str, Any]) -> None:
    for name, model in config["models"].items():
        for key in ("overrides", "leave_out", "pretrained"):
            if "folder" in model and model[key]:
                raise UserError(
                    f"config: models.{name} has a folder, which is used as it is; remove its {key}."
                )


def _require_consistent_spreading(inference: dict[str, Any]) -> None:
    names = ("device_map", "max_memory", "gpus_per_job", "device", "compiled")
    try:
        stated_memory(**{name: inference[name] for name in names})
    except UserError as error:
        raise UserError(f"config: inference.{error}") from None


def _require_fair_threshold(config: dict[str, Any]) -> None:
    threshold = config["refinement"]["threshold"]
    if threshold != MODEL_THRESHOLD and not config["inference"]["save_logits"]:
        raise UserError(
            f"config: refinement.threshold is {threshold!r}, which needs stored logits; set inference.save_logits."
        )
    if isinstance(threshold, str):
        for number, evaluation in enumerate(config["evaluations"]):
            if evaluation["split"] == TUNING_SPLIT:
                raise UserError(
                    f"config: evaluations.{number}.split is {TUNING_SPLIT!r}, on which refinement.threshold is "
                    "tuned; evaluate another split or give a number."
                )


def _sentence(error: ValidationError) -> str:
    where = ".".join(map(str, error.absolute_path)) or "the file"
    if error.validator == "oneOf":
        alternatives = " or ".join(" + ".join(each["required"]) for each in error.validator_value)
        return f"{where} must have either {alternatives}"
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = sorted(key for key in error.instance if key not in known)
        return f"{where} has the unknown key {unknown[0]!r}; known are {', '.join(known)}"
    return f"{where}: {error.message}"


def _fill_defaults(validator: Any, properties: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for key, subschema in properties.items():
            if "default" in subschema:
                instance.setdefault(key, subschema["default"])
    yield from Draft202012Validator.VALIDATORS["properties"](validator, properties, instance, schema)


_FillingValidator = validators.extend(Draft202012Validator, {"properties": _fill_defaults})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
