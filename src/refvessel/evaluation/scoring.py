"""Scoring predictions against the truth: `cases.parquet`, `summary.json` and, of logits, `thresholds.csv`."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from refvessel.answer_status import Status
from refvessel.artifacts import BREAKS, CASES, SUMMARY, THRESHOLDS, VIDEO, VIDEO_CASES
from refvessel.dataset.tree.stated_facts import FIRST_LOOK, FirstLook
from refvessel.evaluation.forgery import forgery_checks
from refvessel.evaluation.found_regions import found_regions
from refvessel.evaluation.logit_diameters import logit_diameters
from refvessel.evaluation.pairing import pair_expressions
from refvessel.evaluation.probability_cases import probability_cases, threshold_table
from refvessel.files import atomic_file, write_json
from refvessel.metrics.artefacts import artefacts_summary
from refvessel.metrics.bootstrap import CONFIDENCE, SEED
from refvessel.metrics.border_calibration import FROM_LOGITS
from refvessel.metrics.breaks_table import breaks_table, write_breaks
from refvessel.metrics.cases import CASES_SCHEMA, EXPRESSION, write_case_groups
from refvessel.metrics.confidence import confidence_summary
from refvessel.metrics.diameter_summary import summarise_diameters
from refvessel.metrics.diameters import DIAMETERS
from refvessel.metrics.label_ceiling import label_ceiling
from refvessel.metrics.official import OfficialReading, official_scores
from refvessel.metrics.overlap import overlap_scores, pixel_counts
from refvessel.metrics.policy import EmptyPolicy, apply_policy, resolve_policy
from refvessel.metrics.region_detection import region_summary
from refvessel.metrics.sanity_checks import sanity_checks
from refvessel.metrics.shape import MISSED_CONNECTIONS, SHAPE_SCORES, TRUTH_SIZES, shape_scores
from refvessel.metrics.subgroups import subgroups
from refvessel.metrics.summary import nnunet_summary, summarise, summarise_by
from refvessel.metrics.topology import CONNECTIVITY
from refvessel.predictions.origin import Origin
from refvessel.predictions.prediction import NEAR_TIE
from refvessel.provenance import file_record, versions
from refvessel.rle import RLE
from refvessel.settings.scores_section import Protocol, Scores
from refvessel.spreadsheets import write_csv

TRUTHS_RASTERISER = "coco"
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


def score(
    *,
    predictions: pd.DataFrame,
    truth: pd.DataFrame,
    output: Path,
    settings: Scores,
    logits: Sequence[Path] = (),
    redrawn: Mapping[str, Mapping[int, RLE]] | None = None,
    drawn_again: Mapping[str, Mapping[int, RLE]] | None = None,
    official: OfficialReading | None = None,
    own_truth: pd.DataFrame | None = None,
    looked_at: FirstLook | None = None,
    origin: Origin = Origin.MODEL,
    of_regions: bool = False,
    max_failures: int = 0,
    threads: int = 1,
    provenance: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Score every expression of `truth`; write its files to `output`, return what summary.json says.

    They are cases.parquet, breaks.parquet, summary.json and, where there are logits, thresholds.csv.

    Args:
        predictions: a table as `read_predictions` gives.
        truth: image_id, ref_id, sent_id, phrase, patient, height, width, mask (RLE), ignore_mask (RLE or None)
            and spacing (mm: height and width of a pixel, or None), one row per expression.
        settings: how predictions are scored.
        logits: files of the stored logits of all predictions with masks, for the scores of probabilities.
        redrawn: by rasteriser, the truths of the same expressions drawn by it, by sent_id. `by_rasteriser` in the
            summary has what the same predictions score against each, and against the truth itself.
        drawn_again: by way of drawing, a sample of the truths as they could as well have been drawn, by sent_id.
            `ceiling` in the summary has what these score against the truths themselves; None: it has nothing.
        official: how the official loader reads the split. `official` in the summary has what it gives
            for the same predictions, and why that is not our `ciou` and `giou`; None: it reads it as we do.
        own_truth: given where `truth` is the official loader's reading of the split, ours: the same columns of the
            same expressions or of some of them.
        looked_at: how many of the split's patients these are, where not all; both files carry it.
        origin: who drew the masks, as far as their table says.
        of_regions: whether each expression asks for one region; `regions` in the summary then says how many are
            found.
        max_failures: more failed expressions than that are a finding.
        threads: processes that share the work.
        provenance: what the tables were made from; both files carry it. The report needs in it `predictions` (from
            `read_predictions`) and `dataset` (the `file_record` of the tree's dataset.json, or of its
            instances.json where it has no dataset.json).

    Expressions without [SEG] and failed ones count as empty masks and stay in every mean. HD95 and ASSD are in mm
    where the spacing of every expression is known, else in pixels: `distance_unit` says which.
    Raises UserError, before anything is written, unless the predictions are exactly those of the truth's
    expressions, once each, on images of the same size.
    """
    policy, draws = resolve_policy(settings.empty_cases), settings.bootstrap_draws
    unit = "mm" if truth["spacing"].notna().all() else "px"
    paired = pair_expressions(predictions, truth)
    probability, counts = (
        probability_cases(paired, logits, border_distance=settings.border_distance, threads=threads)
        if logits
        else (None, None)
    )
    measure = Measure.stated(settings, unit=unit, threads=threads)
    between_pixels = logit_diameters(
        paired, logits, tolerance=settings.centre_line_tolerance, threads=threads
    )
    conventions = {
        "distance_unit": unit,
        "nsd_tolerance": settings.nsd_tolerance,
        "boundary_distance": settings.boundary_distance,
        "centre_line_tolerance": settings.centre_line_tolerance,
        "border_distance": settings.border_distance,
        "empty_policy": policy,
        "protocol": Protocol.OWN if own_truth is None else Protocol.OFFICIAL,
        **({} if looked_at is None else {FIRST_LOOK: looked_at._asdict()}),
    }
    bootstrap = {"draws": draws, "seed": SEED, "confidence": CONFIDENCE}
    provenance = {"versions": versions(), **(provenance or {})}
    output = Path(output)
    judged: list[Judged] = []  # without masks
    groups = _judged_groups(paired, policy, measure, probability, between_pixels, judged)
    write_case_groups(groups, output / CASES, {**provenance, "settings": conventions})
    cases = pd.concat([each.cases for each in judged], ignore_index=True)
    rescored = _by_rasteriser(cases, predictions, truth, redrawn or {}, policy, measure)
    drawings = _drawings(truth, drawn_again or {}, policy, measure)
    for of_earlier_cases in (VIDEO, VIDEO_CASES):
        (output / of_earlier_cases).unlink(missing_ok=True)
    files: dict[str, Any] = {"cases": file_record(output / CASES)}
    breaks = pd.concat([each.breaks for each in judged])
    write_breaks(breaks, output / BREAKS, {"cases": files["cases"], "settings": conventions})
    files["breaks"] = file_record(output / BREAKS)
    if counts is None:
        (output / THRESHOLDS).unlink(missing_ok=True)  # of an earlier scoring, with logits
    else:
        with atomic_file(output / THRESHOLDS) as temporary:
            write_csv(threshold_table(counts, policy), temporary)
        files["thresholds"] = file_record(output / THRESHOLDS)
        files["logits"] = [file_record(path) for path in logits]
    means = summarise(cases, policy, draws=draws)
    summary = {
        **means,
        **({} if looked_at is None else {"first_look_of_n_patients": looked_at.of}),
        "near_ties": near_ties(predictions),
        "truth_artefacts": artefacts_summary(cases),
        **({} if (confidence := confidence_summary(cases, draws)) is None else {"confidence": confidence}),
        **({"regions": region_summary(found_regions(predictions, paired), draws)} if of_regions else {}),
        "official": _official(predictions, paired, official, own_truth),
        "settings": {
            **conventions,
            "annotator_pixel": settings.annotator_pixel,
            "connectivity": CONNECTIVITY,
            "bootstrap": bootstrap,
            "max_failures": max_failures,
        },
        "sentinels": {
            **sanity_checks(cases, max_failures),
            **forgery_checks(paired, predictions, origin, threads=threads),
        },
        **{
            f"by_{name}": summarise_by(cases, labels, policy, draws=0 if name == "patient" else draws)
            for name, labels in subgroups(cases).items()
        },
        "by_rasteriser": {name: summarise(table, policy, draws=draws) for name, table in rescored.items()},
        "diameters": summarise_diameters(cases, draws),
        "ceiling": label_ceiling(drawings, means, policy),
        **nnunet_summary(cases),
        "provenance": {**provenance, **files},
    }
    write_json(output / SUMMARY, summary)
    return summary


