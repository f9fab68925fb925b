"""The same predictions against the truth as other rasterisers draw it, from data set to summary."""

import json
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw
from skimage.draw import polygon2mask
from stages import convert_dataset, score_split

from refvessel import rle
from refvessel.dataset.regions import rasterisers
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.layout import OUTLINES
from refvessel.dataset.tree.outlines import outlines_file, read_outlines
from refvessel.errors import UserError

SIZE = (90, 60)  # width, height


def tube(seed: int) -> np.ndarray:
    """The outline of a thin straight vessel, (4, 2), columns (x, y)."""
    random = np.random.default_rng(seed)
    angle, width = random.uniform(0, 1), random.uniform(3, 6)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]]) * width / 2
    start = random.uniform(8, 12, 2)
    end = start + along * 40
    return np.array([start + across, end + across, end - across, start - across])


@pytest.fixture
def tree(tmp_path):
    """Six frames of three patients, each with a vessel of two tubes and no catheter; one was drawn at 2x."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(6):
        name = f"p{number // 2}_{number}"
        noise = np.random.default_rng(number).integers(0, 256, SIZE[::-1], np.uint8)
        Image.fromarray(noise).save(source / f"{name}.png")
        factor = 2 if number == 5 else 1
        shapes = [
            {"label": "vessel", "points": (factor * tube(10 * number + k)).tolist(), "shape_type": "polygon"}
            for k in range(2)
        ]
        content = {"imagePath": f"{name}.png", "imageData": None, "shapes": shapes}
        content |= {"imageWidth": factor * SIZE[0], "imageHeight": factor * SIZE[1]}
        (source / f"{name}.json").write_text(json.dumps(content))
    convert_dataset(
        format="labelme",
        root=source,
        output=tmp_path / "tree",
        phrases={"vessel": "blood vessel"},
        single_split="test",
        key_file=tmp_path / "secret/key",
    )
    return tmp_path / "tree"


@pytest.fixture
def predictions(tree, tmp_path):
    """The truth without its lower rows, one expression failed."""
    rows = []
    for number, each in enumerate(read_expressions(tree, "test")):
        mask = rle.decode(each.truth)
        mask[30 + number :] = 0
        failed = number == 2
        encoded = rle.empty(each.height, each.width) if failed else rle.encode(mask)
        rows.append(
            {
                **{key: getattr(each, key) for key in ("image_id", "ref_id", "sent_id", "phrase")},
                "prompt": "<image>\n Please segment it in this image.",
                "answer": "Sure, [SEG].",
                "num_seg": int(not failed),
                "status": "failed" if failed else "ok",
                "error": "out of memory" if failed else None,
                "mask": json.dumps(encoded),
                "masks": json.dumps([] if failed else [encoded]),
                "score": 0.75,
                "seconds": 0.1,
            }
        )
    table = pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False)
    path = tmp_path / "predictions.parquet"
    pq.write_table(table.replace_schema_metadata({"refvessel": "{}"}), path)
    return path


def scored(tree, predictions, tmp_path, **options):
    arguments = {
        "dataset": tree,
        "split": "test",
        "output": tmp_path / "scores",
        "bootstrap_draws": 100,
    } | options
    return score_split(predictions=predictions, **arguments)


def by_pillow(polygons, size) -> np.ndarray:
    image = Image.new("1", size)
    for polygon in polygons:
        ImageDraw.Draw(image).polygon([tuple(point) for point in polygon.tolist()], fill=1)
    return np.asarray(image)


def by_skimage(polygons, size) -> np.ndarray:
    return np.any([polygon2mask(size[::-1], polygon[:, ::-1]) for polygon in polygons], axis=0)


def by_opencv(rounded):
    def draw(polygons, size) -> np.ndarray:
        import cv2

        mask = np.zeros(size[::-1], np.uint8)
        for polygon in polygons:
            points = np.round(polygon) if rounded else np.trunc(polygon)
            cv2.fillPoly(mask, [points.astype(np.int32)], 1)
        return mask > 0

    return draw


DRAWN_BY = {
    "opencv truncated": by_opencv(rounded=False),
    "opencv rounded": by_opencv(rounded=True),
    "pillow": by_pillow,
    "scikit-image": by_skimage,
}


def test_every_rasteriser_is_a_row_with_the_scores_of_its_own_truth(tree, predictions, tmp_path):
    pytest.importorskip("cv2")
    summary = scored(tree, predictions, tmp_path)
    rows = summary["by_rasteriser"]
    assert list(rows) == ["coco", *DRAWN_BY]
    answers = pd.read_parquet(predictions).set_index("sent_id")["mask"]
    outlines = read_outlines(tree / OUTLINES)
    for name, draw in DRAWN_BY.items():
        dice = []
        for each in read_expressions(tree, "test"):
            prediction = rle.decode(json.loads(answers[each.sent_id])).astype(bool)
            truth = draw(outlines[each.ref_id], (each.width, each.height))
            dice.append(2 * (prediction & truth).sum() / (prediction.sum() + truth.sum()))
        assert rows[name]["dice_mean"] == pytest.approx(np.mean(dice), abs=1e-9), name
        assert rows[name]["dice_mean"] != rows["coco"]["dice_mean"]
    for name, row in rows.items():
        assert (row["n_expressions"], row["n_failed"], row["n_patients"]) == (6, 1, 3), name
    truths_own = {key: summary[key] for key in rows["coco"]}
    assert rows["coco"] == truths_own
    assert summary["provenance"]["outlines"]["name"] == "outlines.npz"


def test_of_many_images_a_sample_is_drawn_again(tree, predictions, tmp_path, monkeypatch):
    monkeypatch.setattr(rasterisers, "SAMPLE", 4)
    summary = scored(tree, predictions, tmp_path)
    assert {row["n_expressions"] for row in summary["by_rasteriser"].values()} == {4}
    assert summary["n_expressions"] == 6


def test_without_opencv_its_rows_are_missing(tree, predictions, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    rasterisers.opencv_is_installed.cache_clear()
    try:
        assert list(scored(tree, predictions, tmp_path)["by_rasteriser"]) == [
            "coco",
            "pillow",
            "scikit-image",
        ]
    finally:
        rasterisers.opencv_is_installed.cache_clear()


def test_a_tree_without_polygons_has_no_rows(tree, predictions, tmp_path):
    (tree / OUTLINES).unlink()
    summary = scored(tree, predictions, tmp_path)
    assert summary["by_rasteriser"] == {}
    assert "outlines" not in summary["provenance"]


def test_polygons_of_another_truth_are_refused(tree, predictions, tmp_path):
    outlines = read_outlines(tree / OUTLINES)
    with outlines_file(tree / OUTLINES) as add:
        for ref_id, polygons in (outlines | {3: outlines[4]}).items():
            add(ref_id, polygons)
    with pytest.raises(UserError, match="other polygons for ref 3 than its truth was drawn from"):
        scored(tree, predictions, tmp_path)
    assert not (tmp_path / "scores").exists()
