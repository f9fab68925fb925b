"""Sequences as jobs: results as the official script writes them, resumed, with failures kept in."""

import json
from functools import cache

import numpy as np
import pytest
import qwen_folder
import torch
from PIL import Image
from video_model import ANSWER, WITHOUT_SEG, write_layout, write_model, write_sam2

from refvessel.answer_status import Status
from refvessel.dataset.tree.layout import REF_VOS
from refvessel.dataset.tree.ref_vos import (
    FRAME_TABLE,
    FRAMES,
    META_EXPRESSIONS,
    TreeFrame,
    write_frame_table,
)
from refvessel.errors import UserError
from refvessel.inference.sequence_run import segment_sequences
from refvessel.inference.sequence_segmenter import SequenceSegmenter
from refvessel.inference.sequence_tasks import tasks_of_split
from refvessel.inference.video_results import segment_videos
from refvessel.model.modeling import Sa2VAModel
from refvessel.predictions.logits_file import read_logits
from refvessel.predictions.prediction import read_shard
from refvessel.rle import area, decode
from refvessel.settings.inference_section import Inference
from refvessel.settings.video_section import Video

VIDEO = Video()
GROUNDING = {"image_size": 128, "hidden_dim": 128, "memory_dim": 64}  # of a SAM2 that can run videos
EXPRESSIONS = {"10": "vessel", "2": "which vessel?"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def loaded():
    """What loads a model, each folder once."""
    load = Sa2VAModel.load
    return cache(lambda folder, **how: load(folder, **how))


@pytest.fixture
def run(model, tmp_path, loaded, monkeypatch):
    """A function that segments a layout: results.json, read."""
    monkeypatch.setattr(Sa2VAModel, "load", lambda folder, spreading=None, **how: loaded(folder, **how))

    def run(root, *, folder=model, video=VIDEO, annotations=None, sam2=None, **settings):
        output = tmp_path / "out" / "results.json"
        segment_videos(
            model=folder,
            root=root,
            output=output,
            annotations=annotations,
            sam2=sam2,
            settings=Inference(device="cpu", **settings),
            video=video,
        )
        return json.loads(output.read_text())

    return run


def test_a_folder_in_the_place_of_results_is_refused_before_anything_is_read(run, tmp_path):
    (tmp_path / "out" / "results.json").mkdir(parents=True)
    with pytest.raises(UserError, match="is a folder, not a file to write"):
        run(tmp_path / "nowhere")


def test_results_are_those_of_the_official_script(run, tmp_path):
    root = write_layout(tmp_path / "data", {"b": 7, "a": 1, "c/d": 3}, EXPRESSIONS)
    results = run(root, annotations=tmp_path / "masks")
    assert list(results) == ["b", "a", "c/d"]
    assert [each["index"] for video in results.values() for each in video.values()] == list(range(6))
    for name, length in (("b", 7), ("a", 1), ("c/d", 3)):
        assert list(results[name]) == ["10", "2"]
        for identifier, asked in results[name].items():
            assert asked["frames"] == [f"{frame:03}" for frame in range(length)]
            assert len(asked["prediction_masks"]) == length
            assert asked["text_prediction"] == ANSWER
            assert (asked["video_id"], asked["exp_id"]) == (name, identifier)
            for frame, mask in zip(asked["frames"], asked["prediction_masks"], strict=True):
                with Image.open(tmp_path / "masks" / name / identifier / f"{frame}.png") as image:
                    assert image.mode == "L"
                    assert np.array_equal(np.asarray(image), 255 * decode(mask))
    assert results["b"]["10"]["exp"] == "<image>\nPlease segment vessel."
    assert results["b"]["2"]["exp"] == "<image>\n which vessel? Please respond with a segmentation mask."


def test_a_folder_of_truths_is_never_written_over(run, tmp_path):
    root = write_layout(tmp_path / "data", {"a": 1})
    truth = tmp_path / "Annotations" / "a" / "00.png"
    truth.parent.mkdir(parents=True)
    truth.write_bytes(b"precious")
    with pytest.raises(UserError, match="did not write"):
        run(root, annotations=tmp_path / "Annotations")
    assert truth.read_bytes() == b"precious"
    for _ in range(2):  # one's own are
        run(root, annotations=tmp_path / "mine")


def test_masks_are_in_the_order_of_the_file_and_not_of_names_as_text(run, tmp_path, capsys):
    root = write_layout(tmp_path / "data", {"a": 4})
    meta = json.loads((root / META_EXPRESSIONS).read_text())
    before = run(root)["a"]["0"]["prediction_masks"]
    for old, new in zip(meta["videos"]["a"]["frames"], ("9", "10", "11", "1"), strict=True):
        (root / FRAMES / "a" / f"{old}.png").rename(root / FRAMES / "a" / f"{new}.png")
    meta["videos"]["a"]["frames"] = ["9", "10", "11", "1"]
    (root / META_EXPRESSIONS).write_text(json.dumps(meta))
    results = run(root)
    assert results["a"]["0"]["frames"] == ["9", "10", "11", "1"]
    assert results["a"]["0"]["prediction_masks"] == before
    assert "not in the order of their names as text" in capsys.readouterr().err


def test_a_killed_job_continues_with_the_sequence_that_it_had_begun(run, tmp_path, monkeypatch):
    root = write_layout(tmp_path / "data", {"a": 2, "b": 3, "c": 2}, EXPRESSIONS)
    segment, segmented = SequenceSegmenter.segment, []

    def killed(self, group, *rest):
        if len(segmented) == 1:
            raise KeyboardInterrupt
        segmented.append(group.tasks[0].name)
        return segment(self, group, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(SequenceSegmenter, "segment", killed)
        with pytest.raises(KeyboardInterrupt):
            run(root)
    assert not (tmp_path / "out" / "results.json").exists()
    shard = tmp_path / "out" / "results.jsonl"
    with shard.open("ab") as stream:
        stream.write(b'{"image_id": "half a li')

    def noted(self, group, *rest):
        segmented.append(group.tasks[0].name)
        return segment(self, group, *rest)

    monkeypatch.setattr(SequenceSegmenter, "segment", noted)
    resumed = run(root)
    assert sorted(segmented) == ["a", "b", "c"]
    shard.unlink()
    assert run(root) == resumed
    assert run(root) == resumed  # all is finished: nothing is segmented
    assert len(segmented) == 6


def test_a_sequence_with_a_damaged_frame_fails_and_counts_as_empty_masks(run, tmp_path):
    root = write_layout(tmp_path / "data", {"a": 7, "b": 2}, EXPRESSIONS)
    damaged = root / FRAMES / "a" / "006.png"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-40])
    with pytest.raises(UserError, match=r"2 expressions failed, more than the 0 allowed .* on a \(UserError"):
        run(root)
    results = run(root, max_failures=2)
    for asked in results["a"].values():
        assert "006.png" in asked["error"]
        assert [area(mask) for mask in asked["prediction_masks"]] == [0] * 7
    assert all("error" not in asked for asked in results["b"].values())
    damaged.write_bytes(whole)
    assert "error" not in run(root)["a"]["2"]


