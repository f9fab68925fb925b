"""The best scores that the labels allow: truths drawn again, from polygons to the summary."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy import ndimage
from scipy.stats import kstest, uniform
from stages import convert_dataset, score_cases, score_split

from refvessel import rle
from refvessel.dataset.tree.expressions import Expression, read_expressions
from refvessel.dataset.tree.layout import OUTLINES
from refvessel.dataset.tree.outlines import read_outlines
from refvessel.evaluation import label_drawings
from refvessel.evaluation.label_drawings import PolygonTruths, draw_again
from refvessel.evaluation.pairing import truth_table
from refvessel.metrics.label_ceiling import (
    CEILING_SCORES,
    JITTERED,
    ONE_PIXEL_OFF,
    THINNER,
    WIDER,
    label_ceiling,
)
from refvessel.metrics.overlap import OVERLAP_SCORES
from refvessel.metrics.policy import ERRORS, resolve_policy
from refvessel.metrics.shape import OUTLINE_SCORES
from refvessel.metrics.summary import summarise
from refvessel.report.ceiling_words import ceiling_sentences

HEIGHT, WIDTH = 60, 90
OTHERS = {"pillow", "scikit-image"}  # OpenCV's only where it is installed


def tube(width: float, row: float) -> np.ndarray:
    """The outline of a straight vessel, (4, 2), columns (x, y)."""
    return np.array([[10, row], [70, row + 5], [70, row + 5 + width], [10, row + width]])


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * (first & second).sum() / (first.sum() + second.sum())


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Six frames of three patients: vessels of 3 and of 12 pixels, and one frame without any."""
    root = tmp_path_factory.mktemp("tree")
    (root / "source").mkdir()
    for number in range(6):
        name = f"p{number // 2}_{number}"
        Image.fromarray(np.full((HEIGHT, WIDTH), 40 * number, np.uint8)).save(root / f"source/{name}.png")
        shapes = [{"label": "vessel", "points": tube(3 if number % 2 else 12, 8 + 5 * number).tolist()}]
        content = {"imagePath": f"{name}.png", "imageData": None, "shapes": shapes if number < 5 else []}
        content |= {"imageWidth": WIDTH, "imageHeight": HEIGHT}
        for shape in content["shapes"]:
            shape["shape_type"] = "polygon"
        (root / f"source/{name}.json").write_text(json.dumps(content))
    convert_dataset(
        format="labelme",
        root=root / "source",
        output=root / "tree",
        phrases={"vessel": "blood vessel"},
        single_split="test",
        key_file=root / "secret/key",
    )
    return root / "tree"


@pytest.fixture(scope="module")
def expressions(tree) -> list[Expression]:
    return read_expressions(tree, "test")


@pytest.fixture(scope="module")
def drawn(tree, expressions):
    return draw_again(expressions, PolygonTruths(read_outlines(tree / OUTLINES)), sample=9, annotator_pixel=1)


def truth_of(expressions, sent_id: int) -> np.ndarray:
    (mask,) = (each.truth for each in expressions if each.sent_id == sent_id)
    return rle.decode(mask).astype(bool)


def test_every_truth_with_a_vessel_is_drawn_in_every_way(drawn, expressions):
    assert {JITTERED, WIDER, THINNER} | OTHERS <= set(drawn)
    with_vessel = {each.sent_id for each in expressions if rle.area(each.truth)}
    assert len(with_vessel) == 5
    assert all(set(masks) == with_vessel for masks in drawn.values())


def test_wider_and_thinner_move_the_whole_outline_by_a_pixel(drawn, expressions):
    for sent_id in drawn[WIDER]:
        truth = truth_of(expressions, sent_id)
        wider, thinner = (rle.decode(drawn[name][sent_id]).astype(bool) for name in (WIDER, THINNER))
        assert np.array_equal(wider, ndimage.distance_transform_edt(~truth) <= 1)
        assert np.array_equal(thinner, ndimage.distance_transform_edt(truth) > 1)


