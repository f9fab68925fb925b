"""From the scores of frames to those of sequences, one phrase of one run each, and their means."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from refvessel.metrics.bootstrap import bca_interval, ratio
from refvessel.metrics.cases import EXPRESSION
from refvessel.metrics.summary import plain
from refvessel.metrics.temporal import flicker

SEQUENCE = ("video", "expression")  # what names one

# One row per frame and expression.
FRAMES_SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("expression", pa.string()),  # its key in meta_expressions.json
        ("frame", pa.string()),  # its name there
        ("index", pa.int64()),  # its place among the video's frames, from 0
        *(
            (name, pa.int64() if name.endswith("_id") and name != "image_id" else pa.string())
            for name in EXPRESSION
        ),
        ("patient", pa.string()),
        ("status", pa.string()),  # of Status
        ("truth_pixels", pa.int64()),
        ("predicted_pixels", pa.int64()),
        ("J", pa.float64()),
        ("F", pa.float64()),
        ("dice", pa.float64()),  # of the table of cases
        # Since the frame before that was scored; null of the first.
        ("step", pa.int64()),  # frames
        ("consistency", pa.float64()),
        ("truth_consistency", pa.float64()),
    ]
)

# Of a sequence: the mean over its frames or, of the consistencies, over its pairs of frames.
_MEANS = ("J", "F", "dice", "consistency", "truth_consistency")
SEQUENCE_SCORES = ("J", "F", "J&F", "dice", "consistency", "truth_consistency", "flicker", "truth_flicker")
COMPARED = ("J", "F", "J&F", "dice", "consistency", "flicker")  # of entrants: what is not the truth's


def score_sequences_of(frames: pd.DataFrame) -> pd.DataFrame:
    """SEQUENCE_SCORES of each sequence of a table with the columns of FRAMES_SCHEMA, one row per sequence.

    Beside them stand video, expression, phrase, patient, n_frames and step, the median of the frames'.
    """
    rows = []
    for _, sequence in frames.groupby(list(SEQUENCE), sort=True):
        in_order = sequence.sort_values("index")
        areas, truth = (in_order[name].to_numpy() for name in ("predicted_pixels", "truth_pixels"))
        means = in_order[list(_MEANS)].mean()
        scores = {
            **means,
            "J&F": (means["J"] + means["F"]) / 2,
            "flicker": flicker(areas, truth),
            "truth_flicker": flicker(truth, truth),
        }
        stated = in_order.iloc[0][[*SEQUENCE, "phrase", "patient"]]
        rows.append({**stated, "n_frames": len(in_order), "step": in_order["step"].median(), **scores})
    columns = [*SEQUENCE, "phrase", "patient", "n_frames", "step", *SEQUENCE_SCORES]
    return pd.DataFrame(rows, columns=columns)


def summarise_sequences(sequences: pd.DataFrame, draws: int) -> dict[str, Any]:
    """Numbers of sequences and their scores: a mean over sequences and one over patients, with their intervals.

    Args:
        sequences: of `score_sequences_of`.
        draws: of patients.

    Returns:
        `n_sequences`, `n_videos`, `n_frames`, `n_patients` and, per score, `_mean` (over sequences),
        `_patient_mean` (of the patients' means), each with `_low` and `_high`, the ends of its 95% interval
        over patients, and `_n`, over how many sequences. None where something is undefined.
    """
    by_patient = sequences.groupby("patient")[list(SEQUENCE_SCORES)]
    sums, counts = by_patient.sum(), by_patient.count()
    above = np.concatenate([sums, (sums / counts).fillna(0)], axis=1)
    below = np.concatenate([counts, counts > 0], axis=1).astype(np.float64)
    statistic, patients = ratio(above, below), len(sums)
    estimates = statistic(np.ones((1, patients)))[0]
    low, high = bca_interval(statistic, patients, draws)
    names = [f"{score}{kind}" for kind in ("_mean", "_patient_mean") for score in SEQUENCE_SCORES]
    found: dict[str, Any] = {
        "n_sequences": len(sequences),
        "n_videos": int(sequences["video"].nunique()),
        "n_frames": int(sequences["n_frames"].sum()),
        "n_patients": patients,
    }
    for score in SEQUENCE_SCORES:
        for name in (f"{score}_mean", f"{score}_patient_mean"):
            place = names.index(name)
            ends = {"": estimates[place], "_low": low[place], "_high": high[place]}
            found |= {f"{name}{end}": plain(value) for end, value in ends.items()}
        found[f"{score}_n"] = int(sequences[score].count())
    return found
