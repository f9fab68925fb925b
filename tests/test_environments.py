"""Conda environments and images, which no machine of ours can make: what can be said of them without."""

import re
import subprocess
import sys
from pathlib import Path

import environments
import pytest
import yaml
from packaging.specifiers import SpecifierSet

import refvessel
from refvessel.settings.checked import checked_config
from refvessel.yaml_text import parse_yaml

ROOT = Path(__file__).resolve().parents[1]
RULES = "".join(path.read_text("utf-8") for path in sorted((ROOT / "workflow").rglob("*.smk")))
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
DEFINITION = (ROOT / "refvessel.def").read_text("utf-8")
PINS = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if "==" in line
)


def environment(kind: str) -> tuple[list[str], list[str]]:
    """What Conda installs, and what pip does."""
    *conda, pip = yaml.safe_load((environments.FOLDER / f"{kind}.yaml").read_text("utf-8"))["dependencies"]
    return conda, pip["pip"]


def section(name: str) -> list[str]:
    """The lines of a section of the definition."""
    text = re.search(rf"^%{name}\n((?: +.*\n)+)", DEFINITION, re.MULTILINE)
    assert text
    return [line.strip() for line in text[1].splitlines()]


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("kind", environments.KINDS)
def test_an_environment_pins_what_is_tested(kind):
    _, packages = environment(kind)
    pins = dict(each.split("==") for each in packages if not each.startswith("--"))
    assert pins.pop("refvessel") == refvessel.__version__
    assert pins == {name: PINS[name] for name in pins}
    assert {"torch", "transformers", "snakemake", "numpy", "pandas", "pyarrow"} <= pins.keys()


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="what is needed differs by version of Python")
@pytest.mark.parametrize("path", environments.environments())
def test_an_environment_is_not_stale(path):
    assert path.read_text("utf-8") == environments.environments()[path], "run python tools/environments.py"


def test_the_environments_differ_in_the_build_of_pytorch_alone():
    (conda, cpu), (same, cuda) = environment("cpu"), environment("cuda")
    assert conda == same
    assert cpu == ["--extra-index-url https://download.pytorch.org/whl/cpu", *cuda]


def test_every_rule_names_an_environment_and_those_that_run_models_the_one_for_gpus():
    rules = re.split(r"(?m)^ *(?=(?:rule|checkpoint)\b[^\n]*:$)", RULES)[1:]
    with_script = {re.search(r"scripts/(\w+)\.py\"", rule)[1]: rule for rule in rules if "script:" in rule}
    named = {name: re.search(r"conda:\n +(\S+)", rule)[1] for name, rule in with_script.items()}
    assert {"segment_shard", "segment_sequences"} == {
        name for name, conda in named.items() if conda == "ENVIRONMENT_OF_MODELS"
    }
    assert set(named.values()) == {"ENVIRONMENT_OF_MODELS", '"../../envs/cpu.yaml"'}


def test_both_images_are_made_alike():
    assert [f"From: {instructions('FROM')[0]}"] == re.findall("^From: .*", DEFINITION, re.MULTILINE)
    copied = [name for line in instructions("COPY") for name in line.split()[:-1]]
    workdir = instructions("WORKDIR")[0]
    assert section("files") == [f"{name} {workdir}/{name}" for name in copied]
    system, make = instructions("RUN")
    assert section("post") == [system, f"cd {workdir}", make]
    assert section("environment") == [f"export {instructions('ENV')[0]}"]


def test_an_image_is_made_by_the_command_that_make_runs_for_everybody():
    _, command = instructions("RUN")
    told = subprocess.run(
        [*command.replace(".venv", "/nowhere").split(), "--dry-run", "VENV=/nowhere"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    installed = [line for line in told.splitlines() if "pip install" in line]
    assert all("--constraint constraints.txt" in line for line in installed)
    assert installed[-1].endswith('--editable "."')


def test_images_and_environments_have_one_python_that_the_package_allows():
    (version,) = re.findall(r"^FROM python:(\S+)-slim$", DOCKERFILE, re.MULTILINE)
    conda, _ = environment("cpu")
    assert f"python ={version}" in conda
    (allowed,) = re.findall('requires-python = "(.+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert SpecifierSet(allowed).contains(version)


def test_the_catalogue_is_told_what_the_rules_have():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text("utf-8"))["usage"]
    snakefile = (ROOT / "Snakefile").read_text("utf-8")
    deployment = usage["software-stack-deployment"]
    assert deployment == {"conda": "conda:" in RULES, "apptainer": "\ncontainer:" in snakefile}
    assert usage["report"] is ("report(" in RULES)


def test_the_configuration_that_is_deployed_is_a_valid_one():
    checked_config(parse_yaml((ROOT / "config/config.yaml").read_text("utf-8"), "config.yaml"))
