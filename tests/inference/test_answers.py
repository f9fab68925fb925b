"""An answer is used again wherever the same model is asked the same about the same image, and nowhere else."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from stages import segment_shard

from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.layout import IMAGES, INSTANCES
from refvessel.errors import UserError
from refvessel.inference import completing
from refvessel.inference import run as run_module
from refvessel.inference.predictor import Predictor
from refvessel.predictions.gather import gather_predictions
from refvessel.predictions.logits_file import logits_file, read_logits


def read(shard):
    return [json.loads(line) for line in shard.read_text().splitlines()]


def without_seconds(shard):
    records = [{key: value for key, value in each.items() if key != "seconds"} for each in read(shard)]
    return sorted(records, key=lambda each: each["sent_id"])


@pytest.fixture(scope="module")
def finished(tree, demo_model, tmp_path_factory):
    """Answers to the whole split, given in one shard, with logits."""
    folder = tmp_path_factory.mktemp("finished")
    segment(demo_model, tree, folder / "shard.jsonl", folder / "answers", save_logits=True)
    return folder


@pytest.fixture
def answers(finished, tmp_path):
    """A copy of the finished answers."""
    return shutil.copytree(finished / "answers", tmp_path / "answers")


@pytest.fixture
def segmented_images(monkeypatch):
    """The images that went through the model."""
    seen = []
    decoded = Predictor.decoded

    def noted(predictor, batches, images, pool):
        seen.extend(task.image_id for batch in batches for task in batch)
        return decoded(predictor, batches, images, pool)

    monkeypatch.setattr(Predictor, "decoded", noted)
    return seen


def segment(model, tree, output, answers, **settings):
    chosen = {"batch_size": 1, "split": "test"} | settings
    segment_shard(model=model, dataset=tree, output=output, answers=answers, **chosen)


def copied(tree, tmp_path):
    return shutil.copytree(tree, tmp_path / "copy" / "tree")


def images_of(tree):
    return sorted((tree / IMAGES).iterdir())


def test_another_number_of_shards_needs_no_model(
    finished, answers, segmented_images, tree, demo_model, tmp_path, monkeypatch
):
    monkeypatch.setattr(completing, "device_at_work", None)  # nothing is loaded
    shards = [tmp_path / f"{number}-of-3.jsonl" for number in (1, 2, 3)]
    for number, shard in enumerate(shards, start=1):
        segment(demo_model, tree, shard, answers, shard=f"{number}/3", save_logits=True)
    assert segmented_images == []
    together = sorted(
        (each for shard in shards for each in without_seconds(shard)), key=lambda each: each["sent_id"]
    )
    assert together == without_seconds(finished / "shard.jsonl")
    ours = {key: value for shard in shards for key, value in read_logits(logits_file(shard))}
    theirs = dict(read_logits(logits_file(finished / "shard.jsonl")))
    assert ours.keys() == theirs.keys()
    for sent_id, logits in theirs.items():
        np.testing.assert_array_equal(ours[sent_id], logits)


@pytest.mark.parametrize(
    "settings", [{"max_failures": 3}, {"batch_size": 2}, {"threads": 2}, {"draft": None}, {"compiled": True}]
)
def test_what_changes_no_answer_segments_nothing(
    answers, segmented_images, tree, demo_model, tmp_path, settings
):
    segment(demo_model, tree, tmp_path / "shard.jsonl", answers, **settings)
    assert segmented_images == []


def test_another_name_of_the_model_or_the_data_set_segments_nothing(
    finished, answers, segmented_images, tree, demo_model, tmp_path
):
    model = shutil.copytree(demo_model, tmp_path / "renamed_model")
    renamed = shutil.copytree(tree, tmp_path / "renamed_tree")
    segment(model, renamed, tmp_path / "shard.jsonl", answers)
    assert segmented_images == []
    assert without_seconds(tmp_path / "shard.jsonl") == without_seconds(finished / "shard.jsonl")
    assert len({path.name for path in answers.rglob("*.jsonl")}) == 2  # two jobs never write one file


def test_a_mended_truth_segments_nothing(finished, answers, segmented_images, tree, demo_model, tmp_path):
    mended = copied(tree, tmp_path)
    instances = json.loads((mended / INSTANCES).read_text())
    height, width = (instances["images"][0][key] for key in ("height", "width"))
    for annotation in instances["annotations"]:
        annotation["segmentation"] = [[0, 0, width / 2, 0, width / 2, height, 0, height]]
    (mended / INSTANCES).write_text(json.dumps(instances))
    segment(demo_model, mended, tmp_path / "shard.jsonl", answers)
    assert segmented_images == []
    assert without_seconds(tmp_path / "shard.jsonl") == without_seconds(finished / "shard.jsonl")
    gather_predictions(
        shards=[tmp_path / "shard.jsonl"], dataset=mended, split="test", output=tmp_path / "table.parquet"
    )


def test_one_changed_image_is_segmented_and_its_masks_are_of_the_new_image(
    finished, answers, segmented_images, tree, demo_model, tmp_path
):
    changed = copied(tree, tmp_path)
    image = images_of(changed)[1]
    Image.open(image).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(image)
    segment(demo_model, changed, tmp_path / "shard.jsonl", answers, save_logits=True)
    assert segmented_images == [image.stem]
    segment_shard(
        model=demo_model, dataset=changed, split="test", output=tmp_path / "anew.jsonl", batch_size=1
    )
    assert without_seconds(tmp_path / "shard.jsonl") == without_seconds(tmp_path / "anew.jsonl")
    assert without_seconds(tmp_path / "anew.jsonl") != without_seconds(finished / "shard.jsonl")


def test_numbers_that_move_when_an_image_is_added_are_those_of_the_tree(
    answers, segmented_images, tree, demo_model, tmp_path
):
    grown = copied(tree, tmp_path)
    add_image_in_front(grown)
    segment(demo_model, grown, tmp_path / "shard.jsonl", answers, save_logits=True, batch_size=4)
    assert segmented_images == ["added"]
    expressions = {each.sent_id: each for each in read_expressions(grown, "test")}
    records = read(tmp_path / "shard.jsonl")
    assert {each["sent_id"] for each in records} == expressions.keys()
    for record in records:
        expression = expressions[record["sent_id"]]
        assert (record["image_id"], record["phrase"]) == (expression.image_id, expression.phrase)
    segment_shard(
        model=demo_model,
        dataset=grown,
        split="test",
        output=tmp_path / "anew.jsonl",
        batch_size=1,
        save_logits=True,
    )
    assert without_seconds(tmp_path / "shard.jsonl") == without_seconds(tmp_path / "anew.jsonl")
    ours, theirs = (dict(read_logits(logits_file(tmp_path / f"{name}.jsonl"))) for name in ("shard", "anew"))
    assert ours.keys() == theirs.keys()
    for sent_id, logits in theirs.items():
        np.testing.assert_array_equal(ours[sent_id], logits)


def add_image_in_front(tree):
    """A new image, asked for by the first refs: all numbers move on."""
    import pickle

    refs_file = tree / "ref_seg/refcoco/refs(unc).p"
    refs = pickle.loads(refs_file.read_bytes())
    instances = json.loads((tree / INSTANCES).read_text())
    image = dict(instances["images"][0]) | {"id": 999, "file_name": f"added{images_of(tree)[0].suffix}"}
    Image.open(images_of(tree)[0]).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(
        tree / IMAGES / image["file_name"]
    )
    instances["images"].append(image)
    first = {**refs[0], "image_id": 999, "file_name": image["file_name"]}
    moved = []
    for number, ref in enumerate([first, *refs]):
        sentences = [{**each, "sent_id": number} for each in ref["sentences"]]
        moved.append({**ref, "ref_id": number, "sent_ids": [number], "sentences": sentences})
    refs_file.write_bytes(pickle.dumps(moved, 2))
    (tree / INSTANCES).write_text(json.dumps(instances))


def test_a_killed_shard_whose_image_was_changed_is_resumed_with_masks_of_the_new_image(
    tree, demo_model, tmp_path
):
    changed = copied(tree, tmp_path)
    output = tmp_path / "shard.jsonl"
    segment_shard(model=demo_model, dataset=changed, split="test", output=output, batch_size=1)
    lines = output.read_text().splitlines(keepends=True)
    output.write_text("".join(lines[:3]) + lines[3][:40])
    image = changed / IMAGES / f"{json.loads(lines[0])['image_id']}.png"
    Image.open(image).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(image)
    segment_shard(model=demo_model, dataset=changed, split="test", output=output, batch_size=1)
    segment_shard(
        model=demo_model, dataset=changed, split="test", output=tmp_path / "anew.jsonl", batch_size=1
    )
    assert without_seconds(output) == without_seconds(tmp_path / "anew.jsonl")


@pytest.mark.parametrize(
    "settings", [{"question": "<image>Where is {phrase}?"}, {"flips": True}, {"max_new_tokens": 9}]
)
def test_another_question_or_setting_is_answered_anew(
    answers, segmented_images, tree, demo_model, tmp_path, settings
):
    segment(demo_model, tree, tmp_path / "shard.jsonl", answers, **settings)
    assert len(segmented_images) == 3


def test_other_code_answers_anew(answers, segmented_images, tree, demo_model, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "code_hash", lambda *modules: "edited")
    segment(demo_model, tree, tmp_path / "shard.jsonl", answers)
    assert len(segmented_images) == 3


def test_lines_that_are_no_records_and_failures_are_asked_again(
    finished, answers, segmented_images, tree, demo_model, tmp_path
):
    (kept,) = answers.rglob("*.jsonl")
    lines = kept.read_text().splitlines(keepends=True)
    failed = json.loads(lines[0]) | {"status": "failed", "error": "out of memory", "masks": [], "num_seg": 0}
    kept.with_name("other.jsonl").write_text(json.dumps(failed) + "\n[]\nno JSON\n" + "".join(lines[2:]))
    for path in kept.parent.glob(f"{kept.stem}*"):
        path.unlink() if path.is_file() else shutil.rmtree(path)
    segment(demo_model, tree, tmp_path / "shard.jsonl", answers)
    assert segmented_images == [failed["image_id"]]
    assert without_seconds(tmp_path / "shard.jsonl") == without_seconds(finished / "shard.jsonl")


def test_answers_without_logits_are_not_used_where_logits_are_stored(
    answers, segmented_images, tree, demo_model, tmp_path
):
    (stored,) = answers.rglob("*.logits.npz")
    stored.unlink()
    segment(demo_model, tree, tmp_path / "shard.jsonl", answers, save_logits=True)
    assert len(segmented_images) == 3
    assert dict(read_logits(logits_file(tmp_path / "shard.jsonl"))).keys() == {
        each["sent_id"] for each in read(tmp_path / "shard.jsonl") if each["num_seg"]
    }


def test_weights_that_were_overwritten_after_their_conversion_are_refused(tree, demo_model, tmp_path):
    model = shutil.copytree(demo_model, tmp_path / "model")
    segment_shard(model=model, dataset=tree, split="test", output=tmp_path / "a.jsonl", batch_size=1)
    overwrite(model)
    with pytest.raises(UserError, match=r"model\.safetensors is not the file that conversion\.json"):
        segment_shard(model=model, dataset=tree, split="test", output=tmp_path / "b.jsonl")
    assert not (tmp_path / "b.jsonl").exists()


def test_the_rest_of_a_shard_is_not_segmented_by_other_weights(tree, demo_model, tmp_path):
    model = shutil.copytree(demo_model, tmp_path / "model")
    (model / "conversion.json").unlink()  # an official folder, used as it is
    output = tmp_path / "shard.jsonl"
    segment_shard(model=model, dataset=tree, split="test", output=output, batch_size=1)
    output.write_text("".join(output.read_text().splitlines(keepends=True)[:3]))
    overwrite(model)
    with pytest.raises(UserError, match="begun by a run that differs in model"):
        segment_shard(model=model, dataset=tree, split="test", output=output)


def overwrite(model):
    """Other weights in the same file, of the same size."""
    (weights,) = model.glob("*.safetensors")
    tensors = load_file(weights)
    name = next(name for name in tensors if name.startswith("text_hidden_fcs"))
    tensors[name] = -tensors[name]
    save_file(tensors, weights, {"format": "pt"})
