"""The demo's scores are real: recomputed from its masks, and gone where the words are swapped."""

import json
import re
import shutil

import pandas as pd
import pytest
from demo_checkpoint.samples import FIRST_TRAINING_PATIENT, FIRST_VALIDATION_PATIENT
from pycocotools import mask as coco
from stages import convert_dataset, segment_shard

from refvessel.dataset.tree.expressions import read_expressions
from refvessel.demo.annotations import PATIENTS

PHRASES = ("blood vessel", "catheter")


def dice(one, other):
    """From pycocotools alone; 1 where both are empty."""
    common, total = coco.area(coco.merge([one, other], intersect=True)), coco.area(one) + coco.area(other)
    return 2 * common / total if total else 1.0


def mean_dice(predictions, tree, phrase):
    truths = {each.sent_id: each.truth for each in read_expressions(tree, "test") if each.phrase == phrase}
    masks = {each["sent_id"]: each["mask"] for each in predictions}
    return sum(dice(masks[sent_id], truth) for sent_id, truth in truths.items()) / len(truths)


@pytest.mark.parametrize(("phrase", "least"), [("blood vessel", 0.80), ("catheter", 0.60)])
def test_dice_recomputed_from_the_masks_reaches_the_bar_and_equals_the_table(demo, phrase, least):
    folder = demo.results / "predictions/demo/demo/test"
    shards = sorted((folder / "shards").glob("*.jsonl"))
    predictions = [json.loads(line) for shard in shards for line in shard.read_text().splitlines()]
    recomputed = mean_dice(predictions, demo.results / "datasets/demo", phrase)
    assert recomputed >= least
    cases = pd.read_parquet(demo.results / "scores/demo/demo/test/cases.parquet")
    assert cases[cases["phrase"] == phrase]["dice"].mean() == pytest.approx(recomputed, abs=1e-12)


def test_swapping_the_words_drops_both_scores(demo, demo_model, tmp_path):
    """The frames and truths of two of the demo's patients, with each phrase in the place of the other."""
    frames = demo.results / "demo/angiograms"
    patients = sorted({path.stem.rsplit("_", 1)[0] for path in frames.glob("*.png")})[:2]
    for path in frames.iterdir():
        if path.stem.rsplit("_", 1)[0] in patients:
            (tmp_path / "frames").mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / "frames")
    convert_dataset(
        format="labelme",
        root=tmp_path / "frames",
        output=tmp_path / "tree",
        phrases={"vessel": "catheter", "catheter": "blood vessel"},
        single_split="test",
        key_file=tmp_path / "secret" / "key",
    )
    shard = tmp_path / "shard.jsonl"
    segment_shard(model=demo_model, dataset=tmp_path / "tree", split="test", output=shard)
    predictions = [json.loads(line) for line in shard.read_text().splitlines()]
    for phrase in PHRASES:
        assert mean_dice(predictions, tmp_path / "tree", phrase) < 0.4


def test_no_evaluated_patient_was_trained_on():
    """Training and validation draw patients upwards of two numbers that no evaluated patient reaches."""
    assert max(PATIENTS) < min(FIRST_TRAINING_PATIENT, FIRST_VALIDATION_PATIENT)


def test_half_of_the_files_are_measured_at_another_size_and_this_is_counted(demo):
    described = json.loads((demo.results / "datasets/demo/dataset.json").read_text())
    sizes = [
        json.loads(path.read_text())["imageWidth"]
        for path in (demo.results / "demo/angiograms").glob("*.json")
    ]
    assert sorted(set(sizes)) == [512, 800]
    assert sizes.count(800) == len(sizes) // 2
    assert described["counts"]["images_scaled"] == sizes.count(800)


def test_no_name_or_number_of_a_patient_is_published(demo):
    stems = [path.stem.split("_") for path in (demo.results / "demo/angiograms").glob("*.png")]
    names = {f"{family}_{given}" for family, given, *_ in stems} | {number for _, _, number, _ in stems}
    published = [folder for folder in demo.results.iterdir() if folder.name != "demo"]  # the data themselves
    pattern = re.compile("|".join(map(re.escape, names)).encode())
    for path in (path for folder in published for path in folder.rglob("*") if path.is_file()):
        assert not pattern.search(path.name.encode()), path
        assert not pattern.search(path.read_bytes()), path


def test_the_report_and_its_tables_are_there(demo):
    report = demo.results / "report"
    assert (report / "index.html").stat().st_size > 10_000
    assert list((report / "tables").glob("*.csv"))
    assert list((report / "tables").glob("*.tex"))
    assert list((report / "figures").glob("*.svg"))
