"""The workflow's configuration, checked against its schema before anything starts.

What comes out is canonical: however keys are ordered, whole numbers written and defaults stated, equal settings
are equal to the letter, so that Snakemake reruns nothing for another way of writing them.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError, validators

from refvessel.dataset.readers import FORMATS
from refvessel.errors import UserError
from refvessel.inference.spreading import stated_memory

MODEL_THRESHOLD = 0.5  # of the masks that the model's own code makes
TUNING_SPLIT = "val"

_MOST_VALUES = 100_000


def checked_config(
    config: Mapping[str, Any], schema: Path, command_line: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The configuration with the schema's defaults filled in, in canonical form.

    Args:
        config: what the files and the command line say together.
        schema: the JSON schema, as YAML.
        command_line: what `--config` says. Snakemake reads the values inside of `key='{...}'` as text; here they
            get the types that they have in a file.

    Raises:
        UserError: names the key and the remedy, for an unknown key, a missing one, a value of another type, an
            unknown format, an evaluation of a model or data
            set that is not described, settings of a spread model that exclude each other, a threshold without
            the logits that it needs, or one that would be tuned on what it is evaluated on.
    """
    validator = _FillingValidator(yaml.safe_load(Path(schema).read_text("utf-8")))
    complete = _typed(_plain(config), command_line or {}, validator)
    for error in validator.iter_errors(complete):
        raise UserError(f"config: {_sentence(error)}.")
    complete = _canonical(complete)
    _require_described(complete)
    _require_known_formats(complete)
    _require_folders_as_they_are(complete)
    _require_consistent_spreading(complete["inference"])
    _require_fair_threshold(complete)
    return complete


def _typed(config: dict[str, Any], command_line: Mapping[str, Any], validator: Any) -> dict[str, Any]:
    """`config` with the texts of the command line read as YAML, where a text is not what the schema asks for."""
    texts = dict(_texts(command_line, ()))
    for path, text in texts.items():
        if text in ("null", "~"):
            _set(config, path, None)
    for error in [*validator.iter_errors(_plain(config))]:
        path = tuple(error.absolute_path)
        if path in texts and texts[path] == error.instance:
            with suppress(yaml.YAMLError):
                _set(config, path, yaml.safe_load(error.instance))
    return config


def _texts(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping | list):
        for key, each in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _texts(each, (*path, key))


def _set(config: Any, path: tuple[str | int, ...], value: Any) -> None:
    *parents, last = path
    for key in parents:
        config = config[key]
    config[last] = value


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
        unknown = sorted((key for key in error.instance if key not in known), key=str)
        return f"{where} has the unknown key {unknown[0]!r}; known are {', '.join(known)}"
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"{where} has no {missing[0]}; add it"
    return f"{where}: {error.message}"


def _fill_defaults(validator: Any, properties: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for key, subschema in properties.items():
            if "default" in subschema:
                instance.setdefault(key, _plain(subschema["default"]))
    yield from Draft202012Validator.VALIDATORS["properties"](validator, properties, instance, schema)


_FillingValidator = validators.extend(Draft202012Validator, {"properties": _fill_defaults})


def _plain(value: Any, seen: Iterator[int] | None = None) -> Any:
    """A copy in dicts and lists; raises UserError where aliases blow a small file up."""
    seen = count() if seen is None else seen
    if next(seen) > _MOST_VALUES:
        raise UserError(
            f"config: the file holds more than {_MOST_VALUES} values, aliases written out; write fewer."
        )
    if isinstance(value, Mapping):
        return {key: _plain(each, seen) for key, each in value.items()}
    return [_plain(each, seen) for each in value] if isinstance(value, list) else value


def _canonical(value: Any, where: str = "config") -> Any:
    """Keys in order, whole numbers as int; raises UserError for a number that is none."""
    if isinstance(value, dict):
        return {key: _canonical(value[key], f"{where}.{key}") for key in sorted(value, key=str)}
    if isinstance(value, list):
        return [_canonical(each, f"{where}.{number}") for number, each in enumerate(value)]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UserError(f"{where} is {value}; give a finite number.")
        return int(value) if value.is_integer() else value
    return value
