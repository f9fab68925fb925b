"""A shard is the same however it came about: in one go, in batches, killed and resumed."""

import json
import shutil

import pytest
from PIL import Image
from pycocotools import mask as coco
from stages import segment_shard

from refvessel.checkpoint.link import link_checkpoint
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.errors import UserError
from refvessel.inference import completing
from refvessel.predictions.prediction import COLUMNS, NEAR_TIE
from refvessel.rle import decode, union


def read(shard):
    return [json.loads(line) for line in shard.read_text().splitlines()]


def without_seconds(shard):
    return [{key: value for key, value in each.items() if key != "seconds"} for each in read(shard)]


def segment(model, tree, output, **settings):
    segment_shard(model=model, dataset=tree, split="test", output=output, **({"batch_size": 1} | settings))


def test_a_record_has_the_contracts_fields_and_the_union_of_its_masks(segmented, tree):
    records = read(segmented)
    assert [each["sent_id"] for each in records] == [
        each.sent_id
        for each in sorted(read_expressions(tree, "test"), key=lambda each: (each.image_id, each.sent_id))
    ]
    for record in records:
        assert tuple(record) == COLUMNS
        assert record["status"] == "ok"
        assert record["num_seg"] == len(record["masks"]) == record["answer"].count("[SEG]")
        assert record["mask"] == union(record["masks"])
        assert record["prompt"] == f"<image>\n Please segment {record['phrase']} in this image."
        assert 0 <= record["score"] <= 1
        assert record["seconds"] > 0


def test_shards_together_are_the_whole(segmented, tree, demo_model, tmp_path):
    for number in (1, 2):
        segment(demo_model, tree, tmp_path / f"{number}.jsonl", shard=f"{number}/2")
    parts = without_seconds(tmp_path / "1.jsonl") + without_seconds(tmp_path / "2.jsonl")
    assert sorted(parts, key=lambda each: each["sent_id"]) == sorted(
        without_seconds(segmented), key=lambda each: each["sent_id"]
    )


def test_batches_of_images_give_the_same_answers_and_masks(segmented, tree, demo_model, tmp_path):
    segment(demo_model, tree, tmp_path / "batched.jsonl", batch_size=3)
    assert_same_answers_and_masks(read(segmented), read(tmp_path / "batched.jsonl"))


def assert_same_answers_and_masks(ours, others):
    for one, other in zip(ours, others, strict=True):
        assert one["answer"] == other["answer"]
        differing = (decode(one["mask"]) != decode(other["mask"])).mean()
        assert differing < 1e-4  # pixels whose logit is zero but for rounding, or of a candidate as good
        assert one["lead"] == pytest.approx(other["lead"], abs=NEAR_TIE)


@pytest.mark.parametrize(("draft", "drafted"), [(None, 0), ("There is none.", 2)])
def test_a_draft_changes_no_more_than_rounding_does(segmented, tree, demo_model, tmp_path, draft, drafted):
    """Of three images two are encoded before an answer is known; the third's are the most frequent ones."""
    segment(demo_model, tree, tmp_path / "shard.jsonl", draft=draft)
    ours, others = read(tmp_path / "shard.jsonl"), read(segmented)
    assert sum(each["drafted"] for each in ours) == drafted
    assert sum(each["drafted"] for each in others) == len(others)
    assert_same_answers_and_masks(ours, others)


def test_a_batch_killed_in_its_middle_is_resumed_with_the_same_masks(tree, demo_model, tmp_path, monkeypatch):
    steps = []

    def noted(name, function):
        return lambda *arguments, **named: [steps.append(name), function(*arguments, **named)][1]

    for name in ("read_images", "loaded_series"):
        monkeypatch.setattr(completing, name, noted(name, getattr(completing, name)))
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    segment(demo_model, tree, whole, batch_size=3)
    assert steps == ["read_images", "loaded_series"]  # the first are read while the model is loaded
    lines = whole.read_text().splitlines(keepends=True)
    cut.write_text("".join(lines[:2]) + lines[2][:50])
    segment(demo_model, tree, cut, batch_size=3)
    assert steps[2:] == ["loaded_series", "read_images"]  # which are left depends on the size of a batch
    assert without_seconds(cut) == without_seconds(whole)


