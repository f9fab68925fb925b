"""Comparing models from their tables of cases: `comparison.json` and `ranking.csv`."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel.artifacts import COMPARISON, RANKING, VIDEO_COMPARISON
from refvessel.errors import UserError
from refvessel.files import atomic_file, write_json
from refvessel.metrics.bootstrap import CONFIDENCE, SEED
from refvessel.metrics.cases import EXPRESSION, read_cases
from refvessel.metrics.comparison import paired_tests, ranking
from refvessel.metrics.policy import SCORES
from refvessel.metrics.sanity_checks import equal_between
from refvessel.provenance import file_record, versions
from refvessel.settings.scores_section import Scores
from refvessel.spreadsheets import write_csv

# What makes two rows the same case: the expression and everything it is judged by.
_TRUTH = (*EXPRESSION, "patient", "height", "width", "truth_mask", "ignore_mask")


def compare_models(
    *,
    cases: Mapping[str, Path],
    output: Path,
    settings: Scores,
) -> dict[str, Any]:
    """Compare two or more models on the same expressions; write both files, return the comparison.

    Args:
        cases: the cases.parquet of each model by its name.
        output: folder of the two files.
        settings: `compared` are the declared comparisons, Holm's correction runs over all of them and all pairs of
            models; `bootstrap_draws` are those over patients and of the sign flips.

    Raises UserError, before anything is written, for fewer than two models, an unknown score, tables that were
    scored with different settings, and tables of different cases: the sentence then lists every difference.
    """
    scores, draws = settings.compared, settings.bootstrap_draws
    if len(cases) < 2:
        raise UserError("A comparison needs at least two models; name a cases.parquet of each.")
    if unknown := sorted(set(scores) - set(SCORES)):
        raise UserError(f"The score '{unknown[0]}' cannot be compared; choose among {', '.join(SCORES)}.")
    tables, made_from = {}, {}
    for name, path in cases.items():
        table, made_from[name] = read_cases(path)
        # From here on, rows of one position are one expression.
        tables[name] = table.sort_values("sent_id", ignore_index=True)
    first, *others = cases
    for other in others:
        _require_same_cases(tables[first], tables[other], cases[first], cases[other])
        if made_from[first]["settings"] != made_from[other]["settings"]:
            raise UserError(
                f"{cases[first]} and {cases[other]} were scored with different settings "
                f"({made_from[first]['settings']} and {made_from[other]['settings']}); score both alike."
            )
    ranked = pd.concat([ranking(tables, score, draws) for score in scores], ignore_index=True)
    output = Path(output)
    (output / VIDEO_COMPARISON).unlink(missing_ok=True)  # of earlier cases
    with atomic_file(output / RANKING) as temporary:
        write_csv(ranked, temporary)
    comparison = {
        "models": list(cases),
        "n_expressions": len(tables[first]),
        "n_patients": int(tables[first]["patient"].nunique()),
        "settings": {
            **made_from[first]["settings"],
            "scores": list(scores),
            "bootstrap": {"draws": draws, "seed": SEED, "confidence": CONFIDENCE},
        },
        "tests": paired_tests(tables, list(scores), draws),
        "sentinels": {
            f"equal_between {one} and {two}": equal_between(tables[one], tables[two])
            for one, two in combinations(cases, 2)
        },
        "provenance": {
            "versions": versions(),
            "cases": {name: file_record(path) for name, path in cases.items()},
            "ranking": file_record(output / RANKING),
        },
    }
    write_json(output / COMPARISON, comparison)
    return comparison


def _require_same_cases(
    first: pd.DataFrame, second: pd.DataFrame, first_path: Path, second_path: Path
) -> None:
    ids = set(first["sent_id"]), set(second["sent_id"])
    one, two = (table.set_index("sent_id", drop=False)[list(_TRUTH)].fillna("") for table in (first, second))
    common = sorted(ids[0] & ids[1])
    differ = (one.loc[common] != two.loc[common]).any(axis="columns")
    differences = {
        f"only in {first_path}": sorted(ids[0] - ids[1]),
        f"only in {second_path}": sorted(ids[1] - ids[0]),
        "with another image, phrase, patient or truth": differ.index[differ].tolist(),
    }
    found = [f"{_ranges(sent_ids)} {what}" for what, sent_ids in differences.items() if sent_ids]
    if found:
        raise UserError(
            f"{first_path} and {second_path} have different cases, by sent_id: {'; '.join(found)}; "
            "compare models on the same expressions."
        )


def _ranges(numbers: list[int]) -> str:
    """Sorted numbers, runs of them as `first-last`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
