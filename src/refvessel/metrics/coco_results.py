"""Predictions as COCO results JSON, the form that COCO's own tools read (`COCO.loadRes`)."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from refvessel import masks


def coco_results(predictions: pd.DataFrame, coco_ids: Mapping[int, tuple[int, int]]) -> list[dict[str, Any]]:
    """One result an expression whose prediction has foreground, by sent_id.

    `predictions` is a table as `read_predictions` gives. `coco_ids` maps a ref_id to the image_id and the
    category_id in instances.json. `score` is the predicted IoU, 1 where the model gave none.
    """
    results = []
    for row in predictions.sort_values("sent_id").itertuples():
        if masks.area(row.mask):
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
