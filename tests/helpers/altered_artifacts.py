"""Results whose every number is another one, as if another run had made them: what a report shows must follow."""

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageOps
from rich_results import FILMS, FRAMES, UNSEEN

from refvessel import artifacts, rle
from refvessel.answer_status import Status
from refvessel.files import sha256_of_file
from refvessel.metrics.comparison import RANK_SHARE
from refvessel.spreadsheets import read_csv, write_csv

# An order of bytes, so that sizes of files change, too.
_INDENT = 3
_ANOTHER_DAY = 2_015_610_000  # in 2033
_KEPT = {"ref_id", "sent_id", "height", "width", "format", "format_version"}  # identify, or say how to read
_SAID = ("text", "message", "warnings")  # sentences
_LONGER = ("files", "candidates")  # lists that get another member
_MASKS = ("truth_mask", "predicted_mask", "mask", "masks")  # columns of run lengths as JSON
_TABLES = (
    *(artifacts.CASES, artifacts.BREAKS, artifacts.PREDICTIONS, artifacts.VIDEO_CASES),
    *(artifacts.RANKING, artifacts.THRESHOLDS, "*.tsv"),
)
_DOCUMENTS = (
    *(artifacts.SUMMARY, artifacts.COMPARISON, artifacts.VIDEO, artifacts.VIDEO_COMPARISON, artifacts.WORDS),
    *(artifacts.CONVERSION, Path(artifacts.EXTERNAL).name, "questions/*/*.json"),
)
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)")


def another(value: float) -> float:
    """Another number, which any rounding shows; counts stay counts, order and sign are kept."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return 3 * value + 2
    return value if math.isnan(value) else math.copysign(2 * abs(value) + 3.513, value)


def alter_results(root: Path) -> None:
    """Change every number of the artifacts below a folder, every mask and image, and how many cases, tests and
    checks there are.

    Hashes by which artifacts name each other follow, so that they still belong together.
    """
    tables = [path for name in _TABLES for path in sorted(root.rglob(name))]
    renamed: dict[str, str] = {}
    for path in [*tables, *sorted(root.rglob(artifacts.DATASET))]:
        before = sha256_of_file(path)
        _alter_json(path, {}) if path.suffix == ".json" else _alter_table(path)
        renamed[before] = sha256_of_file(path)
    for name in _DOCUMENTS:
        for path in root.rglob(name):
            _alter_json(path, renamed)
    for path in root.rglob("*.png"):
        with Image.open(path) as image:
            changed = ImageOps.invert(image.convert("L"))
        changed.save(path)


def _alter_table(path: Path) -> None:
    if path.suffix == ".parquet":
        _alter_parquet(path)
        return
    texts = ("score", "model") if path.name == artifacts.RANKING else ()
    of_jobs = path.suffix == ".tsv"
    table = pd.read_csv(path, sep="\t") if of_jobs else read_csv(path, texts)
    ranks = [name for name in table.columns if name.startswith(RANK_SHARE)]
    numbers = table.select_dtypes("number").columns.difference(ranks)
    changed = {name: [another(value) for value in table[name].tolist()] for name in numbers}
    changed |= {name: [another(value) if value else 0.0 for value in table[name].tolist()] for name in ranks}
    if of_jobs:
        pd.concat(2 * [table.assign(**changed)]).to_csv(path, sep="\t", index=False)
        os.utime(path, (_ANOTHER_DAY, _ANOTHER_DAY))
    else:
        write_csv(table.assign(**changed), path)


def _alter_parquet(path: Path) -> None:
    stored = pq.read_table(path)
    rows = [_row(row) for row in stored.to_pylist()]
    if path.name == artifacts.CASES:
        names = {"patient": {"PC": "PB"}, "image_id": {"image4": "image3"}}
        rows = [row | {key: new.get(row[key], row[key]) for key, new in names.items()} for row in rows]
        del rows[slice(FRAMES - 1, None, FRAMES) if FILMS in path.parts else slice(-2, None)]
    elif path.name == artifacts.BREAKS:
        rows = [*rows, *rows]
    elif UNSEEN in path.parts:
        rows = [
            row | {"sent_id": row["sent_id"] + number * len(rows)} | told
            for number, told in enumerate(({}, {"status": Status.FAILED}, {"status": Status.NO_SEG}))
            for row in rows
        ]
    told = {
        key: json.dumps(altered(json.loads(text))) for key, text in (stored.schema.metadata or {}).items()
    }
    schema = stored.schema.with_metadata(told)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="gzip")


def _row(row: dict[str, Any]) -> dict[str, Any]:
    changed = {key: value if key in _KEPT else _number(value) for key, value in row.items()}
    masks = {key: json.loads(row[key]) for key in _MASKS if row.get(key) is not None}
    return changed | {key: json.dumps(_another_mask(mask)) for key, mask in masks.items()}


def _another_mask(mask: Any) -> Any:
    """A mask, or each of several, that is larger; an empty one stays empty."""
    if isinstance(mask, list):
        return [_another_mask(each) for each in mask]
    pixels = rle.decode(mask)
    return rle.encode(pixels | np.roll(pixels, 2, axis=0))


def _number(value: Any) -> Any:
    return another(value) if isinstance(value, int | float) else value


def _alter_json(path: Path, renamed: dict[str, str]) -> None:
    content = altered(json.loads(path.read_text("utf-8")))
    if "tests" in content:
        content["tests"] = content["tests"][:-1]
    if "sentinels" in content:
        next(check for check in content["sentinels"].values() if not check["raised"])["raised"] = True
    text = json.dumps(content, indent=_INDENT)
    for before, after in renamed.items():
        text = text.replace(before, after)
    path.write_text(text, "utf-8")


def altered(value: Any, key: str = "") -> Any:
    """A document whose every number is another; `key` is that of a list or value."""
    if isinstance(value, dict):
        return {name: each if name in _KEPT else altered(each, name) for name, each in value.items()}
    if isinstance(value, list):
        changed = [altered(each, key) for each in value]
        return [*changed, changed[0]] if key in _LONGER else changed
    if isinstance(value, str) and (key in _SAID or re.fullmatch(r"\d+(\.\d+)+(\+\w+)?", value)):
        return _NUMBER.sub(_another_in_text, value) if key in _SAID else f"9{value}"
    return _number(value)


def _another_in_text(found: re.Match[str]) -> str:
    text = found[0]
    return f"{another(float(text)):.1f}" if "." in text else str(another(int(text)))