def test_a_vessel_goes_on_beyond_the_image():
    mask = np.zeros((20, 20), bool)
    mask[5:15] = True
    thinner = rle.decode(drawn_of(mask)[THINNER][1]).astype(bool)
    assert thinner.sum() == 8 * 20


def drawn_of(mask: np.ndarray):
    one = SimpleNamespace(image_id="a", sent_id=1, ref_id=1, truth=rle.encode(mask), height=20, width=20)
    return draw_again([one], PolygonTruths({}), sample=1, annotator_pixel=1)


def test_moved_corners_change_only_what_is_near_the_outline(tree, expressions):
    outlines = PolygonTruths(read_outlines(tree / OUTLINES))
    again = {
        pixel: draw_again(expressions, outlines, sample=9, annotator_pixel=pixel) for pixel in (1e-9, 1, 3)
    }
    changed = dict.fromkeys(again, 0)
    for pixel, drawings in again.items():
        for sent_id, mask in drawings[JITTERED].items():
            truth = truth_of(expressions, sent_id)
            differs = rle.decode(mask).astype(bool) != truth
            inside, outside = ndimage.distance_transform_edt(truth), ndimage.distance_transform_edt(~truth)
            assert not (differs & (np.maximum(inside, outside) > np.hypot(pixel, pixel) + 1.5)).any()
            changed[pixel] += differs.sum()
    assert changed[1e-9] <= 10 < changed[1] < changed[3]


def test_corners_move_evenly_within_the_annotators_pixel(monkeypatch, expressions):
    corners, moved = np.full((4000, 2), 30.0), []
    monkeypatch.setattr(
        label_drawings, "rasterise", lambda polygon, *size: moved.append(polygon) or rle.empty(*size)
    )
    draw_again(
        expressions[:1], PolygonTruths({expressions[0].ref_id: [corners]}), sample=1, annotator_pixel=2
    )
    offsets = (moved[0] - corners) / 2  # in pixels of the annotator
    assert kstest(offsets.ravel(), uniform(-1, 2).cdf).pvalue > 0.001
    assert abs(np.corrcoef(offsets.T)[0, 1]) < 0.06


def test_the_same_truths_are_drawn_the_same_and_a_sample_is_a_part(tree, expressions, drawn):
    outlines = PolygonTruths(read_outlines(tree / OUTLINES))
    again = draw_again(expressions[::-1], outlines, sample=9, annotator_pixel=1)
    assert again == drawn
    some = draw_again(expressions, outlines, sample=2, annotator_pixel=1)
    assert [len(masks) for masks in some.values()] == [2] * len(drawn)
    assert all(drawn[name][key] == mask for name, masks in some.items() for key, mask in masks.items())
    assert draw_again(expressions, outlines, sample=0, annotator_pixel=1) == {}


@pytest.fixture(scope="module")
def summary(tree, expressions, tmp_path_factory) -> dict:
    """Of predictions that miss what lies right of column 50."""
    root = tmp_path_factory.mktemp("scored")
    rows = []
    for each in expressions:
        mask = rle.decode(each.truth)
        mask[:, 50:] = 0
        encoded = json.dumps(rle.encode(mask))
        ids = {key: getattr(each, key) for key in ("image_id", "ref_id", "sent_id", "phrase")}
        rows.append(
            ids | {"status": "ok", "error": None, "num_seg": 1, "mask": encoded, "masks": f"[{encoded}]"}
        )
    answered = {"prompt": "<image>", "answer": "[SEG]", "score": 0.5, "seconds": 0.1}
    table = pa.Table.from_pandas(pd.DataFrame(rows).assign(**answered), preserve_index=False)
    pq.write_table(table.replace_schema_metadata({"refvessel": "{}"}), root / "predictions.parquet")
    predictions, output = root / "predictions.parquet", root / "scores"
    return score_split(
        predictions=predictions, dataset=tree, split="test", output=output, bootstrap_draws=100
    )


