"""Images go through several processes as through one."""

import pytest

from refvessel.errors import UserError

TRIANGLE = [[2, 2], [20, 4], [8, 25]]


@pytest.fixture
def many(source, monkeypatch):
    monkeypatch.setattr("refvessel.dataset.converted._WORTH_PROCESSES", 2)
    for number in range(20):
        source.labelme(f"p{number}_1.png", [("vessel", TRIANGLE)])
    return source


def test_processes_change_nothing(many, convert, tmp_path):
    trees = []
    for jobs in (1, 3):
        convert(output=tmp_path / str(jobs), jobs=jobs)
        files = sorted(path for path in (tmp_path / str(jobs)).rglob("*") if path.is_file())
        trees.append({path.relative_to(tmp_path / str(jobs)): path.read_bytes() for path in files})
    assert trees[0] == trees[1]
    assert len(trees[0]) == 24


def test_problems_of_all_processes_are_told_in_order(many, convert, tmp_path):
    for number in (3, 11, 17):
        (many.root / f"p{number}_1.png").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        convert(jobs=3)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("3 problems")
    for name, line in zip(["p11_1.png", "p17_1.png", "p3_1.png"], lines[1:], strict=True):
        assert name in line
    assert not (tmp_path / "tree").exists()


def test_work_ends_when_there_are_enough_problems(many, convert):
    for number in range(20):
        (many.root / f"p{number}_1.png").write_bytes(b"")
    with pytest.raises(UserError, match="20 problems"):
        convert(jobs=2)
