"""Comparing models from their tables of cases: `comparison.json` and `ranking.csv`."""

from collections.abc import Collection, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel.artifacts import COMPARISON, RANKING, VIDEO_COMPARISON
from refvessel.errors import UserError
from refvessel.evaluation.shared_phrases import answered_of_cases, with_shared_phrases
from refvessel.files import atomic_file, write_json
from refvessel.metrics.bootstrap import CONFIDENCE, SEED
from refvessel.metrics.cases import EXPRESSION, read_hashed_cases
from refvessel.metrics.comparison import paired_tests, ranking
from refvessel.metrics.non_inferiority import non_inferiority_tests
from refvessel.metrics.policy import SCORES
from refvessel.metrics.rank_methods import agreement, ranked_by_all_methods
from refvessel.metrics.sanity_checks import equal_between
from refvessel.metrics.trainings import spread_of_trainings
from refvessel.provenance import file_record, versions
from refvessel.settings.scores_section import Scores
from refvessel.spreadsheets import write_csv

# What makes two rows the same case: the expression and everything it is judged by.
_TRUTH = (*EXPRESSION, "patient", "height", "width", "truth_mask", "ignore_mask")
_LOOKED_AT = (*_TRUTH, "predicted_pixels")


def compare_models(
    *,
    cases: Mapping[str, Path],
    output: Path,
    settings: Scores,
    groups: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Compare two or more models on the same expressions; write both files, return the comparison.

    Args:
        cases: the cases.parquet of each model by its name.
        output: folder of the two files.
        settings: `compared` are the declared comparisons, Holm's correction runs over all of them and all pairs of
            models; `bootstrap_draws` are those over patients and of the sign flips; `non_inferiority` are the
            declared margins.
        groups: model -> the method that it is one training of; those that share one are described together.

    Raises UserError, before anything is written, for fewer than two models, an unknown score, tables that were
    scored with different settings, and tables of different cases: the sentence then lists every difference.
    """
    scores, draws = settings.compared, settings.bootstrap_draws
    if len(cases) < 2:
        raise UserError("A comparison needs at least two models; name a cases.parquet of each.")
    for score in (*scores, *settings.non_inferiority):
        require_known_score(score)
    if unknown := sorted(set(groups or {}) - set(cases)):
        raise UserError(f"The group of {unknown[0]!r} is stated, which is not compared; leave it out.")
    tables, scored_with, left_out = read_same_cases(cases, {*scores, *settings.non_inferiority})
    tests = paired_tests(tables, list(scores), draws)
    ranked = pd.concat(
        [ranked_by_all_methods(ranking(tables, score, draws), tables, tests) for score in scores],
        ignore_index=True,
    )
    output = Path(output)
    (output / VIDEO_COMPARISON).unlink(missing_ok=True)  # of earlier cases
    with atomic_file(output / RANKING) as temporary:
        write_csv(ranked, temporary)
    first = next(iter(tables.values()))
    comparison = {
        "models": list(cases),
        "n_expressions": len(first),
        "n_patients": int(first["patient"].nunique()),
        "phrases_left_out": left_out,
        "settings": {
            **scored_with,
            "scores": list(scores),
            "non_inferiority": dict(settings.non_inferiority),
            "bootstrap": {"draws": draws, "seed": SEED, "confidence": CONFIDENCE},
        },
        "tests": tests,
        "agreement": agreement(ranked),
        "non_inferiority": non_inferiority_tests(tables, settings.non_inferiority),
        "groups": spread_of_trainings(tables, groups or {}, list(scores)),
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


def require_known_score(score: str) -> None:
    """Raise UserError for a name that no column of scores has."""
    if score not in SCORES:
        raise UserError(f"The score '{score}' cannot be compared; choose among {', '.join(SCORES)}.")


def read_same_cases(
    cases: Mapping[str, Path], scores: Collection[str]
) -> tuple[dict[str, pd.DataFrame], dict[str, Any], dict[str, list[str]]]:
    """The tables of models, rows of one position being one expression, and the settings they were scored with.

    Behind these stands each phrase that is left out, with the models that do not answer it: those that do are not
    looked at there, either.
    Raises UserError for tables of different cases, with every difference, scored with different settings, or
    without one of `scores`.
    """
    tables, made_from = {}, {}
    for name, path in cases.items():
        table, made_from[name] = read_hashed_cases(path, _LOOKED_AT, scores)
        tables[name] = table.sort_values("sent_id", ignore_index=True)
    answered = {name: answered_of_cases(each) for name, each in made_from.items()}
    tables, left_out = with_shared_phrases(tables, answered)
    first, *others = cases
    for other in others:
        _require_same_cases(tables[first], tables[other], cases[first], cases[other])
        if not _scored_alike(made_from[first]["settings"], made_from[other]["settings"]):
            raise UserError(
                f"{cases[first]} and {cases[other]} were scored with different settings "
                f"({made_from[first]['settings']} and {made_from[other]['settings']}); score both alike."
            )
    return tables, made_from[first]["settings"], left_out


def _scored_alike(one: Any, other: Any) -> bool:
    """Whether two settings are equal but for those of scores that an earlier version did not know."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return bool(one == other)
    stated_once = one.keys() ^ other.keys()
    return stated_once <= {*Scores.model_fields, *SCORES} and all(
        _scored_alike(one[name], other[name]) for name in one.keys() & other.keys()
    )


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
