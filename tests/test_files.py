"""Files that appear whole or not at all."""

import os

import pytest

from refvessel.errors import UserError
from refvessel.files import atomic_directory, atomic_file, read_bytes, read_json, require_content
from refvessel.jobs.runs import refusals
from refvessel.workflow import logged


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


def test_a_folder_in_place_of_a_file_is_named_before_anything_is_written(tmp_path):
    (tmp_path / "folder").mkdir()
    refused = pytest.raises(UserError, match="folder is a folder, not a file to write")
    with refused, atomic_file(tmp_path / "folder"):
        pytest.fail("written")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


@pytest.mark.parametrize("writer", [atomic_file, atomic_directory])
def test_an_error_of_the_writer_is_passed_on_and_leaves_nothing(writer, tmp_path):
    with pytest.raises(PermissionError), writer(tmp_path / "out"):
        raise PermissionError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content", ["{", "[" * 200_000, "\udce9", "9" * 5000, r'["\ud83d"]', r'{"\udc00": 1}']
)
def test_a_file_that_is_not_json_is_named(content, tmp_path):
    (tmp_path / "x.json").write_text(content, "utf-8", "surrogateescape")
    with pytest.raises(UserError, match=r"x\.json is not valid JSON"):
        read_json(tmp_path / "x.json")


def test_a_character_of_two_halves_is_whole(tmp_path):
    (tmp_path / "x.json").write_text(r'"\ud83d\ude00"')
    assert read_json(tmp_path / "x.json") == "\U0001f600"


def test_a_folder_in_place_of_a_json_file_is_named(tmp_path):
    with pytest.raises(UserError, match="could not be read"):
        read_json(tmp_path)


def print_much(disk):
    for _ in range(1000):
        print("x" * 4096)


def fill_and_refuse(disk):
    (disk / "rest").write_bytes(b"x" * 200_000)
    raise UserError("a sentence")


@pytest.mark.parametrize(
    ("work", "sentence"),
    [(print_much, "a.log could not be written: the disk is full"), (fill_and_refuse, "a sentence")],
)
def test_a_log_on_a_full_disk_is_one_sentence(small_disk, tmp_path, monkeypatch, work, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit), logged(str(small_disk / "a.log")):
        work(small_disk)
    (told,) = refusals()
    assert sentence in told


def test_a_pipe_in_place_of_a_file_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.json")
    for read in (read_json, read_bytes, require_content):
        with pytest.raises(UserError, match=r"x\.json is a pipe or a device"):
            read(tmp_path / "x.json")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="zeros is a pipe or a device"):
        read_bytes(tmp_path / "zeros")
