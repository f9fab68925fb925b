"""Predictions and truth in the forms that COCO's own tools read (`COCO.loadRes`, `COCOeval`)."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from pycocotools import mask as coco

from refvessel import rle


def coco_results(predictions: pd.DataFrame, coco_ids: Mapping[int, tuple[int, int]]) -> list[dict[str, Any]]:
    """One result per expression whose prediction has foreground, by sent_id.

    `predictions` is a table as `read_predictions` gives. `coco_ids` maps a ref_id to the image_id and the
    category_id in instances.json. `score` is the predicted IoU, 1 where the model gave none.
    """
    results = []
    row: Any
    for row in predictions.sort_values("sent_id").itertuples():
        if rle.area(row.mask):
            image_id, category_id = coco_ids[row.ref_id]
            results.append(
                {
                    "image_id": image_id,
                    "category_id": category_id,
                    "segmentation": row.mask,
                    "score": 1.0 if pd.isna(row.score) else float(row.score),
                }
            )
    return results


def coco_truth(
    truth: pd.DataFrame, coco_ids: Mapping[int, tuple[int, int]], categories: Mapping[int, str]
) -> dict[str, Any]:
    """The truth of the same expressions as COCO annotations: one per ref that has foreground.

    `truth` is a table as `score` takes it with, as `file_name`, the image's path below the tree's image folder.
    `categories` maps a category_id to its name. instances.json has its RLEs in lists, as Sa2VA's loader wants
    them; COCO's tools take what is in a list for polygons, so each is bare here.
    """
    images: dict[int, dict[str, Any]] = {}
    annotations = []
    row: Any
    for row in truth.drop_duplicates("ref_id").sort_values("ref_id").itertuples():
        image_id, category_id = coco_ids[row.ref_id]
        images[image_id] = {
            "id": image_id,
            "file_name": row.file_name,
            "width": row.width,
            "height": row.height,
        }
        if rle.area(row.mask):
            annotations.append(
                {
                    "id": row.ref_id,
                    "image_id": image_id,
                    "category_id": category_id,
                    "segmentation": row.mask,
                    "area": rle.area(row.mask),
                    "bbox": coco.toBbox(row.mask).tolist(),  # x, y, width, height
                    "iscrowd": 0,
                }
            )
    return {
        "info": {},
        "images": list(images.values()),
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in categories.items()],
    }
