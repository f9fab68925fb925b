"""Files that appear whole or not at all."""

import os
import re
import subprocess
import sys

import pytest

from refvessel.errors import UserError
from refvessel.files import atomic_directory, atomic_file, read_json, sweep


@pytest.mark.parametrize("writer", [atomic_file, atomic_directory])
def test_a_place_that_may_not_be_written_is_named(writer, tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="out could not be written"),
        writer(tmp_path / "file/out"),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("writer", [atomic_file, atomic_directory])
def test_a_folder_without_permission_is_named(writer, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"Permission denied"), writer(tmp_path / "out"):
        pass


@pytest.mark.parametrize("writer", [atomic_file, atomic_directory])
def test_an_error_of_the_writer_is_passed_on_and_leaves_nothing(writer, tmp_path):
    with pytest.raises(PermissionError), writer(tmp_path / "out"):
        raise PermissionError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["{", "[" * 200_000, "\udce9"])
def test_a_file_that_is_not_json_is_named(content, tmp_path):
    (tmp_path / "x.json").write_text(content, "utf-8", "surrogateescape")
    with pytest.raises(UserError, match=r"x\.json is not valid JSON"):
        read_json(tmp_path / "x.json")


def test_a_folder_in_place_of_a_json_file_is_named(tmp_path):
    with pytest.raises(UserError, match="could not be read"):
        read_json(tmp_path)


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
    monkeypatch.setattr("refvessel.files._HERE", "tmp-elsewhere")
    monkeypatch.setattr("refvessel.files._TEMPORARY", re.compile(r"\..+\.tmp-elsewhere\..*"))
    sweep(tmp_path)
    assert len(hidden(tmp_path)) == 2
