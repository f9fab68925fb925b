"""RefVessel as a module of other workflows: of a local folder, and as snakedeploy writes it, from a repository."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from snakemakes import run_snakemake

from refvessel.demo.annotations import write_labelme_folder

ROOT = Path(__file__).resolve().parents[2]

WITH_A_RULE_AFTER_IT = f"""
configfile: "config.yaml"

module refvessel:
    snakefile: "{ROOT}/Snakefile"
    config: config["refvessel"]

use rule * from refvessel as refvessel_*

rule count_words:
    input: rules.refvessel_all.input
    output: "words.txt"
    shell: "wc -w {{input[0]}} > {{output}}"
"""
# What snakedeploy 0.17 wrote for this repository, but for its name.
DEPLOYED = """
from snakemake.utils import min_version

min_version("6.10.0")

configfile: "config/config.yaml"

module refvessel:
    snakefile:
        github("somebody/refvessel", path="Snakefile", tag="v1")
    config:
        config

use rule * from refvessel
"""
OF_A_REPOSITORY = ("Snakefile", "config.yaml", "envs", "workflow")


@pytest.fixture
def config(tmp_path):
    """A configuration whose paths are seen from the folder `work`, where the data lie."""
    work = tmp_path / "work"
    write_labelme_folder(output=work / "frames", patients=[0], frames=1)
    (work / "model").mkdir()
    (work / "model/config.json").write_text("{}")
    return {
        "models": {"mine": {"folder": "model"}},
        "datasets": {"mine": {"format": "labelme", "root": "frames", "single_split": "test"}},
        "evaluations": [{"model": "mine", "dataset": "mine", "split": "test"}],
    }


def plan(folder: Path, *arguments: str) -> str:
    """What a dry run tells."""
    done = run_snakemake([*arguments, "--dry-run", "--cores", "1"], folder)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "not present in the Snakefile" not in told
    return told


def numbers_of_jobs(told: str) -> dict[str, str]:
    """Rule -> how many of its jobs a dry run tells."""
    return dict(re.findall(r"^(\w+) +(\d+)$", told, re.MULTILINE))


def test_a_workflow_imports_it_renames_its_rules_and_goes_on_after_it_in_any_folder(config, tmp_path):
    """Relative paths of data are seen from --directory, that of the Snakefile from where it is started."""
    (tmp_path / "outer.smk").write_text(WITH_A_RULE_AFTER_IT)
    inner = config | {"pathvars": {"results": "of_refvessel"}, "inference": {"shards": 2}}
    (tmp_path / "work/config.yaml").write_text(yaml.safe_dump({"other": 1, "refvessel": inner}))
    told = plan(
        tmp_path, "words.txt", "--snakefile", "outer.smk", "--directory", "work", "--config", "other=null"
    )
    jobs = numbers_of_jobs(told)
    assert jobs["refvessel_segment_shard"] == "2"
    assert jobs["refvessel_render_report"] == jobs["count_words"] == "1"
    assert not (tmp_path / ".snakemake").exists()


def test_a_rule_after_it_gets_what_its_rules_made(config, tmp_path):
    """Of masks that are imported, so that no model need be asked."""
    inner = config | {
        "models": {"mine": {"predictions": "frames", "format": "labelme"}},
        "pathvars": {"results": "of_refvessel"},
        "scores": {"bootstrap_draws": 100, "ceiling_sample": 0},
    }
    scored = "of_refvessel/scores/mine/mine/test/summary.json"
    snakefile = WITH_A_RULE_AFTER_IT.replace("rules.refvessel_all.input", f'"{scored}"')
    (tmp_path / "outer.smk").write_text(snakefile)
    (tmp_path / "work/config.yaml").write_text(yaml.safe_dump({"refvessel": inner}))
    command = ["words.txt", "--snakefile", "outer.smk", "--directory", "work", "--cores", "1"]
    done = run_snakemake(command, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    words = len((tmp_path / "work" / scored).read_text().split())
    assert (tmp_path / "work/words.txt").read_text() == f"{words} {scored}\n"
    assert {each.name for each in tmp_path.iterdir()} == {"outer.smk", "work"}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """The workflow in a repository, which Git takes for one of GitHub's."""
    source = tmp_path / "hub/somebody/refvessel"
    for name in OF_A_REPOSITORY:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        source.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, source / name)
    identity = {
        f"GIT_{who}_{what}": "somebody" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    for command in (["init"], ["add", "."], ["commit", "--message", "all"], ["tag", "v1"]):
        subprocess.run(
            ["git", *command], cwd=source, env=os.environ | identity, capture_output=True, check=True
        )
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.file://{tmp_path}/hub/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def apptainer(tmp_path, monkeypatch):
    """A program of that name, which tells its version and can do nothing else."""
    program = tmp_path / "bin/apptainer"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo apptainer version 1.3.4\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


def test_as_snakedeploy_writes_it_it_runs_from_a_repository_and_takes_values_of_the_command_line(
    config, repository, apptainer, tmp_path
):
    """And its jobs run in the image that is named there."""
    work = tmp_path / "work"
    for folder in ("config", "workflow"):
        (work / folder).mkdir()
    (work / "config/config.yaml").write_text(yaml.safe_dump(config))
    (work / "workflow/Snakefile").write_text(DEPLOYED)
    values = ["inference={flips: true, shards: 3}", "pathvars={image: docker://somebody/refvessel:1}"]
    told = plan(work, "--software-deployment-method", "apptainer", "--config", *values)
    jobs = numbers_of_jobs(told)
    assert jobs["segment_shard"] == "3"
    assert jobs["convert_dataset"] == jobs["all"] == "1"
    assert "Singularity image docker://somebody/refvessel:1 will be pulled." in told


def test_a_prefix_under_which_it_would_not_find_the_data_is_refused(config, tmp_path):
    snakefile = WITH_A_RULE_AFTER_IT.replace("    config:", '    prefix: "below"\n    config:')
    (tmp_path / "outer.smk").write_text(snakefile)
    (tmp_path / "work/config.yaml").write_text(yaml.safe_dump({"refvessel": config}))
    failed = run_snakemake(["--snakefile", "../outer.smk", "--dry-run", "--cores", "1"], tmp_path / "work")
    assert failed.returncode != 0
    assert "takes no prefix" in failed.stdout + failed.stderr
