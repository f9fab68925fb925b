"""RefCOCO and gRefCOCO as the official evaluator scores them, of predictions in a plain JSON file."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from refvessel import rle
from refvessel.dataset.fields import of_kind, require
from refvessel.dataset.problems import Problems
from refvessel.dataset.regions.segmentation import read_run_lengths
from refvessel.dataset.tree.official_expressions import OfficialExpression, official_expressions
from refvessel.errors import UserError
from refvessel.files import read_json, write_json
from refvessel.metrics.official import answer_accuracies, overlaps, printed_scores, referring_scores
from refvessel.provenance import file_record, versions

_SEG = "[SEG]"

_Key = tuple[int, int]  # ref_id and sent_id


def score_referring(
    *, benchmark: str, root: Path, split: str, predictions: Path, output: Path
) -> dict[str, Any]:
    """Score predictions as the official evaluator does; write one JSON to `output` and return what it says.

    `cIoU` and `gIoU` are the official numbers, to the last digit of their float32 sums; `float64` has the
    same in double precision. Where an annotation has overlapping parts, the official truth is not their
    union: then `union` has what the same predictions score against the unions.

    Args:
        benchmark: `refcoco` or `grefcoco`; the latter has `N-acc` and `T-acc`, too.
        root: the folder that the official evaluator calls data root.
        split: as the official loader selects it.
        predictions: JSON, a list with one object per expression: `ref_id`, `sent_id`, `answer` and `masks`, a
            list of COCO RLEs. An answer without [SEG] counts as no mask.
        output: the JSON to write.

    Predictions of other splits are passed over. Raises UserError, before anything is written, for damaged
    files and where an expression of the split is not predicted exactly once: the sentence then names them
    all.
    """
    expressions = official_expressions(Path(root), benchmark, split)
    asked = {_key_of(each): each for each in expressions}
    if len(asked) < len(expressions):
        raise UserError(f"{root} has a sent_id twice in a ref of {split}; number the sentences anew.")
    answers = _read_predictions(Path(predictions), asked)
    masks = [answers[_key_of(each)] or rle.empty(*each.truth["size"]) for each in expressions]
    official = overlaps(masks, [each.truth for each in expressions])
    plain = overlaps(masks, [each.union for each in expressions])
    differing = sum(each.truth != each.union for each in expressions)
    result: dict[str, Any] = {
        "benchmark": benchmark,
        "split": split,
        "n_expressions": len(expressions),
        **printed_scores(_by_image(expressions, official)),
        "float64": referring_scores(official),
    }
    if differing:
        result["union"] = {**referring_scores(plain), "n_truths_that_differ": differing}
    if benchmark == "grefcoco":
        result |= answer_accuracies(masks, [each.truth for each in expressions])
    result["per_expression"] = [
        {
            "ref_id": each.ref_id,
            "sent_id": each.sent_id,
            "phrase": each.phrase,
            "counted_as_no_mask": answers[_key_of(each)] is None,
            "intersection": int(intersection),
            "union": int(union),
        }
        for each, (intersection, union) in zip(expressions, official, strict=True)
    ]
    result["provenance"] = {"versions": versions(), "predictions": file_record(Path(predictions))}
    write_json(Path(output), result)
    return result


def _key_of(expression: OfficialExpression) -> _Key:
    return expression.ref_id, expression.sent_id


def _by_image(expressions: Sequence[OfficialExpression], counts: np.ndarray) -> Iterable[np.ndarray]:
    """The rows of `counts` of each image: the official sums run over an image first."""
    rows = zip(expressions, counts, strict=True)
    return (
        np.array([row for _, row in of_image])
        for _, of_image in groupby(rows, key=lambda pair: pair[0].image_id)
    )


def _read_predictions(path: Path, asked: Mapping[_Key, OfficialExpression]) -> dict[_Key, rle.RLE | None]:
    """By expression, the union of an answer's masks; None where it counts as no mask."""
    problems = Problems()
    found: dict[_Key, rle.RLE | None] = {}
    repeated = set()
    for number, entry in enumerate(of_kind(read_json(path), list, str(path))):
        with problems.collect():
            where = f"{path}: prediction {number}"
            key = require(entry, "ref_id", int, where), require(entry, "sent_id", int, where)
            if key in found:
                repeated.add(key)
            elif key in asked:
                found[key] = _mask_of(entry, asked[key], f"{path}: {_named([key])}")
    problems.raise_any()
    faults = {
        "without a prediction": asked.keys() - found.keys(),
        "predicted more than once": repeated,
    }
    told = [f"{fault}: {_named(sorted(keys))}" for fault, keys in faults.items() if keys]
    if told:
        raise UserError(
            f"{path} does not answer the split's expressions once each; {'; '.join(told)}. Score the "
            "predictions of this split."
        )
    return found


def _named(keys: Sequence[_Key]) -> str:
    return ", ".join(f"ref {ref_id} sentence {sent_id}" for ref_id, sent_id in keys)


def _mask_of(entry: Any, expression: OfficialExpression, where: str) -> rle.RLE | None:
    height, width = expression.truth["size"]
    masks = [
        read_run_lengths(
            of_kind(mask, dict, f"{where}: mask {number}"), height, width, f"{where}: mask {number}"
        )
        for number, mask in enumerate(require(entry, "masks", list, where))
        if mask is not None
    ]
    answered = _SEG in require(entry, "answer", str, where)
    return rle.union(masks) if masks and answered else None