def test_an_answer_without_seg_has_empty_masks(run, tmp_path):
    folder = write_model(tmp_path / "model", WITHOUT_SEG)
    results = run(write_layout(tmp_path / "data", {"a": 6}), folder=folder)
    assert results["a"]["0"]["text_prediction"] == WITHOUT_SEG
    assert [area(mask) for mask in results["a"]["0"]["prediction_masks"]] == [0] * 6
    assert {each.status for each in read_shard(tmp_path / "out" / "results.jsonl")} == {Status.NO_SEG}


def test_logits_that_are_not_finite_fail(run, tmp_path, monkeypatch):
    whole = SequenceSegmenter._prompted

    def infinite(self, images, objects, prompts):
        return whole(self, images, objects, prompts * torch.inf)

    monkeypatch.setattr(SequenceSegmenter, "_prompted", infinite)
    with pytest.raises(UserError, match="not finite"):
        run(write_layout(tmp_path / "data", {"a": 6}))


def test_a_model_without_sam2s_memory_is_refused_before_it_is_loaded(run, tmp_path):
    folder = write_model(tmp_path / "model", memory_dim=32)
    with pytest.raises(UserError, match="memories have 32 channels"):
        run(write_layout(tmp_path / "data", {"a": 6}), folder=folder)
    results = run(write_layout(tmp_path / "short", {"a": 5}), folder=folder)  # where no frame looks back
    assert len(results["a"]["0"]["prediction_masks"]) == 5


