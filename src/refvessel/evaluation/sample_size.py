"""How many patients a difference needs, from finished scores or from the patients' differences themselves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from refvessel.errors import UserError
from refvessel.evaluation.comparing import read_same_cases, require_known_score
from refvessel.metrics.clustering import design_effect, intraclass_correlation
from refvessel.metrics.power import (
    FEWEST_PATIENTS,
    LEVEL,
    POWER,
    detectable_difference,
    patients_needed,
    standard_deviation,
)
from refvessel.metrics.summary import plain


def power_of_cases(
    cases: Sequence[Path], *, score: str, difference: float | None = None
) -> dict[str, int | float | str | None]:
    """What the patients of one or two finished tables of cases can show, and how many a difference needs.

    Two tables: the patients' differences of the two, paired over the same expressions. One: its patients' scores
    take their place. Their standard deviation is that of the differences from a second model whose scores agree
    with them by a correlation of 0.5, sd * sqrt(2 * (1 - 0.5)); two trainings of one method agree more, and then
    fewer patients suffice.

    Args:
        cases: one cases.parquet, or two.
        score: the score that is looked at.
        difference: in the unit of the score; None: that which is seen, where there are two tables.

    Returns: as `power_of_differences`, with `score`, `n_expressions`, `icc` and `design_effect` besides.

    Raises UserError for no or more than two tables, an unknown score, tables of different cases, and a score that
    no expression has.
    """
    require_known_score(score)
    if len(cases) not in (1, 2):
        raise UserError(f"{len(cases)} tables of cases were given; name one cases.parquet, or two.")
    tables, *_ = read_same_cases({str(number): path for number, path in enumerate(cases)}, {score})
    first, *others = tables.values()
    values = first[score] - others[0][score] if others else first[score]
    known = values.notna().to_numpy()
    if not known.any():
        raise UserError(f"{cases[0]} has no expression whose {score} is defined; choose another score.")
    values, patients = values[known], first["patient"][known]
    of_patients = values.groupby(patients).mean().to_numpy()
    icc = intraclass_correlation(values.to_numpy(), patients.to_numpy())
    seen = difference if difference is not None or not others else float(of_patients.mean())
    return {
        "score": score,
        "n_expressions": len(values),
        **_power(of_patients, seen),
        "icc": plain(icc),
        "design_effect": plain(design_effect(icc, len(values), len(of_patients))),
    }


def power_of_differences(
    differences: Sequence[float], difference: float | None = None
) -> dict[str, int | float | str | None]:
    """What as many patients can show, from one difference of two models per patient.

    patients                how many there are
    sd                      standard deviation of their differences
    difference              that which is asked about: the given one, else the mean
    detectable_difference   the smallest that as many patients show with 80% power at two-sided 5%; None of
                            fewer than six, who show none
    patients_needed         how many show `difference`

    None where something is undefined. Raises UserError for fewer than two and for values that are no numbers.
    """
    if len(differences) < 2:
        raise UserError("One patient has no spread; give the differences of two patients at least.")
    if not np.isfinite(differences).all():
        raise UserError("A difference is no finite number; leave out the patients that have none.")
    values = np.asarray(differences, np.float64)
    return _power(values, float(values.mean()) if difference is None else difference)


def told(power: Mapping[str, Any]) -> str:
    """The same in a sentence or two."""
    score = f" in {power['score']}" if "score" in power else ""
    if power["patients"] < FEWEST_PATIENTS:
        text = (
            f"With fewer than {FEWEST_PATIENTS} patients, here {power['patients']}, no test of a comparison "
            f"reaches {LEVEL:.0%}: no difference{score} can be shown, however large."
        )
    else:
        text = (
            f"{power['patients']} patients show a difference{score} of {power['detectable_difference']:.4f} or "
            f"more ({POWER:.0%} power, two-sided {LEVEL:.0%})."
        )
    if power["patients_needed"] is None:
        return text
    return (
        f"{text} A difference of {abs(power['difference']):.4f} needs {power['patients_needed']:,} patients."
    )


def _power(of_patients: np.ndarray, difference: float | None) -> dict[str, int | float | str | None]:
    sd = standard_deviation(of_patients)
    return {
        "patients": len(of_patients),
        "sd": plain(sd),
        "difference": difference,
        "detectable_difference": plain(detectable_difference(sd, len(of_patients))),
        "patients_needed": None if difference is None else patients_needed(difference, sd),
    }
