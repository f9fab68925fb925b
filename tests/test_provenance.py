"""The state of a folder changes where one of its files does, and else stays."""

import os

import pytest

from refvessel.provenance import folder_state


@pytest.fixture
def state(tmp_path):
    """The state as another process would see it."""
    (tmp_path / "data" / "ward 7").mkdir(parents=True)
    (tmp_path / "data" / "ward 7" / "p1.json").write_text("{}")

    def seen() -> str:
        folder_state.cache_clear()
        return folder_state(tmp_path / "data")

    return seen


CHANGES = {
    "edited in place": lambda folder: (folder / "p1.json").write_text("[1, 2]"),
    "written again": lambda folder: os.utime(folder / "p1.json", ns=(1, 1)),
    "added": lambda folder: (folder / "p2.json").write_text("{}"),
    "removed": lambda folder: (folder / "p1.json").unlink(),
    "renamed": lambda folder: (folder / "p1.json").rename(folder / "p2.json"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_changes_the_state(state, tmp_path, change):
    before = state()
    assert state() == before
    CHANGES[change](tmp_path / "data" / "ward 7")
    assert state() != before


def test_hidden_files_and_links_to_nothing_do_not_matter(state, tmp_path):
    before = state()
    (tmp_path / "data" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "data" / "gone.png").symlink_to(tmp_path / "nowhere")
    assert state() == before
