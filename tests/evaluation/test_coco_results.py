import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from refvessel import rle
from refvessel.evaluation.coco_results import coco_results


@pytest.fixture
def predictions(tables, vessel_cases):
    return tables(vessel_cases)[0]


COCO_IDS = {ref_id: (10 + ref_id, 1) for ref_id in range(1, 7)}


def test_every_prediction_with_foreground_is_a_result(predictions):
    results = coco_results(predictions[::-1], COCO_IDS)
    answered = predictions[predictions["status"] == "ok"]
    assert [each["image_id"] for each in results] == [10 + ref_id for ref_id in answered["ref_id"]]
    assert [each["segmentation"] for each in results] == answered["mask"].tolist()
    assert {each["score"] for each in results} == {0.5}


def test_a_prediction_without_a_score_counts_fully(predictions):
    assert coco_results(predictions.assign(score=np.nan), COCO_IDS)[0]["score"] == 1


def test_cocos_own_tools_read_and_score_the_results(tables, vessel_cases, tmp_path):
    cases = [
        case | {"prediction": case["truth"], "status": "ok"} for case in vessel_cases if case["truth"].any()
    ]
    predictions, truth = tables(cases)
    annotations = [
        {
            "id": row.ref_id,
            "image_id": 10 + row.ref_id,
            "category_id": 1,
            "segmentation": row.mask,
            "area": rle.area(row.mask),
            "bbox": [0, 0, 1, 1],
            "iscrowd": 0,
        }
        for row in truth.itertuples()
    ]
    images = [{"id": each["image_id"], "height": 24, "width": 32} for each in annotations]
    instances = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "vessel"}],
        "info": {},
    }
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    (tmp_path / "results.json").write_text(json.dumps(coco_results(predictions, COCO_IDS)))
    with contextlib.redirect_stdout(io.StringIO()):
        ground = COCO(tmp_path / "instances.json")
        evaluated = COCOeval(ground, ground.loadRes(str(tmp_path / "results.json")), "segm")
        evaluated.evaluate()
        evaluated.accumulate()
        evaluated.summarize()
    assert evaluated.stats[0] == pytest.approx(1)
