"""Evaluations on data without truth: what was predicted, shown and counted, and nothing scored."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel import rle
from refvessel.answer_status import Status
from refvessel.dataset.tree.image_places import image_places
from refvessel.dataset.tree.layout import description
from refvessel.dataset.tree.stated_facts import FirstLook, first_look, has_truth
from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.predictions.table import read_predictions
from refvessel.provenance import FileRecord, file_record
from refvessel.report.drawing import PREDICTION
from refvessel.report.overlays import case_panel, read_image
from refvessel.report.panels import Key, write_panels
from refvessel.report.sections import Evaluation
from refvessel.sentences import marked

_MOST_SHOWN = 3  # images of a phrase
COLUMNS = {
    "n_expressions": "n",
    "n_failed": marked("Failed"),
    "n_no_seg": marked("No [SEG]"),
    "n_empty_prediction": marked("Empty answers"),
    "foreground_mean": marked("Foreground share"),
    "predicted_iou_mean": marked("Predicted IoU"),
}


@dataclass(frozen=True)
class Unscored:
    """What the files of an evaluation without truth say.

    `predictions` has a row per expression; `sources` the record of each file by its role: predictions, dataset.
    """

    evaluation: Evaluation
    predictions: pd.DataFrame
    images: dict[str, Path]
    dataset: dict[str, Any]
    looked_at: FirstLook | None
    made_from: dict[str, Any]
    sources: dict[str, FileRecord]

    @property
    def by_phrase(self) -> dict[str, dict[str, Any]]:
        """COLUMNS of each phrase."""
        return {
            str(phrase): _counted(group) for phrase, group in self.predictions.groupby("phrase", sort=True)
        }


def read_unscored(evaluation: Evaluation, dataset: Path) -> Unscored:
    """Read an evaluation's files; raises UserError where one is missing, and where the tree has a truth."""
    described = description(dataset)
    for path in (evaluation.predictions, described):
        if not path.is_file():
            raise UserError(f"{path} does not exist; make it before the report of {evaluation.name}.")
    if has_truth(dataset):
        raise UserError(f"{described} says that there is a truth; score {evaluation.name} before the report.")
    predictions, read = read_predictions(evaluation.predictions)
    return Unscored(
        evaluation,
        predictions,
        image_places(dataset, set(predictions["ref_id"])),
        read_json(described),
        first_look(dataset, evaluation.split),
        read["made_from"],
        {"predictions": file_record(evaluation.predictions), "dataset": file_record(described)},
    )


def unscored_table(evaluations: Sequence[Unscored]) -> pd.DataFrame:
    """One row per evaluation and phrase."""
    return pd.DataFrame(
        {
            **{key: getattr(one.evaluation, key) for key in ("model", "dataset", "split")},
            "phrase": phrase,
            **counts,
        }
        for one in evaluations
        for phrase, counts in one.by_phrase.items()
    )


def draw_examples(one: Unscored, phrase: str, path: Path) -> list[str]:
    """The outlines of a phrase's predictions over some of its images; returns which: evenly spread over all.

    Raises UserError where an image is missing, does not open or has another size than its masks.
    """
    rows = one.predictions[one.predictions["phrase"] == phrase].sort_values("sent_id")
    places = sorted({round(i * (len(rows) - 1) / (_MOST_SHOWN - 1)) for i in range(_MOST_SHOWN)})
    shown = rows.iloc[places].to_dict("records")
    panels = []
    for row in shown:
        height, width = row["mask"]["size"]
        case = {"image_id": row["image_id"], "height": height, "width": width}
        masks = {"truth_mask": None, "predicted_mask": row["mask"]}
        image = read_image(one.images, case)
        panels.append(case_panel(case | masks, image, title="", label=row["image_id"]))
    write_panels([panels], [Key("prediction", PREDICTION, "line")], path, columns=_MOST_SHOWN)
    return [str(row["image_id"]) for row in shown]


def _counted(group: pd.DataFrame) -> dict[str, Any]:
    areas = group["mask"].map(rle.area)
    sizes = group["mask"].map(lambda mask: mask["size"][0] * mask["size"][1])
    score = group["score"].astype(float).mean()
    return {
        "n_expressions": len(group),
        "n_failed": int((group["status"] == Status.FAILED).sum()),
        "n_no_seg": int((group["status"] == Status.NO_SEG).sum()),
        "n_empty_prediction": int((areas == 0).sum()),
        "foreground_mean": float((areas / sizes).mean()),
        "predicted_iou_mean": None if pd.isna(score) else float(score),
    }
