"""The wheel, built from what the image's recipe copies: commands and workflow for those who have no checkout."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import hatchling.build
import pytest
import yaml
from snakemake.cli import parse_args

import refvessel
from refvessel.cli import run_command
from refvessel.cli.app import app
from refvessel.demo.annotations import write_labelme_folder
from refvessel.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
OF_WORKFLOW = ("Snakefile", "config.yaml", "data/demo", "envs", "profiles", "workflow")


def copied_into_the_image() -> list[str]:
    """The files and folders that Dockerfile copies."""
    lines = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    return [name for line in lines for name in line.split()]


def files_below(*places: Path) -> set[Path]:
    found = {each for place in places for each in (place, *place.rglob("*")) if each.is_file()}
    return {each for each in found if "__pycache__" not in each.parts}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in copied_into_the_image():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(source)
        return folder / hatchling.build.build_wheel(str(folder))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """What is in it, as pip would lay it down."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def my(tmp_path, monkeypatch) -> Path:
    """A folder with a configuration whose paths are seen from there; the working directory."""
    write_labelme_folder(output=tmp_path / "frames", patients=[0], frames=1)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    config = {
        "models": {"mine": {"folder": "model"}},
        "datasets": {"mine": {"format": "labelme", "root": "frames", "single_split": "test"}},
        "evaluations": [{"model": "mine", "dataset": "mine", "split": "test"}],
    }
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_wheel_has_the_package_and_beside_it_the_workflow_and_nothing_else(installed):
    workflow = installed / "refvessel_workflow"
    assert {each.name.partition("-")[0] for each in installed.iterdir()} == {
        "refvessel",
        "refvessel_workflow",
    }
    pairs = [(ROOT / "src/refvessel", installed / "refvessel")]
    pairs += [(ROOT / name, workflow / name) for name in OF_WORKFLOW]
    wanted = {own / path.relative_to(place): path for place, own in pairs for path in files_below(place)}
    there = files_below(installed / "refvessel", workflow)
    assert there == wanted.keys()
    assert all(each.read_bytes() == path.read_bytes() for each, path in wanted.items())


def test_scripts_of_profiles_can_be_run_from_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        entries = {each.filename: each.external_attr >> 16 for each in archive.infolist()}
    scripts = [path for path in files_below(ROOT / "profiles") if path.stat().st_mode & 0o100]
    assert all(entries[f"refvessel_workflow/{path.relative_to(ROOT)}"] & 0o100 for path in scripts)


def test_a_run_from_the_wheel_finds_its_workflow_in_any_folder_and_needs_no_demo(installed, my):
    shutil.rmtree(installed / "refvessel_workflow/data")
    environment = os.environ | {"PYTHONPATH": str(installed)}
    command = [sys.executable, "-P", "-m", "refvessel.cli", "run", "--config", "my.yaml", "--dry-run"]
    done = subprocess.run(command, cwd=my, env=environment, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert f"profile {installed}/refvessel_workflow/profiles/default" in told
    planned = dict(re.findall(r"^(\w+) +(\d+)$", told, re.MULTILINE))
    assert {"convert_checkpoint", "convert_dataset", "segment_shard", "render_report"} <= planned.keys()


@pytest.fixture
def handed_over(monkeypatch):
    """A function: arguments of `refvessel run` -> what Snakemake makes of those that it is given."""

    def run(*arguments):
        given = []
        monkeypatch.setattr(os, "execv", lambda program, command: given.append((program, command)))
        app(["run", *arguments], standalone_mode=False)
        ((program, command),) = given
        assert command[:3] == [program, "-m", "snakemake"] == [sys.executable, "-m", "snakemake"]
        return parse_args(command[3:])[1]

    return run


def test_what_is_not_an_option_of_its_own_is_snakemakes(handed_over, my):
    given = handed_over("--config", "my.yaml", "results/report/index.html", "-n", "--resources", "gpu=2")
    assert Path(given.snakefile).samefile(ROOT / "Snakefile")
    assert [Path(each) for each in given.configfile] == [Path("my.yaml")]
    assert given.targets == ["results/report/index.html"]
    assert (given.dryrun, given.cores) == (True, os.cpu_count() or 1)


def test_a_profile_says_itself_where_jobs_run(handed_over, my):
    here = handed_over("--workflow-profile", "default", "--cores", "3")
    assert here.cores == 3
    elsewhere = handed_over("--workflow-profile", "default")
    assert elsewhere.cores is None
    assert not elsewhere.configfile


def test_a_configuration_that_is_not_there_is_told_before_anything_starts(my):
    with pytest.raises(UserError, match=r"--config other\.yaml names no file; check the path"):
        app(["run", "--config", "other.yaml"], standalone_mode=False)


def test_a_profile_of_the_workflow_is_found_by_its_name_and_one_of_the_user_before_it(my):
    assert run_command.profile_folder(Path("slurm")).samefile(ROOT / "profiles/slurm")
    Path("slurm").mkdir()
    assert run_command.profile_folder(Path("slurm")) == Path("slurm")
    assert run_command.profile_folder(Path("nowhere")) == Path("nowhere")


def test_a_package_without_its_workflow_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(refvessel, "__file__", str(tmp_path / "refvessel/__init__.py"))
    with pytest.raises(UserError, match="install refvessel anew"):
        run_command.workflow_folder()
