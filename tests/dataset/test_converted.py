"""Images go through several processes as through one."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from refvessel.dataset.conversion import converted
from refvessel.dataset.images.pixels import clean_image
from refvessel.errors import UserError

TRIANGLE = [[2, 2], [20, 4], [8, 25]]


@pytest.fixture
def many(source):
    for number in range(20):
        source.labelme(f"p{number}_1.png", [("vessel", TRIANGLE)])
    return source


def test_processes_change_nothing(many, convert, tmp_path):
    trees = []
    for jobs in (1, 3):
        convert(output=tmp_path / str(jobs), threads=jobs)
        files = sorted(path for path in (tmp_path / str(jobs)).rglob("*") if path.is_file())
        trees.append({path.relative_to(tmp_path / str(jobs)): path.read_bytes() for path in files})
    assert trees[0] == trees[1]
    assert len(trees[0]) == 24


def test_problems_of_all_processes_are_told_in_order(many, convert, tmp_path):
    for number in (3, 11, 17):
        (many.root / f"p{number}_1.png").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        convert(threads=3)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("3 problems")
    for name, line in zip(["p11_1.png", "p17_1.png", "p3_1.png"], lines[1:], strict=True):
        assert name in line
    assert not (tmp_path / "tree").exists()


def test_work_ends_when_there_are_enough_problems(many, convert):
    for number in range(20):
        (many.root / f"p{number}_1.png").write_bytes(b"")
    with pytest.raises(UserError, match="20 problems"):
        convert(threads=2)


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_image_that_crashes_its_process_is_told_by_name_with_the_others(many, convert, monkeypatch, jobs):
    def crash(content, stated_size, what, **how):
        if "p5_1" in what:
            os.abort()
        return clean_image(content, stated_size, what, **how)

    monkeypatch.setattr(converted, "clean_image", crash)
    (many.root / "p7_1.png").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        convert(threads=jobs)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("2 problems")
    assert "p5_1.png: its process ended by SIGABRT" in lines[1]
    assert "p7_1.png" in lines[2]


def test_an_image_that_takes_too_long_is_told_by_name(source, convert, monkeypatch):
    source.labelme("slow.png")
    source.labelme("fast.png")
    monkeypatch.setattr(converted, "SECONDS_PER_IMAGE", 1.0)
    monkeypatch.setattr(
        "refvessel.dataset.conversion.converted.clean_image",
        lambda content, size, what, **how: (
            time.sleep(600) if "slow" in what else clean_image(content, size, what, **how)
        ),
    )
    with pytest.raises(UserError, match=r"slow\.png: its process took more than 1 seconds.*slow\.json"):
        convert()


def test_hundreds_of_random_points_are_judged_at_once(source, convert):
    points = np.random.default_rng(1).uniform(0, 30, (600, 2)).tolist()
    source.labelme("a.png", [("vessel", points)])
    start = time.monotonic()
    with pytest.raises(UserError, match="an outline that crosses itself"):
        convert()
    summary = convert(crossing_outlines="draw")
    assert summary["counts"]["regions_crossing_themselves"] == 1
    assert time.monotonic() - start < 30


def test_processes_are_gone_when_the_conversion_is(many, convert):
    before = signal.getsignal(signal.SIGINT)
    convert(threads=3)
    assert not multiprocessing.active_children()
    assert signal.getsignal(signal.SIGINT) is before
