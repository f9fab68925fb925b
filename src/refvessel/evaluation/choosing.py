"""The question that scores best on one split, to be asked on another: where several answers meet the truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel.dataset.tree.expressions import read_expressions
from refvessel.errors import UserError
from refvessel.evaluation.pairing import pair_expressions, truth_table
from refvessel.files import write_json
from refvessel.metrics.bootstrap import CONFIDENCE, SEED
from refvessel.metrics.overlap import overlap_scores, pixel_counts
from refvessel.metrics.patient_means import patient_mean
from refvessel.metrics.policy import resolve_policy
from refvessel.predictions.table import read_predictions
from refvessel.provenance import versions
from refvessel.settings.scores_section import Scores

CHOSEN_BY = "dice_patient_mean"


def choose_question(
    *, candidates: Mapping[str, Path], dataset: Path, output: Path, settings: Scores
) -> dict[str, Any]:
    """Write, and return, which of several questions has the highest Dice, as the mean over patients.

    Of equal ones it is the first. Failed expressions and those without [SEG] count as empty masks.

    Args:
        candidates: the table of `gather_predictions` of each question, by its name, all of one split.
        dataset: official RefCOCO tree.
        output: JSON file: the question, what each of them scores and over how many expressions and patients, and
            what they were made from.
        settings: how Dice is formed where a mask is empty, and the draws of patients for the intervals.

    Raises:
        UserError: for fewer than two candidates, and where they differ in more than their question.
    """
    if len(candidates) < 2:
        raise UserError("there is nothing to choose from; give the predictions of two questions or more.")
    tables, runs, made_from = {}, {}, {}
    for name, path in candidates.items():
        tables[name], made_from[name] = read_predictions(path)
        runs[name] = made_from[name]["made_from"]["run"]
        if runs[name] is None:
            raise UserError(f"{path} does not say which question it answers; segment again.")
    common = [{key: value for key, value in run.items() if key != "question"} for run in runs.values()]
    if any(each != common[0] for each in common):
        raise UserError(
            f"the predictions of {', '.join(candidates)} differ in more than their question; segment all alike."
        )
    truth = truth_table(read_expressions(dataset, common[0]["split"]))
    policy = resolve_policy(settings.empty_cases)
    scored = {
        name: _dice_of_patients(pair_expressions(table, truth), policy, settings.bootstrap_draws)
        for name, table in tables.items()
    }
    best = max(scored, key=lambda name: _defined(scored[name][CHOSEN_BY]))  # the first of equal ones
    chosen = {
        "question": runs[best]["question"],
        "name": best,
        "chosen_by": CHOSEN_BY,
        "candidates": [
            {"name": name, "question": runs[name]["question"], **scored[name]} for name in candidates
        ],
        "run": common[0],
        "dataset": made_from[best]["made_from"]["dataset"],
        "settings": {
            "empty_policy": policy["dice"],
            "bootstrap": {"draws": settings.bootstrap_draws, "seed": SEED, "confidence": CONFIDENCE},
        },
        "provenance": {"versions": versions(), "predictions": made_from},
    }
    write_json(output, chosen)
    return chosen


def _dice_of_patients(paired: pd.DataFrame, policy: Any, draws: int) -> dict[str, Any]:
    counts = pixel_counts(
        paired["scored_prediction"].tolist(),
        paired["scored_truth"].tolist(),
        paired["scored_pixels"].tolist(),
    )
    dice = overlap_scores(counts, policy)["dice"]
    found = patient_mean(dice, paired["patient"], draws)
    return {
        CHOSEN_BY: found["mean"],
        **{f"{CHOSEN_BY}_{end}": found[end] for end in ("low", "high")},
        "n_expressions": len(paired),
        "n_patients": found["n_patients"],
    }


def _defined(mean: float | None) -> float:
    return -1.0 if mean is None else mean
