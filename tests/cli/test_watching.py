"""Checkpoints are evaluated as training leaves them: each once, those that are new together, a bad one alone."""

import json
import os
import time
from pathlib import Path

import pytest
import yaml

from refvessel.artifacts import CURVE_TABLE, WATCH_CONFIG, WATCHED
from refvessel.cli import watching
from refvessel.cli.section_options import read_settings
from refvessel.cli.watching import Watching
from refvessel.errors import UserError
from refvessel.settings.checked import checked_config

ROOT = Path(__file__).resolve().parents[2]
LONG_AGO = time.time() - 3600


@pytest.fixture
def work_dir(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def leave(work_dir, demo_layers):
    """A function with which training leaves a checkpoint of a step."""

    def leave(step: int, content: bytes | None = None) -> None:
        path = work_dir / f"iter_{step}.pth"
        path.unlink(missing_ok=True)
        path.write_bytes(demo_layers["checkpoint"].read_bytes() if content is None else content)
        os.utime(path, (LONG_AGO + step,) * 2)

    return leave


@pytest.fixture
def runs(monkeypatch):
    """What the workflow was asked for, run by run; it fails where a model's name is among `bad`."""
    asked, bad = [], set()

    def run(command):
        wanted = [Path(each) for each in command if each.endswith("summary.json")]
        names = [path.parents[2].name for path in wanted]
        asked.append(names)
        if bad & {*names}:
            return 1
        for path, name in zip(wanted, names, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            means = {
                f"{score}_patient_mean{end}": int(name.rpartition("_")[2]) / 10_000
                for score in ("dice", "cldice", "nsd")
                for end in ("", "_low", "_high")
            }
            path.write_text(json.dumps(means | {"n_expressions": 6, "n_patients": 3, "n_failed": 0}))
        return 0

    monkeypatch.setattr(watching, "_run", run)
    return asked, bad


@pytest.fixture
def watch(tmp_path, work_dir):
    """A function that looks once, as a command of its own would; the names of what failed."""
    results = tmp_path / "results"

    def look(**changes) -> list[str]:
        settings = read_settings(ROOT / "config.yaml", [f"pathvars.results={results}"])
        settings = checked_config(settings.canonical() | changes)
        given = {"model": "demo", "dataset": "demo", "cores": "1", "workflow_profile": None}
        return Watching(settings, **given, arguments=[]).look(work_dir)

    look.folder = results / "watch/demo/demo"
    return look


def test_new_checkpoints_are_evaluated_together_and_each_once(leave, runs, watch):
    leave(200)
    leave(1000)
    assert watch() == []
    assert watch() == []
    leave(2000)
    assert watch() == []
    asked, _ = runs
    assert asked == [["demo-iter_200", "demo-iter_1000"], ["demo-iter_2000"]]
    table = (watch.folder / CURVE_TABLE).read_text().splitlines()
    assert [row.partition(",")[0] for row in table[1:]] == [
        "demo-iter_200",
        "demo-iter_1000",
        "demo-iter_2000",
    ]


def test_the_run_is_that_of_the_configuration_with_checkpoints_in_the_place_of_its_own(
    leave, runs, watch, work_dir
):
    leave(200)
    watch(
        refinement={"threshold": "dice"},
        inference={"save_logits": True, "gpus_per_job": 1, "batch_size": 3},
    )
    config = yaml.safe_load((watch.folder / WATCH_CONFIG).read_text())
    assert [*config["models"]] == ["demo-iter_200"]
    assert config["models"]["demo-iter_200"]["checkpoint"] == str(work_dir / "iter_200.pth")
    assert config["models"]["demo-iter_200"]["base_mllm"].endswith("base_mllm")
    (evaluation,) = checked_config(config).evaluations
    assert (evaluation.model, evaluation.dataset, evaluation.split) == ("demo-iter_200", "demo", "val")
    settings = checked_config(config)
    assert settings.inference.together
    assert settings.inference.batch_size == 3
    assert not isinstance(settings.refinement.threshold, str)  # nothing is tuned on what is evaluated


def test_a_checkpoint_that_fails_is_tried_by_itself_and_again_once_it_has_changed(leave, runs, watch):
    asked, bad = runs
    bad.add("demo-iter_1000")
    leave(200)
    leave(1000)
    assert watch() == ["demo-iter_1000"]
    assert asked == [["demo-iter_200", "demo-iter_1000"], ["demo-iter_200"], ["demo-iter_1000"]]
    assert [*json.loads((watch.folder / WATCHED).read_text())] == ["demo-iter_200"]
    bad.clear()
    leave(1000)
    assert watch() == []
    assert asked[-1] == ["demo-iter_1000"]


def test_a_checkpoint_that_is_written_anew_is_evaluated_anew(leave, runs, watch, demo_layers):
    leave(200)
    watch()
    leave(200, demo_layers["sam2"].read_bytes())
    watch()
    asked, _ = runs
    assert asked == [["demo-iter_200"]] * 2


def test_half_a_checkpoint_waits_and_a_work_folder_may_be_empty(leave, runs, watch, demo_layers, capsys):
    assert watch() == []
    leave(300, demo_layers["checkpoint"].read_bytes()[:1_000_000])
    assert watch() == ["demo-iter_300"]
    assert "demo-iter_300 is not taken: " in capsys.readouterr().err
    assert runs[0] == []


def test_what_is_watched_must_be_clear(watch):
    settings = read_settings(ROOT / "config.yaml", [])
    given = {"cores": None, "workflow_profile": None, "arguments": []}
    with pytest.raises(UserError, match=r"models\.annotator has no checkpoint"):
        Watching(settings, model="annotator", dataset=None, **given)
    with pytest.raises(UserError, match="datasets has no elsewhere"):
        Watching(settings, model=None, dataset="elsewhere", **given)
    other = settings.canonical()
    other["models"]["later"] = other["models"]["demo"]
    with pytest.raises(UserError, match="2 of the models have a checkpoint"):
        Watching(checked_config(other), model=None, dataset=None, **given)
