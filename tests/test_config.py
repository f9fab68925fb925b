"""The workflow's configuration is checked before anything starts."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from refvessel.errors import UserError
from refvessel.settings import checked
from refvessel.settings.inference_section import Inference

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "workflow/schemas/config.schema.json"


def checked_config(config, command_line=None):
    """As the workflow sees it: JSON-like data."""
    return checked.checked_config(config, command_line).canonical()


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def test_the_default_file_states_every_key_and_default_of_the_schema(config):
    optional = ("inference", "refinement", "scores")
    filled = checked_config({key: config[key] for key in config if key not in optional})
    assert filled["inference"] == config["inference"]
    assert filled["refinement"] == config["refinement"]
    assert filled["scores"] == config["scores"]


def test_every_key_of_the_schema_has_a_description():
    schema = json.loads(SCHEMA.read_text())

    def undescribed(node, path=""):
        for key, value in node.get("properties", {}).items():
            described = value.get("description") or schema["$defs"][value["$ref"].rpartition("/")[2]]
            if not described:
                yield f"{path}.{key}"
            yield from undescribed(value, f"{path}.{key}")

    assert not list(undescribed(schema))
    assert not [key for node in schema["$defs"].values() for key in undescribed(node)]


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("inferense",), {}, "unknown key 'inferense'"),
        (("inference", "shard"), 3, "unknown key 'shard'"),
        (("models", "demo", "lora"), 8, "unknown key 'lora'"),
        (("inference", "shards"), 10**9, "inference.shards: 1000000000 is greater than the maximum"),
        (("inference", "shards"), 0, "inference.shards: 0 is less than the minimum of 1"),
        (
            ("evaluations", 0, "model"),
            "other",
            "evaluations.0.model is 'other', which models does not describe",
        ),
        (
            ("refinement", "threshold"),
            1.0,
            "refinement.threshold: 1.0 is greater than or equal to the maximum",
        ),
        (("inference", "device_map"), "balanced", "inference.device_map: 'balanced' is not one of"),
        (("inference", "language_weights"), "int4", "inference.language_weights: 'int4' is not one of"),
        (
            ("inference", "max_memory"),
            {0: "20GiB"},
            "config: inference.max_memory is of a model that is spread",
        ),
        (
            ("refinement", "threshold"),
            "recall",
            "threshold: 'recall' is neither a number nor one of dice, iou",
        ),
        (("models", "a b"), {"folder": "x"}, "'a b' does not match"),
        (
            ("models", "demo", "folder"),
            "x",
            "models.demo must have either folder or base_mllm + checkpoint",
        ),
    ],
)
def test_a_wrong_key_or_value_is_named_in_one_sentence(config, path, value, sentence):
    wrong = copy.deepcopy(config)
    node = wrong
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(UserError) as error:
        checked_config(wrong)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"max_memory": {"gpu0": "20GiB"}},
            "inference.max_memory names 'gpu0', but the job has 0, cpu; name",
        ),
        (
            {"max_memory": {2: "20GiB"}, "gpus_per_job": 2},
            "max_memory names 2, but the job has 0, 1, cpu; name",
        ),
        ({"max_memory": {0: 20}}, "inference.max_memory: 0 is 20, which is no size; write it like 20GiB"),
        ({"max_memory": {0: "20GiB"}, "device": "cpu"}, "max_memory names 0, but the job has cpu; name"),
        ({"compiled": True}, "inference.compiled needs the whole model on one GPU"),
    ],
)
def test_settings_of_a_spread_model_that_cannot_be_are_named_in_one_sentence(config, settings, sentence):
    config["inference"] |= {"device_map": "auto", "max_memory": {0: "20GiB", "cpu": "40GiB"}}
    checked_config(config)
    config["inference"] |= settings
    with pytest.raises(UserError) as error:
        checked_config(config)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_threshold_without_logits_is_refused(config):
    config["refinement"]["threshold"] = 0.4
    with pytest.raises(
        UserError, match=r"refinement\.threshold is 0\.4, which needs stored logits; set inference"
    ):
        checked_config(config)
    config["inference"]["save_logits"] = True
    checked_config(config)


def test_a_split_is_not_evaluated_at_the_threshold_that_is_tuned_on_it(config):
    config["inference"]["save_logits"] = True
    config["refinement"]["threshold"] = "dice"
    checked_config(config)
    config["evaluations"].append({"model": "demo", "dataset": "demo", "split": "val"})
    with pytest.raises(
        UserError, match=r"evaluations\.5\.split is 'val', on which refinement\.threshold is tuned"
    ):
        checked_config(config)


@pytest.mark.parametrize(
    ("key", "value"),
    [("overrides", {"template": "phi3_chat"}), ("leave_out", ["*"]), ("pretrained", "x.pth")],
)
def test_what_changes_a_conversion_is_refused_beside_a_folder(config, key, value):
    config["models"]["demo"] = {"folder": "somewhere", key: value}
    with pytest.raises(UserError, match=f"used as it is; remove its {key}"):
        checked_config(config)


def test_checking_leaves_the_given_configuration_as_it_was(config):
    before = copy.deepcopy(config)
    checked_config(config)
    assert config == before


def test_the_order_of_keys_the_writing_of_numbers_and_stated_defaults_change_nothing(config):
    plain = checked_config(config)

    def turned(value):
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return float(value) if type(value) is int else value

    assert repr(checked_config(turned(config))) == repr(plain)
    for section in ("inference", "refinement", "scores"):
        del config[section]
    for name in ("overrides", "leave_out", "dtype", "pretrained"):
        del config["models"]["demo"][name]
    for name in ("options", "target", "split_seed", "crossing_outlines", "key_file", "trained_on"):
        del config["datasets"]["demo"][name]
    assert repr(checked_config(config)) == repr(plain)


def test_values_of_the_command_line_have_the_types_of_a_file(config):
    """Snakemake reads what stands in `key='{...}'` as text."""
    given = {
        "inference": {
            "flips": "true",
            "shards": "3",
            "draft": "null",
            "device": "cpu",
            "max_new_tokens": "64",
        },
        "refinement": {"smallest_hole": "9", "threshold": "0.5"},
        "scores": {"empty_cases": {"dice": {"both_empty": "null"}, "iou": {"both_empty": "0.5"}}},
        "datasets": {"demo": {"phrases": {"vessel": "2", "catheter": "null"}, "splits": {"test": "0.8"}}},
        "evaluations": [{"model": "demo", "dataset": "demo", "split": "test"}],
    }

    def laid_over(value, over):
        if not isinstance(over, dict):
            return over
        return value | {key: laid_over(value.get(key, {}), each) for key, each in over.items()}

    checked = checked_config(laid_over(config, given), given)
    inference = checked["inference"]
    assert (inference["flips"], inference["shards"], inference["draft"]) == (True, 3, None)
    assert (inference["device"], inference["max_new_tokens"]) == ("cpu", 64)
    assert checked["refinement"] == {"smallest_component": 0, "smallest_hole": 9, "threshold": 0.5}
    assert checked["scores"]["empty_cases"] == {"dice": {"both_empty": None}, "iou": {"both_empty": 0.5}}
    assert checked["datasets"]["demo"]["phrases"] == {"catheter": None, "vessel": "2"}
    assert checked["datasets"]["demo"]["splits"]["test"] == 0.8


def test_a_text_in_a_file_stays_a_text(config):
    config["inference"]["flips"] = "true"
    with pytest.raises(UserError, match=r"inference\.flips: 'true' is not of type 'boolean'"):
        checked_config(config, {"inference": {"shards": "3"}})


def test_aliases_that_blow_a_small_file_up_are_refused(config):
    laughs = ["ha"]
    for _ in range(40):
        laughs = [laughs] * 10
    config["models"]["demo"]["leave_out"] = laughs
    with pytest.raises(UserError, match="more than 100000 values"):
        checked_config(config)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (
            ("scores", "nsd_tolerance"),
            float("nan"),
            "config.scores.nsd_tolerance is nan; give a finite number",
        ),
        (
            ("scores", "nsd_tolerance"),
            float("inf"),
            "config.scores.nsd_tolerance is inf; give a finite number",
        ),
        (("inference", True), 1, "unknown key True"),  # `yes: 1`, `on: 1`
        (("scores", "empty_cases", "dice", "both_empty"), "none", "'none' is neither a number nor one of"),
        (("pathvars", "result"), "x", "pathvars has the unknown key 'result'; known are results, logs"),
        (("datasets", "demo", "root"), None, "datasets.demo.root: None is not of type 'string'"),
    ],
)
def test_values_that_yaml_allows_and_nobody_means_are_named(config, path, value, sentence):
    node = config
    for key in path[:-1]:
        node = node.setdefault(key, {})
    node[path[-1]] = value
    with pytest.raises(UserError) as error:
        checked_config(config)
    assert sentence in str(error.value)


def test_a_missing_key_is_named(config):
    del config["datasets"]["demo"]["format"]
    with pytest.raises(UserError, match=r"config: datasets\.demo has no format; add it\."):
        checked_config(config)


def test_reading_settings_loads_nothing_heavy():
    told = subprocess.run(
        [sys.executable, "-c", "import sys, refvessel.settings.checked; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"torch", "transformers", "pandas", "pyarrow", "numpy"} & {*told}


def test_settings_that_change_no_result_are_not_among_those_that_rerun():
    others = Inference(threads=8, batch_size=3, draft=None, compiled=True, max_failures=9, save_logits=True)
    assert others.result_settings() == Inference().result_settings()
    assert Inference(flips=True).result_settings() != Inference().result_settings()
