"""Whose configuration a run has, and what another way of writing it changes: nothing."""

import os
import shutil
import signal
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from snakemakes import run_snakemake

from refvessel.demo.annotations import write_labelme_folder

ROOT = Path(__file__).resolve().parents[2]
NOTHING = "Nothing to be done"
TREE = "results/datasets/demo"


def runner(folder):
    """A function that runs Snakemake in an empty folder, as README says it: the profile is found by itself."""
    folder.mkdir()

    def run(*arguments, cwd=folder):
        done = run_snakemake(["--snakefile", str(ROOT / "Snakefile"), *arguments, "--cores", "2"], cwd)
        return done.returncode, done.stdout + done.stderr

    run.folder = folder
    return run


@pytest.fixture
def run(tmp_path):
    return runner(tmp_path / "run")


def configuration(folder):
    """A configuration with a data set of the demo's name, which says little of it."""
    write_labelme_folder(output=folder / "frames", patients=range(2), frames=1)
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    dataset = {"format": "labelme", "root": str(folder / "frames"), "single_split": "test"}
    return {
        "models": {"mine": {"folder": str(model)}},
        "datasets": {"demo": dataset | {"patient_pattern": r"(?P<patient>.+)_f\d+$"}},
        "evaluations": [{"model": "mine", "dataset": "demo", "split": "test"}],
    }


@pytest.fixture
def config(tmp_path):
    return configuration(tmp_path)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """The data set of a configuration converted once: the runner, the configuration, and what was told."""
    folder = tmp_path_factory.mktemp("converted")
    run, config = runner(folder / "run"), configuration(folder)
    config["datasets"]["demo"]["phrases"] = {"vessel": "blood vessel", "catheter": "catheter"}
    code, told = run(TREE, "--configfile", written(config, folder / "my.yaml"))
    assert code == 0, told
    return run, config, told


def written(config, path):
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return str(path)


def phrases(folder):
    return yaml.safe_load((folder / "datasets/demo/dataset.json").read_text())["phrases"]


def test_the_users_configuration_inherits_nothing_of_the_demo(run, config, tmp_path):
    """The demo's data set of this name has phrases of its own and asks for what an image does not show."""
    shutil.copy(ROOT / "config.yaml", run.folder)  # where Snakemake itself would merge it
    for annotation in (tmp_path / "frames").glob("*.json"):
        annotation.write_text(annotation.read_text().replace('"catheter"', '"vessel"'))
    mine = written(config, tmp_path / "my.yaml")
    code, told = run(TREE, "--configfile", mine)
    assert code == 0, told
    assert phrases(run.folder / "results") == {"vessel": 2}


def test_a_run_in_the_project_and_one_elsewhere_plan_the_same(run, config, tmp_path):
    mine = written(config, tmp_path / "my.yaml")
    plans = [
        run("--dry-run", "--quiet", "host", "--configfile", mine, *directory, cwd=cwd)
        for cwd, directory in ((run.folder, []), (ROOT, ["--directory", str(tmp_path / "other")]))
    ]
    for code, told in plans:
        assert code == 0, told
        assert "generate_demo_angiograms" not in told
        assert "convert_dataset           1" in told


def test_without_a_configuration_the_demo_is_planned_from_any_folder(run):
    code, told = run("--dry-run", "--config", "pathvars={results: my_results}")
    assert code == 0, told
    assert "generate_demo_angiograms" in told
    assert "my_results/demo/angiograms" in told
    assert str(ROOT / "data/demo/iter_200.pth") in told
    assert " results/" not in told


def test_values_of_the_command_line_are_laid_over_the_file_with_their_types(run, config, tmp_path):
    mine = written(config, tmp_path / "my.yaml")
    changes = ["inference={shards: 3, flips: true}", "pathvars={results: my_results}"]
    code, told = run("--dry-run", "--configfile", mine, "--config", *changes)
    assert code == 0, told
    assert "my_results/predictions/mine/demo/test/shards/3-of-3.jsonl" in told
    code, told = run("--dry-run", "--configfile", mine, "--config", "inference={flips: perhaps}")
    assert code != 0
    assert "config: inference.flips: 'perhaps' is not of type 'boolean'" in told


def test_another_order_of_keys_and_stated_defaults_rerun_nothing(converted, tmp_path):
    run, config, _ = converted
    config = deepcopy(config)

    def turned(value):
        return {key: turned(value[key]) for key in reversed(value)} if isinstance(value, dict) else value

    config["datasets"]["demo"] |= {"include_empty": False, "split_seed": 1.0, "near_duplicates": 56}
    code, told = run(TREE, "--dry-run", "--configfile", written(turned(config), tmp_path / "turned.yaml"))
    assert code == 0, told
    assert NOTHING in told


def test_mistakes_are_told_together_before_anything_runs(run, config, tmp_path):
    config["models"]["mine"]["folder"] = "nowhere"
    config["evaluations"][0]["split"] = "val"
    code, told = run("--configfile", written(config, tmp_path / "my.yaml"))
    assert code != 0
    assert "config: models.mine.folder (nowhere) names no folder that exists" in told
    assert "evaluations.0.split is 'val', which datasets.demo will not have; it will have test" in told
    assert not (run.folder / "results").exists()


def test_the_reason_of_a_failure_is_told_once_and_last(run, config, tmp_path):
    for annotation in (tmp_path / "frames").glob("*.json"):
        annotation.write_text(annotation.read_text().replace('"catheter"', '"balloon"'))
    config["datasets"]["demo"]["phrases"] = {"vessel": "blood vessel"}
    code, told = run(TREE, "--configfile", written(config, tmp_path / "my.yaml"))
    assert code != 0
    assert told.count("refvessel: ") == 1
    assert (
        "has no phrase" in told.partition("refvessel: ")[2]
        or ".refvessel" in told.partition("refvessel: ")[2]
    )
    assert "WorkflowError" not in told.partition("refvessel: ")[2]


def test_the_console_says_how_many_gpus_images_and_patients_were_found(converted):
    _, _, told = converted
    assert "GPUs found: " in told
    assert "demo: 2 images, 4 expressions, 2 patients (test 2)" in told


def test_after_a_hard_kill_the_same_command_works_and_nothing_is_left(run, config, tmp_path):
    arguments = [TREE, "--configfile", written(config, tmp_path / "my.yaml")]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *arguments]
    datasets = run.folder / "results/datasets"
    with subprocess.Popen(
        [*command, "--cores", "2"], cwd=run.folder, stdout=-3, stderr=-3, start_new_session=True
    ) as killed:
        while not list(datasets.glob(".demo.*")):
            assert killed.poll() is None
            time.sleep(0.02)
        os.killpg(killed.pid, signal.SIGKILL)
    assert list((run.folder / ".snakemake/locks").iterdir())
    assert list(datasets.glob(".demo.*"))
    code, told = run(*arguments)
    assert code == 0, told
    assert "The lock of a killed run was taken away." in told
    assert [path.name for path in datasets.iterdir()] == ["demo"]
