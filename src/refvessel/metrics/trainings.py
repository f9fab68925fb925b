"""Several trainings of one method: the spread over trainings beside the spread over patients."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from refvessel.metrics.comparison import patient_scores
from refvessel.metrics.power import standard_deviation
from refvessel.metrics.summary import plain


def spread_of_trainings(
    models: Mapping[str, pd.DataFrame], groups: Mapping[str, str], scores: list[str]
) -> list[dict[str, Any]]:
    """Every group of two or more models on every score, one row each.

    trainings           the models of the group
    patient_mean        mean over trainings of the patient mean
    lowest, highest     patient mean of the lowest and of the highest training
    training_sd         standard deviation of the trainings' patient means
    patient_sd          standard deviation of the patients' scores, each the mean over trainings
    training_error, patient_error
                        what each contributes to the standard error of patient_mean: a standard deviation over the
                        root of the number of trainings, or of patients

    None where something is undefined.

    Args:
        models: a table of cases of each by its name; rows of one position are one expression.
        groups: model -> its group; a model without one is left out.
        scores: the scores that are looked at.
    """
    members: dict[str, list[str]] = {}
    for model in models:
        if model in groups:
            members.setdefault(groups[model], []).append(model)
    return [
        {"score": score, "group": group, "trainings": trainings, **_spread(models, trainings, score)}
        for score in scores
        for group, trainings in members.items()
        if len(trainings) > 1
    ]


def _spread(models: Mapping[str, pd.DataFrame], trainings: list[str], score: str) -> dict[str, Any]:
    values = patient_scores({name: models[name] for name in trainings}, score).to_numpy()
    patients = len(values)
    of_trainings = values.mean(axis=0) if patients else np.full(len(trainings), np.nan)
    training_sd, patient_sd = standard_deviation(of_trainings), standard_deviation(values.mean(axis=1))
    numbers = {
        "patient_mean": of_trainings.mean(),
        "lowest": of_trainings.min(),
        "highest": of_trainings.max(),
        "training_sd": training_sd,
        "patient_sd": patient_sd,
        "training_error": training_sd / np.sqrt(len(trainings)),
        "patient_error": patient_sd / np.sqrt(patients) if patients else np.nan,
    }
    return {"n_patients": patients} | {name: plain(float(value)) for name, value in numbers.items()}
