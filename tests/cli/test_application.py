"""The command line as a whole."""

import os
import subprocess
import sys
from importlib import metadata

import pytest

COMMANDS = [
    "convert-checkpoint",
    "link-checkpoint",
    "compare-checkpoints",
    "inspect",
    "convert-dataset",
    "check-privacy",
    "segment",
    "caption",
    "predict",
    "gather",
    "tune-threshold",
    "refine",
    "score",
    "score-official",
    "score-sequences",
    "compare-sequences",
    "compare",
    "report",
    "status",
    "doctor",
    "run",
    "workflow",
]


def refvessel(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "refvessel.cli", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_it_tells_its_version():
    assert refvessel("--version") == f"refvessel {metadata.version('refvessel')}\n"


def test_the_help_names_every_command():
    told = refvessel("--help")
    assert not [command for command in COMMANDS if command not in told]


@pytest.mark.parametrize("command", [[], ["segment"], ["convert-dataset"], ["status"]])
def test_the_help_shows_no_type_beside_an_option_without_a_value(command):
    told = refvessel(*command, "--help", COLUMNS="120")
    assert "--help" in told
    assert "bool" not in told.lower()


def test_shells_complete_commands():
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv[0] = 'refvessel'; from refvessel.cli import main; main()",
        ],
        env=os.environ
        | {"_REFVESSEL_COMPLETE": "complete_bash", "COMP_WORDS": "refvessel con", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert told.split() == ["convert-checkpoint", "convert-dataset"]
