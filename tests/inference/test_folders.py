"""Folders of images without a tree: grounded captions, and predictions of which nobody knows the truth."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from refvessel import cli
from refvessel.dataset.readers.image_folder import sentences_of_folder
from refvessel.errors import UserError
from refvessel.inference.sequence_tasks import tasks_of_frames
from refvessel.predictions.captions import parse_caption
from refvessel.predictions.prediction import read_shard
from refvessel.predictions.table import read_records
from refvessel.rle import decode

PHRASE = "blood vessel"


def refvessel(*arguments: object) -> None:
    """The command line, in this process, which has loaded PyTorch."""
    cli.app([str(each) for each in arguments], standalone_mode=False)


@pytest.fixture(scope="module")
def frames(tree, tmp_path_factory) -> Path:
    """Three small angiograms: one alone, and a run of two."""
    folder = tmp_path_factory.mktemp("frames")
    (folder / "run").mkdir()
    sources = sorted((tree / "glamm_data/images/coco2014/train2014").iterdir())
    for source, name in zip(sources, ("one.png", "run/001.png", "run/002.png"), strict=True):
        Image.open(source).resize((96, 96)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def predicted(frames, demo_model, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("predicted") / "output"
    refvessel(
        *("predict", "--model", demo_model, "--images", frames, "--output", output),
        *("--phrase", PHRASE, "--phrase", "catheter", "--device", "cpu", "--max-new-tokens", "8"),
        "--frame-by-frame",
    )
    return output


def test_each_image_and_phrase_has_a_mask_that_is_the_prediction(predicted):
    records, made_from = read_records(predicted / "predictions.parquet")
    assert [(each.image_id, each.phrase) for each in records] == [
        (image, phrase) for image in ("one", "run/001", "run/002") for phrase in (PHRASE, "catheter")
    ]
    folders = {PHRASE: "blood_vessel", "catheter": "catheter"}
    for each in records:
        name = f"{folders[each.phrase]}/{each.image_id}"
        mask = np.asarray(Image.open(predicted / f"masks/{name}.png"))
        assert np.array_equal(mask, 255 * decode(each.mask))
        assert Image.open(predicted / f"overlays/{name}.webp").size == (96, 96)
    assert any(decode(each.mask).any() for each in records)
    assert [run["device"] for run in made_from["runs"]] == ["cpu"]


def test_a_run_is_an_animation_of_its_frames(predicted):
    animation = Image.open(predicted / "animations/blood_vessel/run.webp")
    shown = [np.asarray(each.convert("RGB"), dtype=int) for each in ImageSequence.Iterator(animation)]
    frames = [Image.open(predicted / f"overlays/blood_vessel/run/00{i}.webp") for i in (1, 2)]
    assert len(shown) == 2
    for one, other in zip(shown, frames, strict=True):
        assert np.abs(one - np.asarray(other.convert("RGB"), dtype=int)).mean() < 10  # but for compression


def test_a_folder_that_holds_something_else_is_not_touched(predicted, frames, tmp_path):
    shutil.copytree(predicted, tmp_path / "again")
    (tmp_path / "again/mine.txt").write_text("")
    with pytest.raises(UserError, match="holds mine\\.txt, which no prediction wrote"):
        refvessel(
            *("predict", "--model", tmp_path, "--images", frames),
            *("--output", tmp_path / "again", "--phrase", PHRASE),
        )


def test_a_caption_of_each_image_is_what_the_model_answers(frames, demo_model, tmp_path, capsys):
    arguments = ("--images", frames, "--output", tmp_path, "--device", "cpu", "--max-new-tokens", "8")
    for _ in range(2):  # the second time from what the first has left
        refvessel("caption", "--model", demo_model, *arguments)
    assert "1 of 1 images were answered by earlier jobs" in capsys.readouterr().err
    (answer,) = read_shard(tmp_path / "shards/1-of-1.jsonl")
    assert not answer.drafted
    assert "interleaved     segmentation masks" in answer.prompt
    written = json.loads((tmp_path / "one.json").read_text("utf-8"))
    assert (written["caption"], written["phrases"]) == parse_caption(answer.answer)
    assert written["pred_masks"] == answer.masks
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["one.json"]


def test_the_frames_of_a_folder_are_a_sequence_in_their_natural_order(tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("10.png", "9.png", "other.png"):
        Image.new("L", (6, 4)).save(tmp_path / "run" / name)
    sentences = sentences_of_folder(tmp_path, ["a vessel", "a wire"], sequences=True)
    (task,) = tasks_of_frames(sentences)
    assert task.files.video.frames == ("9", "10", "other")
    assert [each.text for each in task.expressions] == ["a vessel", "a wire"]
    assert [each.image_id for each in task.asked["1"].values()] == ["run/9", "run/10", "run/other"]
    assert sorted(each.sent_id for each in task.sentences) == [each.sent_id for each in sentences]
    Image.new("L", (6, 5)).save(tmp_path / "run/11.png")
    with pytest.raises(UserError, match="differ in size in run"):
        tasks_of_frames(sentences_of_folder(tmp_path, ["a vessel"], sequences=True))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "holds no image"),
        (["a.png", "a.jpg"], "would both be called 'a'"),
        (["text.png"], "does not open as an image"),
        (["deep.tif"], "of which 8 bits keep little"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told_before_a_model_is_loaded(tmp_path, names, words):
    for name in names:
        if name == "text.png":
            (tmp_path / name).write_text("no image")
        elif name == "deep.tif":
            Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / name)
        else:
            Image.new("RGB", (4, 4)).save(tmp_path / name)
    with pytest.raises(UserError, match=words):
        sentences_of_folder(tmp_path, [PHRASE])


def test_a_folder_that_is_none_is_told(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        sentences_of_folder(tmp_path / "absent", [PHRASE])
