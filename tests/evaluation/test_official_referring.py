"""Predictions of referring segmentation in a plain file: what is counted, and what is refused."""

import json

import numpy as np
import pytest

from refvessel import rle
from refvessel.dataset.tree.refs import write_refs
from refvessel.errors import UserError
from refvessel.evaluation.official_referring import score_referring

SIZE = (20, 30)


def box(rows, columns):
    mask = np.zeros(SIZE, bool)
    mask[rows, columns] = True
    return mask


LEFT, RIGHT, EMPTY = box(slice(5, 15), slice(0, 10)), box(slice(5, 15), slice(20, 30)), np.zeros(SIZE, bool)


@pytest.fixture
def root(tmp_path):
    """One image: two vessels and a crowd; refs of one, both, none and the crowd alone, as gRefCOCO has them."""
    folder = tmp_path / "root/ref_seg/grefcoco"
    folder.mkdir(parents=True)
    annotations = [
        {"id": number, "image_id": 7, "segmentation": rle.encode(mask), "iscrowd": int(number == 3)}
        for number, mask in ((1, LEFT), (2, RIGHT), (3, LEFT | RIGHT))
    ]
    images = [{"id": 7, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}]
    (folder / "instances.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    refs = [
        {
            "ref_id": number,
            "ann_id": ids,
            "image_id": 7,
            "split": "val",
            "sentences": [{"sent_id": 10, "sent": f"phrase {number}"}],  # unique within a ref
        }
        for number, ids in enumerate(([1], [1, 2], [-1], [3]))
    ]
    (folder / "grefs(unc).json").write_text(json.dumps(refs))
    return tmp_path / "root"


def answer(ref_id, *masks, text="Sure, [SEG]."):
    return {"ref_id": ref_id, "sent_id": 10, "answer": text, "masks": [rle.encode(mask) for mask in masks]}


@pytest.fixture
def score(root, tmp_path):
    def score(*answers, split="val"):
        path = tmp_path / "predictions.json"
        path.write_text(json.dumps(answers))
        return score_referring(
            benchmark="grefcoco", root=root, split=split, predictions=path, output=tmp_path / "scores.json"
        )

    return score


def test_targets_are_united_and_crowds_are_none(score):
    result = score(answer(0, LEFT), answer(1, LEFT, RIGHT), answer(2), answer(3, LEFT))
    assert [each["union"] for each in result["per_expression"]] == [100, 200, 0, 100]
    assert [each["intersection"] for each in result["per_expression"]] == [100, 200, 0, 0]
    assert result["float64"]["cIoU"] == pytest.approx(300 / 400)
    assert result["float64"]["gIoU"] == pytest.approx((100 / 100.00001 + 200 / 200.00001 + 1 + 0) / 4)
    assert (result["N-acc"], result["T-acc"]) == (0.5, 1)  # without a target: an empty answer, and a mask
    assert "union" not in result


def test_a_mask_without_the_token_counts_as_none(score):
    result = score(answer(0, LEFT, text="Here."), answer(1, EMPTY), answer(2, LEFT, text="No."), answer(3))
    assert [each["counted_as_no_mask"] for each in result["per_expression"]] == [True, False, True, True]
    assert (result["N-acc"], result["T-acc"]) == (1, 0)


def test_the_pickle_is_preferred(score, root):
    folder = root / "ref_seg/grefcoco"
    refs = json.loads((folder / "grefs(unc).json").read_text())
    write_refs(folder / "grefs(unc).p", refs[:1])
    assert score(answer(0, LEFT), answer(1, LEFT))["n_expressions"] == 1


def test_all_that_is_missing_or_double_is_named_at_once(score, tmp_path):
    with pytest.raises(UserError) as refused:
        score(answer(1, LEFT), answer(1, LEFT), answer(9, LEFT))
    told = str(refused.value)
    assert "without a prediction: ref 0 sentence 10, ref 2 sentence 10, ref 3 sentence 10" in told
    assert "predicted more than once: ref 1 sentence 10" in told
    assert not (tmp_path / "scores.json").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"masks": [rle.empty(4, 5)]}, "RLE is of size \\[4, 5\\]"),
        ({"masks": [{"size": list(SIZE), "counts": "0"}]}, "does not cover"),
        ({"masks": None}, "'masks' must be a list"),
        ({"answer": None}, "'answer' must be text"),
    ],
)
def test_a_damaged_prediction_is_refused(score, change, named):
    with pytest.raises(UserError, match=named):
        score(answer(0, LEFT) | change, answer(1), answer(2), answer(3))


def test_a_split_without_refs_is_refused(score):
    with pytest.raises(UserError, match="no ref that the official loader takes for the split 'testA'"):
        score(split="testA")
