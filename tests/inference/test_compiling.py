"""A model is compiled where that pays, beside its work, and a run tells which path computed."""

import os
import sys
import time

import pytest
import torch

from refvessel.inference import preparing
from refvessel.inference.compiling import SAVED_PER_IMAGE, STANDSTILL, BesideWork, pays
from refvessel.inference.kernel_folder import keep_kernels
from refvessel.inference.preparing import LikeBatch, prepare
from refvessel.predictions.run_file import note_paths, read_run

MANY = 10_000_000
LIKE = LikeBatch(
    "model", (60, 70), ("<image>\n Please segment vessel in this image.",), 2, "float32", None, None
)
PREPARES = (sys.executable, "-c", "import json, sys; assert json.load(sys.stdin)['images'] == 2")
FAILS = (sys.executable, "-c", "import sys; sys.exit('no room at all')")


@pytest.fixture
def beside():
    """A function that makes a `BesideWork`, and the list of how often it has compiled."""
    compiled, made = [], []

    def make(command, has_room=lambda: True):
        made.append(BesideWork(LIKE, lambda: compiled.append(1), has_room, command))
        return made[0]

    yield make, compiled
    for each in made:
        each.close()


def advance_until(work, over):
    deadline = time.monotonic() + 60
    while not over() and time.monotonic() < deadline:
        work.advance(MANY)
        time.sleep(0.01)
    assert over()


def test_it_pays_for_so_many_images_as_save_more_than_it_costs():
    assert not pays(1220)
    assert not pays(int(STANDSTILL / SAVED_PER_IMAGE))
    assert pays(MANY)


def test_a_model_is_compiled_once_when_another_process_has_prepared_it(beside):
    make, compiled = beside
    work = make(PREPARES)
    advance_until(work, lambda: compiled)
    work.advance(MANY)
    assert compiled == [1]


@pytest.mark.parametrize(("images", "room"), [(1220, True), (MANY, False)])
def test_nothing_begins_where_it_does_not_pay_or_has_no_room(beside, images, room):
    make, compiled = beside
    work = make(("no such command",), lambda: room)
    work.advance(images)
    assert not compiled


def test_what_cannot_be_prepared_is_told_and_stays_uncompiled(beside, capsys):
    make, compiled = beside
    work = make(FAILS)
    told = []
    advance_until(work, lambda: told.extend([capsys.readouterr().err]) or "".join(told))
    assert "".join(told) == "The model stays uncompiled: no room at all.\n"
    work.advance(MANY)
    assert not compiled


def test_a_batch_like_those_to_come_passes_through_a_model_of_few_layers(demo_model, monkeypatch):
    seen = []
    monkeypatch.setattr(preparing, "compile_blocks", seen.append)
    like = LikeBatch(str(demo_model), LIKE.size, LIKE.prompts, 2, "float32", "Sure, [SEG].<|im_end|>", None)
    prepare(like, torch.device("cpu"))
    (model,) = seen
    assert len(model.vision_model.encoder.layer) == 1


def test_kernels_are_kept_beside_results_that_are_nobody_elses(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", "mine")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    folder = keep_kernels(tmp_path)
    assert os.environ["TRITON_CACHE_DIR"] == "mine"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(folder / "inductor")
    folder.chmod(0o777)
    assert keep_kernels(tmp_path) is None


def test_a_run_tells_which_paths_computed_its_batches(segmented):
    assert read_run(segmented)["computed_by"] == ["kernels" if torch.cuda.device_count() else "pytorch"]
    note_paths(segmented, ["compiled", "kernels"])
    assert read_run(segmented)["computed_by"][:2] == ["compiled", "kernels"]
