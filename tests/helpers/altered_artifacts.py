"""Results whose every number is another one, as if another run had made them: what a report shows must follow."""

import json
import math
import re
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from refvessel.files import sha256_of_file
from refvessel.metrics.comparison import RANK_SHARE
from refvessel.metrics.label_ceiling import CEILING_SCORES
from refvessel.spreadsheets import read_csv, write_csv

# An order of bytes, so that sizes of files change, too.
_INDENT = 3
_KEPT = {"ref_id", "sent_id", "height", "width", "format", "format_version"}  # identify, or say how to read
_SAID = ("text", "message")  # sentences
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)")


def another(value: float) -> float:
    """Another number, which any rounding shows; counts stay counts, order and sign are kept."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return 3 * value + 2
    return value if math.isnan(value) else math.copysign(2 * abs(value) + 3.513, value)


def alter_results(root: Path) -> None:
    """Change every number of the artifacts below a folder, and how many cases, tests and checks there are.

    Hashes by which artifacts name each other follow, so that they still belong together.
    """
    names = ("cases.parquet", "breaks.parquet", "predictions.parquet", "ranking.csv")
    tables = [path for name in names for path in sorted(root.rglob(name))]
    described = sorted(root.rglob("dataset.json"))
    renamed: dict[str, str] = {}
    for path in [*tables, *described]:
        before = sha256_of_file(path)
        _alter_json(path, {}) if path.suffix == ".json" else _alter_table(path)
        renamed[before] = sha256_of_file(path)
    for name in ("summary.json", "comparison.json", "external.json", "conversion.json", "words.json"):
        for path in root.rglob(name):
            _alter_json(path, renamed)


def enrich_results(root: Path) -> None:
    """Add to the artifacts below a folder what only larger runs have, with numbers that stand nowhere else."""
    number = count(1)

    def measured(*names: str) -> dict[str, Any]:
        return {name: round(0.1 + 0.00371 * next(number), 5) for name in names} | {
            "n_expressions": 5 + next(number)
        }

    def drawn() -> dict[str, Any]:
        return {"scores": measured(*CEILING_SCORES), "n_expressions": 5 + next(number)}

    def asked() -> dict[str, Any]:
        return measured("mean", "low", "high") | {"n": 3 + next(number), "n_patients": 4 + next(number)}

    renamed: dict[str, str] = {}
    for path in root.rglob("dataset.json"):
        before = sha256_of_file(path)
        widths = {"all": {"truths": 41, "dice_mean": {"pillow": 0.931}, "area_mean": {"pillow": 1.12}}}
        gates = {
            "patients": {"compared": 19},
            "identical_pixels": {"compared": 43},
            "near_duplicates": {"nearest": 98, "bits": 256, "threshold": 56, "told_apart_by_vessels": 6},
            "trained_on": {"compared": 29, "listed": 23},
        }
        more = {
            "counts": {"images": 44, "expressions": 88, "patients": 11, "images_dropped": 6},
            "rasteriser_sensitivity": {"truths": 41, "images": 37, "by_width": widths},
            "gates": gates,
        }
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | more), "utf-8")
        renamed[before] = sha256_of_file(path)
    for path in root.rglob("summary.json"):
        summary = json.loads(path.read_text("utf-8"))
        ceiling = drawn() | {"basis": "corners moved", "share": measured(*CEILING_SCORES)}
        ceiling |= {"by_vessel_width": {"thin": drawn()}, "drawings": {"pillow": drawn()}}
        groups = summary["by_phrase"]
        regions = measured(*("f1", "f1_low", "f1_high", "pq", "pq_low", "pq_high", "AP", "AP50", "AP75"))
        regions |= {"n_truths": 71, "n_predictions": 72, "n_images": 73, "n_matched": 74}
        summary |= {"ceiling": ceiling, "regions": regions, "by_rasteriser": {"coco": groups["catheter"]}}
        summary |= {"near_ties": {"n": 3, "of": 17, "below": 0.0001}, "first_look_of_n_patients": 77}
        text = json.dumps(summary)
        for before, after in renamed.items():
            text = text.replace(before, after)
        path.write_text(text, "utf-8")
        kinds = {
            kind: {
                "dice_change": asked(),
                "masks": asked(),
                "by_words": [{"phrase": "vein", "words": kind} | said],
            }
            for kind in ("paraphrases", "translations")
            if (said := measured("dice_change", "masks") | {"n": 3 + next(number)})
        }
        words = {
            "predictions": summary["provenance"]["predictions"],
            "settings": {"different_targets_below_iou": 0.5},
            "swapped": {name: asked() for name in ("masks", "truths", "own", "other")},
            "absent": {"n_acc": asked(), "as_shown": asked()},
            **kinds,
        }
        path.with_name("words.json").write_text(json.dumps(words), "utf-8")


def _alter_table(path: Path) -> None:
    if path.suffix == ".csv":
        table = read_csv(path, texts=("score", "model"))
        ranks = [name for name in table.columns if name.startswith(RANK_SHARE)]
        numbers = table.select_dtypes("number").columns.difference(ranks)
        changed = {name: [another(value) for value in table[name].tolist()] for name in numbers}
        changed |= {
            name: [another(value) if value else 0.0 for value in table[name].tolist()] for name in ranks
        }
        write_csv(table.assign(**changed), path)
        return
    stored = pq.read_table(path)
    rows = (
        stored.to_pylist()
        if path.name == "predictions.parquet"
        else [_row(row) for row in stored.to_pylist()]
    )
    if path.name == "cases.parquet":
        names = {"patient": {"PC": "PB"}, "image_id": {"image4": "image3"}}
        rows = [row | {key: new.get(row[key], row[key]) for key, new in names.items()} for row in rows[:-1]]
    elif path.name == "breaks.parquet":
        rows = [*rows, *rows]
    pq.write_table(pa.Table.from_pylist(rows, schema=stored.schema), path, compression="gzip")


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value if key in _KEPT else _number(value) for key, value in row.items()}


def _number(value: Any) -> Any:
    return another(value) if isinstance(value, int | float) else value


def _alter_json(path: Path, renamed: dict[str, str]) -> None:
    content = _altered(json.loads(path.read_text("utf-8")))
    if "tests" in content:
        content["tests"] = content["tests"][:-1]
    if "sentinels" in content:
        next(check for check in content["sentinels"].values() if not check["raised"])["raised"] = True
    text = json.dumps(content, indent=_INDENT)
    for before, after in renamed.items():
        text = text.replace(before, after)
    path.write_text(text, "utf-8")


def _altered(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: each if name in _KEPT else _altered(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_altered(each, key) for each in value]
    if isinstance(value, str) and (key in _SAID or re.fullmatch(r"\d+(\.\d+)+(\+\w+)?", value)):
        return _NUMBER.sub(_another_in_text, value) if key in _SAID else f"9{value}"
    return _number(value)


def _another_in_text(found: re.Match[str]) -> str:
    text = found[0]
    return f"{another(float(text)):.1f}" if "." in text else str(another(int(text)))
