"""What a glance at the configuration and the disk tells is told before anything starts."""

import csv
from pathlib import Path

import pytest
import yaml

from refvessel.errors import UserError
from refvessel.preflight import require_sound_run
from refvessel.settings.checked import checked_config

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A configuration of which everything exists, seen from its folder."""
    monkeypatch.chdir(tmp_path)
    for folder in ("model", "base", "angiograms"):
        Path(folder).mkdir()
    for file in ("model/config.json", "base/config.json", "sam2.pt", "iter_9.pth"):
        Path(file).write_text("{}")
    layers = {"base_mllm": "base", "sam2": "sam2.pt", "checkpoint": "iter_9.pth"}
    return {
        "models": {"official": {"folder": "model"}, "tuned": layers},
        "datasets": {"angio": {"format": "labelme", "root": "angiograms", "single_split": "test"}},
        "evaluations": [
            {"model": "official", "dataset": "angio", "split": "test"},
            {"model": "tuned", "dataset": "angio", "split": "test"},
        ],
    }


def check(config, gpus=0):
    require_sound_run(checked_config(config), results=Path("results"), gpus=gpus)


def refusal(config, gpus=0) -> str:
    with pytest.raises(UserError) as error:
        check(config, gpus)
    return str(error.value)


def test_a_run_of_which_everything_exists_passes(run):
    check(run)


@pytest.mark.parametrize(
    ("layer", "path", "sentence"),
    [
        (("official", "folder"), "models", "models.official.folder (models) names no folder that exists"),
        (("official", "folder"), "sam2.pt", "models.official.folder (sam2.pt) names a file; name the folder"),
        (
            ("official", "folder"),
            "angiograms",
            "models.official.folder (angiograms) names a folder without config.json",
        ),
        (("tuned", "base_mllm"), "bass", "models.tuned.base_mllm (bass) names no folder that exists"),
        (("tuned", "sam2"), "base", "models.tuned.sam2 (base) names a folder; name the file"),
        (("tuned", "sam2"), "sam3.pt", "models.tuned.sam2 (sam3.pt) names no file that exists"),
        (
            ("tuned", "pretrained"),
            "Sa2VA.pth",
            "models.tuned.pretrained (Sa2VA.pth) names no file that exists",
        ),
        (
            ("tuned", "checkpoint"),
            "iter_8.pth",
            "models.tuned.checkpoint (iter_8.pth) names nothing that exists",
        ),
    ],
)
def test_layers_that_are_absent_or_of_another_kind_are_named(run, layer, path, sentence):
    model, key = layer
    run["models"][model][key] = path
    assert sentence in refusal(run)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"root": "angiogram"}, "datasets.angio.root names no folder that exists"),
        ({"root": "sam2.pt"}, "datasets.angio.root names a file; name the folder"),
        ({"root": "."}, "lie in one another"),
        ({"patients": "who.csv"}, "datasets.angio.patients names no file that exists"),
        ({"trained_on": "angiograms"}, "datasets.angio.trained_on names a folder; name the file"),
        ({"patient_pattern": r"(\d+"}, "is not a regular expression"),
        ({"patient_pattern": r"\d+"}, "has no group (?P<patient>...)"),
        (
            {"patient_pattern": "(?P<patient>.)", "patients": "sam2.pt"},
            "patient_pattern and patients are both",
        ),
        ({"splits": {"test": 1}}, "splits and single_split are both given"),
        (
            {
                "single_split": None,
                "splits": {"train": 0.5, "test": 0.4},
                "patient_pattern": "(?P<patient>.+)",
            },
            "the ratios add up to 0.9",
        ),
        ({"format": "nifti"}, "datasets.angio: The format 'nifti' is unknown; choose one of: coco, dicom"),
        ({"phrases": {}}, "datasets.angio: phrases"),
        ({"phrases": {"vessel": None}}, "datasets.angio: phrases"),
        ({"phrases": {1: "vessel"}}, "the label 1 is not text; write it in quotes"),
        ({"phrases": {"vessel": " "}}, "the label 'vessel' has a phrase without text"),
        ({"phrases": {"vessel": "<image> vessel"}}, "the phrase of 'vessel' holds <image>"),
        ({"key_file": "."}, "datasets.angio.key_file names a folder"),
        ({"options": {"layout": "drive"}}, "The layout 'drive' is of the format 'masks'"),
        ({"options": {"threshold": 3}}, "The format 'labelme' has no option 'threshold'"),
    ],
)
def test_settings_of_data_that_cannot_be_are_named(run, settings, sentence):
    run["datasets"]["angio"] |= settings
    assert sentence in refusal(run)


@pytest.mark.parametrize(
    ("settings", "split", "will_have"),
    [
        ({"single_split": "test"}, "val", "test"),
        ({"single_split": None, "splits": {"train": 0.8, "val": 0.2}}, "test", "train, val"),
        ({"single_split": None, "splits": {"testA": 0.5, "val": 0.5}}, "testB", "testA, val"),
        ({"single_split": None}, "testA", "test, train, val"),
        ({"single_split": None, "patients": "all.csv"}, "test", "train, val"),
        ({"single_split": None, "patients": "some.csv"}, "testC", "test, train, val"),
        (
            {"single_split": None, "patients": "some.csv", "splits": {"testA": 1}},
            "train",
            "testA, val",
        ),
    ],
)
def test_a_split_that_no_image_will_be_in_is_refused_with_those_that_there_will_be(
    run, settings, split, will_have
):
    for name, splits in (("all.csv", ("train", "val")), ("some.csv", ("val", ""))):
        with Path(name).open("w", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(["image", "patient", "split"])
            rows.writerows([f"{split}_1.png", f"p{split}", split] for split in splits)
    run["datasets"]["angio"] |= settings
    run["evaluations"][1]["split"] = split
    for evaluation in run["evaluations"]:
        evaluation["split"] = split
    assert f"which datasets.angio will not have; it will have {will_have}:" in refusal(run)


@pytest.mark.parametrize(
    ("settings", "split"),
    [
        (
            {"single_split": None, "splits": {"testA": 0.5, "val": 0.5}},
            "test",
        ),  # as the official loader selects
        ({"single_split": None, "splits": {"testAB": 0.5, "val": 0.5}}, "testA"),
        ({"single_split": None, "patient_pattern": "(?P<split>a|b)_(?P<patient>.)"}, "testB"),
        ({"single_split": None, "format": "refcoco"}, "testB"),
        ({"single_split": None, "format": "masks", "options": {"layout": "fives"}}, "testB"),
    ],
)
def test_a_split_that_there_may_be_passes(run, settings, split):
    run["datasets"]["angio"] |= {"patient_pattern": "(?P<patient>.+)"} | settings
    for evaluation in run["evaluations"]:
        evaluation["split"] = split
    check(run)


@pytest.mark.parametrize("splits", [None, {"val": 0.5, "test": 0.5}])
def test_splits_of_patients_that_nothing_states_are_refused_before_work(run, splits):
    run["datasets"]["angio"] |= {"single_split": None, "splits": splits}
    assert "datasets.angio is divided into splits, and nothing says who" in refusal(run)
    for remedy in ({"splits": None, "single_split": "test"}, {"patient_pattern": "(?P<patient>.+)"}):
        check(run | {"datasets": {"angio": run["datasets"]["angio"] | remedy}})


def test_the_split_that_a_threshold_is_tuned_on_must_be_there_too(run):
    run["refinement"] = {"threshold": "dice"}
    run["inference"] = {"save_logits": True}
    assert "refinement.threshold is tuned on the split 'val', which datasets.angio will not have" in refusal(
        run
    )


@pytest.mark.parametrize(
    ("section", "settings", "gpus", "sentence"),
    [
        ("inference", {"device": "cuda"}, 0, "inference.device is 'cuda', but this machine shows no GPU"),
        ("inference", {"gpus_per_job": 4}, 2, "gpus_per_job is 4, but this machine shows 2 GPUs; lower it"),
        ("inference", {"question": "Segment {phrase}."}, 0, "must hold <image> and {phrase} once each"),
        ("scores", {"compared": ["dise"]}, 0, "scores.compared names 'dise', which is no score"),
        ("scores", {"compared": ["auc"]}, 0, "scores.compared names 'auc', which needs stored logits"),
        ("scores", {"empty_cases": {"dise": {}}}, 0, "names the score 'dise'"),
        ("scores", {"empty_cases": {"dice": {"both_empty": 2}}}, 0, "has 2 for dice.both_empty"),
    ],
)
def test_what_this_machine_or_the_scores_do_not_have_is_named(run, section, settings, gpus, sentence):
    run[section] = settings
    assert sentence in refusal(run, gpus)


@pytest.mark.parametrize(("settings", "gpus"), [({"device": "cuda"}, None), ({"gpus_per_job": 4}, 0)])
def test_gpus_of_other_machines_are_not_judged(run, settings, gpus):
    run["inference"] = settings
    check(run, gpus)


def test_all_mistakes_are_told_at_once_and_unused_entries_do_not_matter(run):
    run["models"]["unused"] = {"folder": "nowhere"}
    run["datasets"]["unused"] = {"format": "labelme", "root": "nowhere"}
    check(run)
    run["models"]["official"]["folder"] = "nowhere"
    run["datasets"]["angio"]["root"] = "elsewhere"
    lines = refusal(run).splitlines()
    assert len(lines) == 2
    assert all(line.startswith("config: ") for line in lines)


def test_data_that_the_workflow_makes_need_not_be_there_yet(run):
    run["datasets"]["angio"]["root"] = "results/demo/angiograms"
    check(run)


def test_the_demos_own_configuration_is_sound():
    root = ROOT
    config = yaml.safe_load((root / "config.yaml").read_text())
    for dataset in config["datasets"].values():
        dataset["root"] = dataset["root"].replace("<results>", "results")
    for name in ("vesselness", "annotator"):
        model = config["models"][name]
        model["predictions"] = model["predictions"].replace("<results>", "results")
    for layer in ("base_mllm", "sam2", "checkpoint"):
        config["models"]["demo"][layer] = str(root / config["models"]["demo"][layer])
    check(config)
