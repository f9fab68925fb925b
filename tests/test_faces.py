"""A room's face: the names that a user may import from it, each found when it is asked for and not before."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import refvessel
from refvessel.code import import_closure

PACKAGE = Path(refvessel.__file__).parent
ROOMS = (
    "checkpoint",
    "dataset",
    "evaluation",
    "inference",
    "jobs",
    "metrics",
    "model",
    "predictions",
    "privacy",
    "report",
)


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_face_is_there(room):
    face = import_module(f"refvessel.{room}")
    assert face.__all__
    for name in face.__all__:
        assert getattr(face, name) is not None


@pytest.mark.parametrize("room", ROOMS)
def test_no_name_of_a_face_is_a_modules_too(room):
    """Else what it means would depend on what was imported before."""
    names = set(import_module(f"refvessel.{room}").__all__)
    assert not names & {path.stem for path in (PACKAGE / room).iterdir()}


def test_a_face_loads_nothing_until_it_is_asked():
    program = (
        f"import sys, {', '.join(f'refvessel.{room}' for room in ROOMS)}\n"
        "print(*sorted({'numpy', 'pandas', 'pyarrow', 'torch', 'transformers'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_gathering_and_refining_load_neither_torch_nor_pandas():
    program = (
        "import sys, refvessel.predictions.gather, refvessel.predictions.refinement\n"
        "print(*sorted({'pandas', 'torch', 'transformers'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


@pytest.mark.parametrize("room", ROOMS)
def test_code_hashes_do_not_follow_a_face(room):
    closure = {path.relative_to(PACKAGE).as_posix() for path in import_closure(f"refvessel.{room}")}
    modules = {path for path in closure if path.endswith(".py")}
    assert modules == {f"{room}/__init__.py"}
