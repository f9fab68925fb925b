"""What was being written when its process was killed is swept; what is being written is not."""

import re
import subprocess
import sys

import pytest

from refvessel.files import atomic_directory, atomic_file
from refvessel.temporaries import sweep

WRITER = """
import time
from pathlib import Path
from refvessel.files import atomic_directory, atomic_file
with atomic_directory(Path("tree")) as tree, atomic_file(Path("table.csv")) as table:
    (tree / "image.png").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writer(tmp_path):
    """A process that writes a folder and a file."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_what_a_killed_process_was_writing_is_swept_and_what_a_living_one_writes_is_not(tmp_path, writer):
    (tmp_path / ".tree.mine").mkdir()  # a hidden folder of somebody else
    sweep(tmp_path)
    assert len(hidden(tmp_path)) == 3
    writer.kill()
    writer.wait()
    sweep(tmp_path.parent)
    assert hidden(tmp_path) == [".tree.mine"]


def test_the_next_writer_of_a_path_sweeps_what_a_killed_one_left(tmp_path, writer):
    for kill in (False, True):
        if kill:
            writer.kill()
            writer.wait()
        with atomic_directory(tmp_path / "tree") as tree:
            (tree / "image.png").write_bytes(b"whole")
        with atomic_file(tmp_path / "table.csv") as table:
            table.write_text("a,b")
        assert len(hidden(tmp_path)) == (0 if kill else 2)
    assert (tmp_path / "tree/image.png").read_bytes() == b"whole"


def test_what_another_machine_writes_is_not_swept(tmp_path, writer, monkeypatch):
    writer.kill()
    writer.wait()
    monkeypatch.setattr("refvessel.temporaries._HERE", "tmp-elsewhere")
    monkeypatch.setattr("refvessel.temporaries._NAME", re.compile(r"\..+\.tmp-elsewhere\..*"))
    sweep(tmp_path)
    assert len(hidden(tmp_path)) == 2