def test_a_finished_shard_is_left_alone(segmented, tree, demo_model):
    before = segmented.read_bytes()
    segment(demo_model, tree, segmented, save_logits=True)
    assert segmented.read_bytes() == before


def test_a_shard_of_another_run_is_not_continued(segmented, tree, demo_model):
    with pytest.raises(UserError, match="differs in question"):
        segment(demo_model, tree, segmented, save_logits=True, question="<image>Where is {phrase}?")


def test_an_image_that_does_not_open_fails_alone_and_stops_the_run(tree, segmented, demo_model, tmp_path):
    damaged = copied_tree(tree, tmp_path)
    broken = sorted((damaged / "glamm_data/images/coco2014/train2014").iterdir())[1]
    broken.write_bytes(broken.read_bytes()[:2000])
    output = tmp_path / "shard.jsonl"
    with pytest.raises(UserError, match="2 expressions failed, more than the 0 allowed"):
        segment(demo_model, damaged, output)
    records = read(output)
    failed = [each for each in records if each["status"] == "failed"]
    assert {each["image_id"] for each in failed} == {broken.stem}
    assert all(each["error"] and coco.area(each["mask"]) == 0 and not each["masks"] for each in failed)
    others = [each for each in without_seconds(output) if each["status"] == "ok"]
    assert others == [each for each in without_seconds(segmented) if each["image_id"] != broken.stem]

    segment(demo_model, damaged, output, max_failures=2)

    Image.open(tree / broken.relative_to(damaged)).save(broken)
    segment(demo_model, damaged, output)
    assert sorted(without_seconds(output), key=str) == sorted(without_seconds(segmented), key=str)


def copied_tree(tree, tmp_path):
    return shutil.copytree(tree, tmp_path / "tree")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"question": "vessel"}, "must hold <image>"),
        ({"question": "<image> vessel"}, "must hold <image>"),
        ({"split": "train"}, "train"),
        ({"shard": "3/2"}, "not of the form"),
        ({"batch_size": 0}, "inference.batch_size: 0 is less than the minimum of 1"),
        ({"device_map": "balanced"}, "device_map: 'balanced' is not one of auto"),
        ({"device_map": "auto", "device": "cpu", "max_memory": {0: "1GiB"}}, "max_memory names 0"),
        ({"language_weights": "int4"}, "language_weights: 'int4' is not one of int8, float8"),
        ({"dtype": "float64"}, "dtype: 'float64' is not one of float32, bfloat16, float16"),
        ({"device": "tpu"}, "device: 'tpu' is not one of cpu, cuda"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_is_written(tree, demo_model, tmp_path, settings, sentence):
    output = tmp_path / "out" / "shard.jsonl"
    with pytest.raises(UserError, match=sentence):
        segment_shard(
            **({"model": demo_model, "dataset": tree, "split": "test", "output": output} | settings)
        )
    assert not output.parent.exists()


def test_a_folder_without_model_is_refused(tree, tmp_path):
    with pytest.raises(UserError, match=r"config\.json does not exist"):
        segment(tmp_path, tree, tmp_path / "shard.jsonl")
    assert not (tmp_path / "shard.jsonl").exists()


@pytest.mark.parametrize("name", ["nowhere", "a_file"])
def test_a_model_that_is_no_folder_is_told_as_link_checkpoint_tells_it(name, tree, tmp_path):
    (tmp_path / "a_file").write_text("")
    with pytest.raises(UserError) as linking:
        link_checkpoint(folder=tmp_path / name, output=tmp_path / "linked")
    with pytest.raises(UserError, match=name) as segmenting:
        segment(tmp_path / name, tree, tmp_path / "s.jsonl")
    assert str(segmenting.value) == str(linking.value)
    assert not (tmp_path / "s.jsonl").exists()
