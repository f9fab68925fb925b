"""The table of cases: every score of pairs of masks, with the policy for empty ones."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from refvessel.evaluation.pairing import pair_expressions
from refvessel.metrics.border_calibration import FROM_LOGITS
from refvessel.metrics.breaks_table import breaks_table
from refvessel.metrics.cases import CASES_SCHEMA, EXPRESSION
from refvessel.metrics.diameters import DIAMETERS
from refvessel.metrics.overlap import overlap_scores, pixel_counts
from refvessel.metrics.policy import EmptyPolicy, apply_policy
from refvessel.metrics.shape import (
    MISSED_CONNECTIONS,
    OUTLINE_SCORES,
    SHAPE_SCORES,
    SIZES,
    outline_scores,
    shape_scores,
)
from refvessel.rle import RLE
from refvessel.settings.scores_section import Scores

_CASES_PER_GROUP = 8192


@dataclass(frozen=True)
class Measure:
    """How surfaces are measured.

    unit: of distances, `px` or, where every expression has a spacing, `mm`.
    nsd_tolerance, boundary_distance, centre_line_tolerance: pixels.
    threads: processes that share the work.
    """

    unit: str
    nsd_tolerance: float
    boundary_distance: int
    centre_line_tolerance: int
    threads: int

    @classmethod
    def stated(cls, settings: Scores, *, unit: str, threads: int) -> "Measure":
        """As the settings say."""
        return cls(
            unit,
            settings.nsd_tolerance,
            settings.boundary_distance,
            settings.centre_line_tolerance,
            threads,
        )


def score_cases(
    predictions: pd.DataFrame,
    truth: pd.DataFrame,
    policy: EmptyPolicy,
    *,
    nsd_tolerance: float,
    boundary_distance: int,
    centre_line_tolerance: int,
    unit: str = "px",
    threads: int = 1,
) -> pd.DataFrame:
    """The table of cases, with the columns of CASES_SCHEMA, by sent_id; raises UserError as `score` does.

    `unit` of distances is `px` or, where every expression has a spacing, `mm`.
    """
    measure = Measure(unit, nsd_tolerance, boundary_distance, centre_line_tolerance, threads)
    return judge_pairs(pair_expressions(predictions, truth), policy, measure).cases


class Judged(NamedTuple):
    """The table of cases, and that of the breaks in them."""

    cases: pd.DataFrame
    breaks: pd.DataFrame


def judge_pairs(
    paired: pd.DataFrame,
    policy: EmptyPolicy,
    measure: Measure,
    probability: pd.DataFrame | None = None,
    between_pixels: pd.DataFrame | None = None,
) -> Judged:
    """As `score_cases`, of what `pair_expressions` gives and, row by row, the scores of probabilities.

    `between_pixels` has the diameters of some rows from their logits, which replace those of their masks.
    """
    pairs = _Pairs.of(paired, measure)
    shape = shape_scores(
        pairs.predicted,
        pairs.true,
        spacings=pairs.spacings,
        tolerance=measure.nsd_tolerance,
        boundary_distance=measure.boundary_distance,
        centre_line_tolerance=measure.centre_line_tolerance,
        threads=measure.threads,
    )
    diameters = shape[list(DIAMETERS)].set_axis(paired.index)
    if between_pixels is not None:
        diameters.update(between_pixels)
    if probability is None:
        probability = pd.DataFrame(np.nan, paired.index, FROM_LOGITS)
    columns: dict[str, Any] = {
        **pairs.columns(policy),
        **{name: shape[name] for name in SIZES},
        **diameters.astype({DIAMETERS[0]: np.int64}),
        **pairs.judged(shape, SHAPE_SCORES, policy),
        **pairs.judged(probability, FROM_LOGITS, policy),
        "row_spacing": [row for row, _ in pairs.known],
        "column_spacing": [column for _, column in pairs.known],
        "truth_mask": paired["mask"].map(_as_json),
        "predicted_mask": paired["mask_predicted"].map(_as_json),
        "ignore_mask": paired["ignore_mask"].map(_as_json),
    }
    cases = paired.assign(**columns)[CASES_SCHEMA.names]
    return Judged(cases, breaks_table(cases, shape[MISSED_CONNECTIONS].tolist()))


def judge_outlines(paired: pd.DataFrame, policy: EmptyPolicy, measure: Measure) -> pd.DataFrame:
    """The table of cases with the overlap scores and OUTLINE_SCORES alone; arguments as of `judge_pairs`."""
    pairs = _Pairs.of(paired, measure)
    outlines = outline_scores(
        pairs.predicted,
        pairs.true,
        spacings=pairs.spacings,
        tolerance=measure.nsd_tolerance,
        threads=measure.threads,
    )
    columns = {**pairs.columns(policy), **pairs.judged(outlines, OUTLINE_SCORES, policy)}
    return paired[[*EXPRESSION, "patient", "status"]].assign(**columns)


@dataclass(frozen=True)
class _Pairs:
    """Masks and pixel counts of paired expressions, row by row.

    known: height and width of a pixel in mm, NaN where unknown.
    spacings: the same in the unit that distances are measured in.
    diagonals: of the images, in that unit.
    """

    predicted: list[RLE]
    true: list[RLE]
    counts: pd.DataFrame
    known: list[tuple[float, float]]
    spacings: list[tuple[float, float]]
    diagonals: np.ndarray

    @classmethod
    def of(cls, paired: pd.DataFrame, measure: Measure) -> "_Pairs":
        predicted, true = paired["scored_prediction"].tolist(), paired["scored_truth"].tolist()
        counts = pixel_counts(predicted, true, paired["scored_pixels"].tolist())
        known = [spacing or (np.nan, np.nan) for spacing in paired["spacing"]]
        spacings = known if measure.unit == "mm" else [(1.0, 1.0)] * len(paired)
        diagonals = np.hypot(*(paired[["height", "width"]].to_numpy() * spacings).T)
        return cls(predicted, true, counts, known, spacings, diagonals)

    @property
    def sizes(self) -> dict[str, pd.Series]:
        """Numbers of foreground pixels."""
        tp = self.counts["tp"]
        return {"truth_pixels": tp + self.counts["fn"], "predicted_pixels": tp + self.counts["fp"]}

    def columns(self, policy: EmptyPolicy) -> dict[str, Any]:
        """What the counts say: themselves, the overlap scores and the sizes."""
        return {**self.counts, **overlap_scores(self.counts, policy), **self.sizes}

    def judged(
        self, scores: pd.DataFrame, names: Sequence[str], policy: EmptyPolicy
    ) -> dict[str, np.ndarray]:
        """Each of these scores with its row of the policy applied."""
        sizes = {name: pixels.to_numpy() for name, pixels in self.sizes.items()}
        return {
            name: apply_policy(scores[name].to_numpy(), policy[name], diagonals=self.diagonals, **sizes)
            for name in names
        }


def judged_groups(
    paired: pd.DataFrame,
    policy: EmptyPolicy,
    measure: Measure,
    probability: pd.DataFrame | None,
    between_pixels: pd.DataFrame | None,
    judged: list[Judged],
) -> Iterator[pd.DataFrame]:
    """The table of cases, in parts, so that few masks are in memory as text; arguments as of `judge_pairs`.

    `judged` gets the same without the masks; of the predicted ones it has a hash, which tells equal ones.
    """
    for first in range(0, len(paired), _CASES_PER_GROUP):
        rows = paired.index[first : first + _CASES_PER_GROUP]
        some, *theirs = (
            None if table is None else table.reindex(rows).reset_index(drop=True)
            for table in (paired, probability, between_pixels)
        )
        assert some is not None
        part = judge_pairs(some, policy, measure, *theirs)
        yield part.cases
        hashes = part.cases["predicted_mask"].map(lambda text: hashlib.sha256(text.encode()).hexdigest())
        without = part.cases.assign(truth_mask=None, predicted_mask=hashes, ignore_mask=None)
        columns = {name: column.copy() for name, column in without.items()}  # each freed by itself
        judged.append(Judged(pd.DataFrame(columns, copy=False), part.breaks))


def _as_json(mask: RLE | None) -> str | None:
    return None if mask is None else json.dumps(mask, separators=(",", ":"))
