"""Models on several data sets: by how much each drops from the one that it was trained for."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from refvessel.metrics.bootstrap import CONFIDENCE, SEED, bca_interval, ratio
from refvessel.metrics.policy import ERRORS
from refvessel.metrics.summary import plain

_AT_ONCE = 1 << 22  # drawn patients


class Place(NamedTuple):
    """A split of a data set on which a model is scored."""

    model: str
    dataset: str
    split: str


def external_matrix(
    cases: Mapping[Place, pd.DataFrame], homes: Mapping[str, str], scores: Sequence[str], draws: int
) -> list[dict[str, Any]]:
    """Every model on every split, one row each per score, beside its home.

    patient_mean            with the ends of its 95% interval, low and high
    home_dataset, home_split
                            what it is compared with: the split of the same name at home, else the first there
    drop                    by how much it is worse than there, negative where it is better
    drop_low, drop_high     ends of its 95% interval: BCa bootstrap that draws patients of both

    None where something is undefined, as a drop at home.

    Args:
        cases: the table of cases of each.
        homes: model -> the data set that it was trained for.
        scores: the scores that are looked at.
        draws: of patients.
    """
    rows = []
    for score in scores:
        means = {place: table.groupby("patient")[score].mean().dropna() for place, table in cases.items()}
        for place, table in cases.items():
            home = home_of(place, list(cases), homes)
            rows.append(
                {
                    "score": score,
                    **place._asdict(),
                    "n_expressions": int(table[score].notna().sum()),
                    **_mean(means[place].to_numpy(), draws),
                    "home_dataset": home and home.dataset,
                    "home_split": home and home.split,
                    **_drop(means[home].to_numpy() if home else None, means[place].to_numpy(), score, draws),
                }
            )
    return rows


def home_of(place: Place, places: Sequence[Place], homes: Mapping[str, str]) -> Place | None:
    """The place of the model's home that a place is compared with; None where there is none, or it is at home."""
    home = homes.get(place.model)
    at_home = [each for each in places if (each.model, each.dataset) == (place.model, home)]
    if place.dataset == home or not at_home:
        return None
    return next((each for each in at_home if each.split == place.split), at_home[0])


def _mean(patients: np.ndarray, draws: int) -> dict[str, Any]:
    if not len(patients):
        return {"n_patients": 0, "patient_mean": None, "low": None, "high": None}
    low, high = bca_interval(ratio(patients[:, None], np.ones((len(patients), 1))), len(patients), draws)
    numbers = {"patient_mean": patients.mean(), "low": low[0], "high": high[0]}
    return {"n_patients": len(patients)} | {name: plain(value) for name, value in numbers.items()}


def _drop(home: np.ndarray | None, away: np.ndarray, score: str, draws: int) -> dict[str, float | None]:
    names = ("drop", "drop_low", "drop_high")
    if home is None or not len(home) or not len(away):
        return dict.fromkeys(names)
    sign = -1 if score in ERRORS else 1

    def statistic(one: np.ndarray, other: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(sign * (one.mean(axis=axis) - other.mean(axis=axis)))

    drop = float(statistic(home, away))
    if min(len(home), len(away)) < 2:
        return dict(zip(names, (drop, None, None), strict=True))
    if max(np.ptp(home), np.ptp(away)) <= 1e-12:  # nothing varies
        return dict.fromkeys(names, drop)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where one of the two does not vary
        found = stats.bootstrap(
            (home, away),
            statistic,
            n_resamples=draws,
            batch=max(1, _AT_ONCE // max(len(home), len(away))),
            vectorized=True,
            confidence_level=CONFIDENCE,
            method="BCa",
            rng=np.random.default_rng(SEED),
        ).confidence_interval
    return dict(zip(names, (drop, plain(float(found.low)), plain(float(found.high))), strict=True))
