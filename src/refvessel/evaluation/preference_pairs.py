"""Pairs of a better and a worse mask of the same expression, for preference training: `pairs.jsonl`, `pairs.json`.

docs/preference-pairs.md says what is in them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel.answer_status import Status
from refvessel.artifacts import PAIRS, PAIRS_SUMMARY
from refvessel.dataset.tree.expressions import Expression, Tree, read_tree
from refvessel.dataset.tree.layout import IMAGES, description
from refvessel.dataset.tree.stated_facts import has_truth
from refvessel.errors import UserError
from refvessel.evaluation.judging import Measure, judge_pairs
from refvessel.evaluation.pairing import pair_expressions, truth_table
from refvessel.files import atomic_file, write_json
from refvessel.metrics.policy import ERRORS, SCORES, resolve_policy
from refvessel.metrics.summary import plain
from refvessel.predictions.table import read_predictions
from refvessel.provenance import file_record, versions
from refvessel.settings.scores_section import Scores

TRAINING_SPLIT = "train"  # as the official loader calls it
TRUTH = "truth"  # what the truth is called among the candidates
CHOSEN_BY = "dice"
PAIR_SCORES = (CHOSEN_BY, "cldice", *(score for score in SCORES if score.startswith("betti")))
# Of both dimensions.
_TOTALS = {"betti_error": "betti{}_error", "betti_matching_error": "betti{}_matching_error"}

Candidate = dict[str, Any]


def export_pairs(
    *,
    predictions: Mapping[str, Path],
    dataset: Path,
    split: str,
    output: Path,
    settings: Scores,
    with_truth: bool = False,
    least_margin: float = 0.0,
    threads: int = 1,
) -> dict[str, Any]:
    """Write the pairs of a training split, and return how many there are of what.

    Of each expression the candidate with the highest Dice is chosen, and each other one that is worse by
    `least_margin` at least, and by more than nothing, is rejected. Failed predictions are no candidates: nobody
    preferred them.

    Args:
        predictions: tables of `gather_predictions` by the name of the model, or question, that answered.
        dataset: official RefCOCO tree.
        split: its training split.
        output: folder to write into.
        settings: how masks are scored.
        with_truth: whether the truth is a candidate, too.
        least_margin: in Dice.
        threads: processes that share the scoring.

    Raises:
        UserError: for another split than the training split, one whose images or patients are in other splits,
            too, fewer than two candidates, and predictions that are not those of the split's expressions.
    """
    _require_training(dataset, split)
    if len(predictions) + with_truth < 2:
        raise UserError(
            "One candidate makes no pair; give the predictions of another model, or --with-truth."
        )
    if TRUTH in predictions:
        raise UserError(f"A table of predictions is called {TRUTH!r}, as the truth is; name it otherwise.")
    tree = read_tree(dataset)
    expressions = tree.expressions(split)
    _require_apart(tree, split, expressions)
    truth = truth_table(expressions)
    found: dict[int, list[Candidate]] = {}
    made_from, failed = {}, {}
    for name, path in predictions.items():
        table, made_from[name] = read_predictions(path)
        candidates = list(_candidates(name, table, truth, settings, threads))
        failed[name] = len(expressions) - len(candidates)
        for sent_id, candidate in candidates:
            found.setdefault(sent_id, []).append(candidate)
    if with_truth:
        for sent_id, candidate in _truths(truth, settings, threads):
            found.setdefault(sent_id, []).append(candidate)
    pairs = [
        pair
        for each in expressions
        for pair in _pairs_of(each, found.get(each.sent_id, []), Path(dataset), least_margin)
    ]
    with atomic_file(output / PAIRS) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(pair, ensure_ascii=False, allow_nan=False) + "\n" for pair in pairs)
    summary = {
        "n_pairs": len(pairs),
        "n_expressions": len(expressions),
        "n_expressions_without_pair": len(expressions) - len({pair["sent_id"] for pair in pairs}),
        "n_failed": failed,
        "least_margin": least_margin,
        "pairs": file_record(output / PAIRS),
        "provenance": {
            "versions": versions(),
            "dataset": file_record(description(dataset)),
            "split": split,
            "predictions": made_from,
        },
    }
    write_json(output / PAIRS_SUMMARY, summary)
    return summary


def _require_training(dataset: Path, split: str) -> None:
    if split != TRAINING_SPLIT:
        raise UserError(
            f"The split {split!r} is not for training: what was trained on its pairs could not be evaluated on it "
            f"any more; export pairs of the split {TRAINING_SPLIT!r}."
        )
    if not has_truth(dataset):
        raise UserError(
            f"{dataset} has no truth, so no mask on it is better than another; give another tree."
        )


def _require_apart(tree: Tree, split: str, expressions: Sequence[Expression]) -> None:
    """Raise UserError where what is trained on is in another split, too."""
    others = tree.split_names() - {split}
    elsewhere = tree.expressions_of(others) if others else []
    for kind, mine, theirs in (
        ("image", {each.image_id for each in expressions}, {each.image_id for each in elsewhere}),
        (
            "patient",
            {each.patient for each in expressions if each.patient_stated},
            {each.patient for each in elsewhere if each.patient_stated},
        ),
    ):
        if shared := sorted(mine & theirs):
            raise UserError(
                f"{tree.root} has {len(shared)} {kind}s of the split {split!r} in another split, too, such as "
                f"{shared[0]!r:.200}; divide it anew before you train on it."
            )


def _candidates(
    name: str, table: pd.DataFrame, truth: pd.DataFrame, settings: Scores, threads: int
) -> Iterator[tuple[int, Candidate]]:
    """sent_id and candidate of each prediction that did not fail."""
    paired = pair_expressions(table, truth)
    scored = _scored(paired, settings, threads)
    said = {row["sent_id"]: row for row in table[["sent_id", "prompt", "answer"]].to_dict("records")}
    row: Any
    for row, scores in zip(paired.itertuples(), scored, strict=True):
        if row.status != Status.FAILED:
            stated = {"prompt": said[row.sent_id]["prompt"], "answer": said[row.sent_id]["answer"]}
            yield row.sent_id, {"from": name, **stated, "mask": row.mask_predicted, **scores}


def _truths(truth: pd.DataFrame, settings: Scores, threads: int) -> Iterator[tuple[int, Candidate]]:
    """sent_id and candidate of each truth."""
    answered = truth.assign(status=Status.OK, error=None, num_seg=1)
    paired = pair_expressions(answered, truth)
    row: Any
    for row, scores in zip(paired.itertuples(), _scored(paired, settings, threads), strict=True):
        yield row.sent_id, {"from": TRUTH, "prompt": None, "answer": None, "mask": row.mask, **scores}


def _scored(paired: pd.DataFrame, settings: Scores, threads: int) -> list[dict[str, float | None]]:
    measure = Measure.stated(settings, unit="px", threads=threads)
    cases = judge_pairs(paired, resolve_policy(settings.empty_cases), measure).cases
    return [{name: plain(row[name]) for name in PAIR_SCORES} for row in cases.to_dict("records")]


def _pairs_of(
    expression: Expression, candidates: Sequence[Candidate], dataset: Path, least_margin: float
) -> Iterator[dict[str, Any]]:
    defined = [each for each in candidates if each[CHOSEN_BY] is not None]
    if not defined:
        return
    chosen = max(defined, key=itemgetter(CHOSEN_BY))  # the first of equal ones
    for rejected in defined:
        margin = chosen[CHOSEN_BY] - rejected[CHOSEN_BY]
        if margin > 0 and margin >= least_margin:
            yield {
                "image": expression.image_path.relative_to(dataset / IMAGES).as_posix(),
                "image_id": expression.image_id,
                "ref_id": expression.ref_id,
                "sent_id": expression.sent_id,
                "patient": expression.patient,
                "phrase": expression.phrase,
                "prompt": chosen["prompt"] or rejected["prompt"],
                "chosen": chosen,
                "rejected": rejected,
                "margin": _margins(chosen, rejected),
            }


def _margins(chosen: Candidate, rejected: Candidate) -> dict[str, float | None]:
    """By how much the chosen one is better, by score; negative where it is worse, None where undefined."""
    margins: dict[str, float | None] = {}
    for name in PAIR_SCORES:
        better, worse = chosen[name], rejected[name]
        if better is None or worse is None:
            margins[name] = None
        else:
            margins[name] = worse - better if name in ERRORS else better - worse
    for total, name in _TOTALS.items():
        both = [margins[name.format(dimension)] for dimension in (0, 1)]
        margins[total] = sum(each for each in both if each is not None) if None not in both else None
    return margins