def test_sa2va_i_takes_sam2s_own_checkpoint(run, model, tmp_path):
    root = write_layout(tmp_path / "data", {"a": 6})
    video = Video(propagation="sa2va-i", shown="uniform", frames=3)
    with pytest.raises(UserError, match="give sam2 with it"):
        run(root, video=video)
    assert len(run(root, video=video, sam2=write_sam2(model, tmp_path / "a.pt", 1))["a"]["0"]["frames"]) == 6
    with pytest.raises(UserError, match="differs in video"):
        run(root, video=video, sam2=write_sam2(model, tmp_path / "b.pt", 2))


def test_the_qwen_families_see_the_shown_frames_as_images_of_one_prompt(run, tmp_path, monkeypatch):
    monkeypatch.setattr(qwen_folder, "SAM2", qwen_folder.SAM2 | GROUNDING)
    folder = qwen_folder.write_qwen_folder(tmp_path / "model", "qwen3_vl")
    (asked,) = run(write_layout(tmp_path / "data", {"a": 7}), folder=folder)["a"].values()
    assert asked["text_prediction"] == qwen_folder.ANSWER
    assert len({mask["counts"] for mask in asked["prediction_masks"]}) > 1


def test_shards_together_answer_what_a_tree_lists_and_all_other_frames(model, tmp_path):
    root = write_layout(tmp_path / "tree" / REF_VOS / "test", {"a": 6, "b": 4, "c": 3})
    table = {
        name: {"0": {f"{place:03}": TreeFrame(f"{name}_{place}", 1, 10 * number + place) for place in places}}
        for number, (name, places) in enumerate({"a": [0, 5], "b": [2], "c": []}.items())
    }
    write_frame_table(root / FRAME_TABLE, table)
    found = []
    for shard in ("1/2", "2/2"):
        output = tmp_path / f"{shard[0]}.jsonl"
        segment_sequences(
            model=model,
            tasks=tasks_of_split(tmp_path / "tree", "test"),
            name="tree.test",
            split="test",
            output=output,
            shard=shard,
            answers=tmp_path / "answers",
            settings=Inference(device="cpu", save_logits=True),
            video=Video(),
        )
        found += read_shard(output)
    listed = {each.sent_id: each.image_id for each in found if each.sent_id >= 0}
    assert listed == {0: "a_0", 5: "a_5", 12: "b_2"}
    assert len(found) == 13  # the other frames are there, too, by numbers that no truth has
    assert all(each.status == Status.OK and each.lead is not None for each in found)
    for shard in ("1", "2"):
        records = read_shard(tmp_path / f"{shard}.jsonl")
        stored = read_logits(tmp_path / f"{shard}.logits.npz")
        assert sorted(sent_id for sent_id, _ in stored) == sorted(each.sent_id for each in records)


def test_two_data_sets_with_one_split_keep_their_answers_apart(model, tmp_path, loaded, monkeypatch):
    monkeypatch.setattr(Sa2VAModel, "load", lambda folder, spreading=None, **how: loaded(folder, **how))
    for name in ("one", "other"):
        root = write_layout(tmp_path / name / REF_VOS / "test", {name: 1})
        write_frame_table(root / FRAME_TABLE, {})
        segment_sequences(
            model=model,
            tasks=tasks_of_split(tmp_path / name, "test"),
            name=f"{name}.test",
            split="test",
            output=tmp_path / f"{name}.jsonl",
            answers=tmp_path / "answers",
            settings=Inference(device="cpu"),
            video=VIDEO,
        )
    kept = [read_shard(path) for path in (tmp_path / "answers").rglob("*.jsonl")]
    assert sorted(each.image_id for shard in kept for each in shard) == ["one/000", "other/000"]
