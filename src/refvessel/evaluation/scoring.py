"""Scoring predictions against the truth: `cases.parquet`, `summary.json` and, of logits, `thresholds.csv`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel.artifacts import BREAKS, CASES, SUMMARY, THRESHOLDS, VIDEO, VIDEO_CASES
from refvessel.dataset.tree.stated_facts import FIRST_LOOK, FirstLook
from refvessel.evaluation.found import Found
from refvessel.evaluation.judging import Measure
from refvessel.evaluation.pairing import pair_expressions
from refvessel.evaluation.parts import Part
from refvessel.evaluation.probability_cases import threshold_table
from refvessel.evaluation.redrawn_scores import cases_by_rasteriser, cases_of_drawings
from refvessel.files import atomic_file, read_json
from refvessel.long_json import write_long_json
from refvessel.metrics.artefacts import artefacts_summary
from refvessel.metrics.bootstrap import CONFIDENCE, SEED
from refvessel.metrics.border_calibration import border_reliability
from refvessel.metrics.breaks_table import write_breaks
from refvessel.metrics.cases import write_case_groups
from refvessel.metrics.confidence import confidence_summary
from refvessel.metrics.diameter_summary import summarise_diameters
from refvessel.metrics.label_ceiling import label_ceiling
from refvessel.metrics.official import OfficialReading, Overlaps, official_scores_of
from refvessel.metrics.policy import resolve_policy
from refvessel.metrics.region_detection import region_summary
from refvessel.metrics.sanity_checks import sanity_checks
from refvessel.metrics.subgroups import subgroups
from refvessel.metrics.summary import nnunet_summary, summarise, summarise_by
from refvessel.metrics.summary_file import METRIC_PER_CASE
from refvessel.metrics.topology import CONNECTIVITY
from refvessel.parallel import processes_kept
from refvessel.predictions.origin import Origin
from refvessel.provenance import file_record, versions
from refvessel.rle import RLE
from refvessel.settings.scores_section import Protocol, Scores
from refvessel.spreadsheets import write_csv


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
    truths = {} if official is None else official.truths
    part, own = Part.of(predictions, truth, truths), None
    if own_truth is not None:
        known = predictions[predictions["sent_id"].isin(own_truth["sent_id"])]
        own = Overlaps.of(pair_expressions(known, own_truth), truths)
    summary = score_parts(
        parts=[part],
        unit="mm" if truth["spacing"].notna().all() else "px",
        output=output,
        settings=settings,
        logits=logits,
        redrawn=redrawn,
        drawn_again=drawn_again,
        official=official,
        own=own,
        looked_at=looked_at,
        origin=origin,
        of_regions=of_regions,
        max_failures=max_failures,
        threads=threads,
        provenance=provenance,
    )
    return summary | {METRIC_PER_CASE: read_json(Path(output) / SUMMARY)[METRIC_PER_CASE]}


def score_parts(
    *,
    parts: Iterable[Part],
    unit: str,
    output: Path,
    settings: Scores,
    logits: Sequence[Path] = (),
    redrawn: Mapping[str, Mapping[int, RLE]] | None = None,
    drawn_again: Mapping[str, Mapping[int, RLE]] | None = None,
    official: OfficialReading | None = None,
    own: Overlaps | None = None,
    looked_at: FirstLook | None = None,
    origin: Origin = Origin.MODEL,
    of_regions: bool = False,
    max_failures: int = 0,
    threads: int = 1,
    provenance: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """`score` of tables of which a part at a time is in memory; what it returns lacks nnU-Net's list of cases.

    Args:
        parts: of the tables, by sent_id; with `logits` there is one part.
        unit: of distances: `mm` where the spacing of every expression is known, else `px`.
        own: given where the truths are the official loader's, the overlaps with ours.
        output, settings, logits, redrawn, drawn_again, official, looked_at, origin, of_regions, max_failures,
        threads, provenance: as of `score`; the truths of `official` are those of the parts.

    Raises UserError as `score` does.
    """
    policy, draws = resolve_policy(settings.empty_cases), settings.bootstrap_draws
    measure = Measure.stated(settings, unit=unit, threads=threads)
    conventions = {
        "distance_unit": unit,
        "nsd_tolerance": settings.nsd_tolerance,
        "boundary_distance": settings.boundary_distance,
        "centre_line_tolerance": settings.centre_line_tolerance,
        "border_distance": settings.border_distance,
        "empty_policy": policy,
        "protocol": Protocol.OWN if own is None else Protocol.OFFICIAL,
        **({} if looked_at is None else {FIRST_LOOK: looked_at._asdict()}),
    }
    bootstrap = {"draws": draws, "seed": SEED, "confidence": CONFIDENCE}
    provenance = {"versions": versions(), **(provenance or {})}
    output = Path(output)
    redrawn, drawn_again = redrawn or {}, drawn_again or {}
    found = Found(measure, settings, policy, [*redrawn.values(), *drawn_again.values()], logits, origin)
    groups = (group for part in parts for group in found.judge(part, of_regions))
    with processes_kept(threads):
        write_case_groups(groups, output / CASES, {**provenance, "settings": conventions})
        cases, counts, border = found.cases(), found.counts, found.border
        rescored = cases_by_rasteriser(cases, *found.sample(), redrawn, policy, measure)
        drawings = cases_of_drawings(found.sample()[1], drawn_again, policy, measure)
    for of_earlier_cases in (VIDEO, VIDEO_CASES):
        (output / of_earlier_cases).unlink(missing_ok=True)
    files: dict[str, Any] = {"cases": file_record(output / CASES)}
    write_breaks(found.breaks(), output / BREAKS, {"cases": files["cases"], "settings": conventions})
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
        "near_ties": found.near_ties(),
        "truth_artefacts": artefacts_summary(cases),
        **({} if (confidence := confidence_summary(cases, draws)) is None else {"confidence": confidence}),
        **(
            {}
            if border is None
            else {"border_reliability": border_reliability(border, cases["patient"], draws)}
        ),
        **({"regions": region_summary(found.regions(), draws)} if of_regions else {}),
        "official": official_scores_of(own, official, found.overlaps().whole)
        if own
        else official_scores_of(found.overlaps(), official),
        "settings": {
            **conventions,
            "annotator_pixel": settings.annotator_pixel,
            "connectivity": CONNECTIVITY,
            "bootstrap": bootstrap,
            "max_failures": max_failures,
        },
        "sentinels": {
            **sanity_checks(cases, max_failures),
            **found.forgeries.checks(),
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
    write_long_json(output / SUMMARY, summary)
    del summary[METRIC_PER_CASE]
    return summary