def _official(
    predictions: pd.DataFrame,
    paired: pd.DataFrame,
    reading: OfficialReading | None,
    own_truth: pd.DataFrame | None,
) -> dict[str, Any]:
    """The summary's section: the official numbers beside ours."""
    if own_truth is None:
        return official_scores(paired, reading)
    own = predictions[predictions["sent_id"].isin(own_truth["sent_id"])]
    return official_scores(pair_expressions(own, own_truth), reading, pooled=paired)


def near_ties(predictions: pd.DataFrame) -> dict[str, Any]:
    """How many of the known leads are below NEAR_TIE, so that rounding may choose another mask."""
    leads = predictions.reindex(columns=["lead"])["lead"].dropna()
    return {"n": int((leads < NEAR_TIE).sum()), "of": len(leads), "below": NEAR_TIE}


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
    predicted, true = paired["scored_prediction"].tolist(), paired["scored_truth"].tolist()
    counts = pixel_counts(predicted, true, paired["scored_pixels"].tolist())
    sizes = {"truth_pixels": counts["tp"] + counts["fn"], "predicted_pixels": counts["tp"] + counts["fp"]}
    known = [spacing or (np.nan, np.nan) for spacing in paired["spacing"]]
    spacings = known if measure.unit == "mm" else [(1.0, 1.0)] * len(paired)
    shape = shape_scores(
        predicted,
        true,
        spacings=spacings,
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
    diagonals = np.hypot(*(paired[["height", "width"]].to_numpy() * spacings).T)
    judged = {
        name: apply_policy(
            scores[name].to_numpy(),
            policy[name],
            truth_pixels=sizes["truth_pixels"].to_numpy(),
            predicted_pixels=sizes["predicted_pixels"].to_numpy(),
            diagonals=diagonals,
        )
        for scores, names in ((shape, SHAPE_SCORES), (probability, FROM_LOGITS))
        for name in names
    }
    columns: dict[str, Any] = {
        **counts,
        **overlap_scores(counts, policy),
        **{name: shape[name] for name in TRUTH_SIZES},
        **diameters.astype({DIAMETERS[0]: np.int64}),
        **judged,
        **sizes,
        "row_spacing": [row for row, _ in known],
        "column_spacing": [column for _, column in known],
        "truth_mask": paired["mask"].map(_as_json),
        "predicted_mask": paired["mask_predicted"].map(_as_json),
        "ignore_mask": paired["ignore_mask"].map(_as_json),
    }
    cases = paired.assign(**columns)[CASES_SCHEMA.names]
    return Judged(cases, breaks_table(cases, shape[MISSED_CONNECTIONS].tolist()))


def _judged_groups(
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
        judged.append(Judged(without, part.breaks))


def _by_rasteriser(
    cases: pd.DataFrame,
    predictions: pd.DataFrame,
    truth: pd.DataFrame,
    redrawn: Mapping[str, Mapping[int, RLE]],
    policy: EmptyPolicy,
    measure: Measure,
) -> dict[str, pd.DataFrame]:
    """The cases of the expressions that were drawn again: against the truth itself, then by each rasteriser."""
    tables: dict[str, pd.DataFrame] = {}
    for name, by_sent_id in redrawn.items():
        drawn = truth[truth["sent_id"].isin(by_sent_id)]
        answers = predictions[predictions["sent_id"].isin(by_sent_id)]
        tables.setdefault(TRUTHS_RASTERISER, cases[cases["sent_id"].isin(by_sent_id)])
        redrawn_truth = drawn.assign(mask=drawn["sent_id"].map(by_sent_id))
        tables[name] = judge_pairs(pair_expressions(answers, redrawn_truth), policy, measure).cases
    return tables


def _drawings(
    truth: pd.DataFrame,
    drawn_again: Mapping[str, Mapping[int, RLE]],
    policy: EmptyPolicy,
    measure: Measure,
) -> dict[str, pd.DataFrame]:
    """The cases of truths drawn again, as if they were predictions, by the way of drawing."""
    tables = {}
    for name, by_sent_id in drawn_again.items():
        drawn = truth[truth["sent_id"].isin(by_sent_id)]
        masks = drawn["sent_id"].map(by_sent_id)
        answers = drawn[list(EXPRESSION)].assign(status=Status.OK, error=None, num_seg=1, mask=masks)
        tables[name] = judge_pairs(pair_expressions(answers, drawn), policy, measure).cases
    return tables


def _as_json(mask: RLE | None) -> str | None:
    return None if mask is None else json.dumps(mask, separators=(",", ":"))