def test_the_ceiling_is_what_the_moved_outlines_score_against_the_truths(summary, drawn, expressions):
    ceiling = summary["ceiling"]
    assert (ceiling["basis"], ceiling["n_expressions"]) == (JITTERED, 5)
    expected = [
        dice(rle.decode(mask).astype(bool), truth_of(expressions, sent_id))
        for sent_id, mask in drawn[JITTERED].items()
    ]
    assert ceiling["scores"]["dice"] == pytest.approx(np.mean(expected))
    for name, masks in drawn.items():
        of_all = [
            dice(rle.decode(mask).astype(bool), truth_of(expressions, key)) for key, mask in masks.items()
        ]
        assert ceiling["drawings"][name]["scores"]["dice"] == pytest.approx(np.mean(of_all))


def test_the_ceiling_has_every_score_and_the_other_drawings_those_of_outlines(summary, expressions, drawn):
    ceiling = summary["ceiling"]
    moved = scored_as_predictions(expressions, drawn[JITTERED])
    assert {score for score in CEILING_SCORES if moved[score].notna().any()} == {
        score for score, value in ceiling["scores"].items() if value is not None
    }
    assert ceiling["scores"]["breaks"] == moved["breaks"].mean()
    known = {score for score, value in ceiling["drawings"][WIDER]["scores"].items() if value is not None}
    assert known == {*OVERLAP_SCORES, *OUTLINE_SCORES}


def test_each_mean_score_is_a_share_of_its_ceiling_and_errors_have_none(summary):
    ceiling = summary["ceiling"]
    assert ceiling["share"]["dice"] == pytest.approx(summary["dice_mean"] / ceiling["scores"]["dice"])
    assert ceiling["share"]["cldice"] < 1
    assert not set(ceiling["share"]) & set(ERRORS)
    assert ceiling["scores"]["hd95"] > 0


def test_thin_vessels_have_a_lower_ceiling_than_wide_ones(summary):
    groups = summary["ceiling"]["by_vessel_width"]
    assert {name: group["n_expressions"] for name, group in groups.items()} == {
        "under 4 px": 2,
        "8 px to 12 px": 3,
    }
    thin, wide = groups.values()
    assert thin["scores"]["dice"] < wide["scores"]["dice"] < 1


def test_the_report_says_it_in_words(summary):
    first, second = ceiling_sentences(summary)
    assert "every corner of the outlines within 1 px" in first
    assert f"Dice {summary['ceiling']['scores']['dice']:.3f}" in first
    assert f"{100 * summary['ceiling']['share']['dice']:.0f}% of the Dice" in second


def test_truths_without_corners_are_drawn_a_pixel_wider_and_thinner(tree, tmp_path, expressions):
    (tree_without := tmp_path / "tree").mkdir()
    shutil.copytree(tree, tree_without, dirs_exist_ok=True, ignore=shutil.ignore_patterns(OUTLINES))
    drawn = draw_again(
        expressions, PolygonTruths(read_outlines(tree_without / OUTLINES)), sample=9, annotator_pixel=1
    )
    assert set(drawn) == {WIDER, THINNER}
    cases = {name: scored_as_predictions(expressions, masks) for name, masks in drawn.items()}
    means = summarise(cases[WIDER], resolve_policy())
    ceiling = label_ceiling(cases, means, resolve_policy())
    assert (ceiling["basis"], ceiling["n_expressions"]) == (ONE_PIXEL_OFF, 5)
    assert ceiling["scores"]["dice"] == pytest.approx(
        np.mean([cases[name]["dice"].mean() for name in (WIDER, THINNER)])
    )


def scored_as_predictions(expressions, masks) -> pd.DataFrame:
    truth = truth_table([each for each in expressions if each.sent_id in masks])
    answers = truth.assign(status="ok", error=None, num_seg=1, mask=truth["sent_id"].map(masks))
    return score_cases(answers, truth, resolve_policy())
