"""The figures of an evaluation, each with what it shows and what it was made from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel.answer_status import Status
from refvessel.artifacts import BREAKS, CASES, SUMMARY, THRESHOLDS
from refvessel.mask_logits import MODEL_THRESHOLD
from refvessel.metrics.overlap import OVERLAP_SCORES
from refvessel.metrics.patient_means import patient_mean
from refvessel.report.agreement_figures import agreement, draw_agreement, known_lengths
from refvessel.report.case_gallery import KINDS, draw_gallery
from refvessel.report.curves import draw_border_reliability, draw_confidence, draw_threshold_curves
from refvessel.report.figures import MOST_NAMED, draw_dice_by_patient, draw_dice_by_phrase
from refvessel.report.overlays import draw_overlays, image_path, ranked_cases, typical_cases
from refvessel.report.printing import printable, shortened
from refvessel.report.score_titles import worded_title
from refvessel.report.sections import Artifacts
from refvessel.report.shown_breaks import told_breaks
from refvessel.report.shown_figure import MOST_OF_A_PHRASE, ShownFigure, hashes_of_images
from refvessel.report.shown_runs import draw_sequences
from refvessel.report.subgroup_figures import MOST_GROUPS, draw_by_calibre, draw_subgroups
from refvessel.report.wording import worded
from refvessel.report.worst_cases import MOST_OF_A_KIND, failures

_MOST_PHRASES = 6  # of which typical cases are drawn


def _source(one: Artifacts, role: str, name: str) -> dict[str, str]:
    return {f"{one.evaluation.name}/{name}": one.sources[role]["sha256"]}


def intervals(settings: Mapping[str, Any]) -> str:
    """How the intervals of a figure were made, for its caption."""
    draws = f"{settings['bootstrap']['draws']:,}"
    return worded("95%% intervals: BCa bootstrap, %(draws)s draws of patients.", draws=draws)


def _of_scores(one: Artifacts, folder: Path) -> list[ShownFigure]:
    """Figures of all scores: by phrase, by patient, by subgroup and calibre, and the agreement of sizes."""
    stem, summary = one.evaluation.file_stem, one.summary
    cases_source, summary_source = _source(one, "cases", CASES), _source(one, "summary", SUMMARY)
    n = worded(
        "%(n)s expressions of %(patients)s patients.",
        n=summary["dice_n"],
        patients=summary["dice_n_patients"],
    )
    drawn = [
        ShownFigure(
            folder / f"{stem}.dice_by_phrase.svg",
            worded(
                "Dice of every expression by phrase. The box spans the quartiles, its line is the median, its "
                "whiskers reach the last expression within 1.5 times the box, the diamond is the mean. %(n)s",
                n=n,
            ),
            cases_source,
        ),
        ShownFigure(folder / f"{stem}.dice_by_patient.svg", f"{_by_patient(summary)} {n}", cases_source),
        ShownFigure(
            folder / f"{stem}.subgroups.svg",
            worded(
                "Dice of subgroups, the mean over their patients. %(intervals)s At the right the number of "
                "expressions and, in brackets, of patients; dotted, the mean of all. Of each grouping at most "
                "the %(most)s groups with the most expressions; widths in pixels, shares of the scored pixels.",
                intervals=intervals(summary["settings"]),
                most=MOST_GROUPS,
            ),
            summary_source,
        ),
        ShownFigure(
            folder / f"{stem}.calibre.svg",
            worded(
                "Left and right: Dice of every expression over the mean width of its vessels and over the size "
                "of its image. %(n)s Middle: recall of the truth's skeleton and precision of the prediction's "
                "by the local width of the vessel. %(intervals)s",
                n=n,
                intervals=intervals(summary["settings"]),
            ),
            cases_source | summary_source,
        ),
        ShownFigure(folder / f"{stem}.agreement.svg", _agreement(one), cases_source | summary_source),
    ]
    draw_dice_by_phrase(one.cases, drawn[0].path)
    draw_dice_by_patient(one.cases, drawn[1].path)
    draw_subgroups(summary, drawn[2].path)
    draw_by_calibre(one.cases, summary, drawn[3].path)
    draw_agreement(one.cases, summary, drawn[4].path)
    return drawn


def _by_patient(summary: Mapping[str, Any]) -> str:
    if summary["n_patients"] <= MOST_NAMED:
        return worded(
            "Dice of every expression by patient, patients ordered by their mean (the bar). "
            "Frames of one patient are not independent samples."
        )
    return worded(
        "Dice by patient, patients ordered by their mean (the point); the line reaches from the worst to the "
        "best expression of each. Named are the worst; all are in tables/by_patient.csv. Frames of one patient "
        "are not independent samples."
    )


def _agreement(one: Artifacts) -> str:
    """What the figure of agreement shows, in numbers."""
    summary, with_lengths = one.summary, known_lengths(one.cases)
    differences = (one.cases["predicted_pixels"] - one.cases["truth_pixels"]).astype(float)
    draws = summary["settings"]["bootstrap"]["draws"]
    mean = patient_mean(differences, one.cases["patient"], draws)
    told = [
        worded(
            "Lines at the bias and at the limits of agreement (bias and 1.96 standard deviations to each side, "
            "over expressions). Areas of %(n)s expressions: bias %(bias).0f px, limits %(limit_low).0f to "
            "%(limit_high).0f px.",
            n=len(one.cases),
            **agreement(one.cases, "pixels"),
        )
    ]
    if mean["low"] is not None:
        told += [
            worded(
                "Mean over %(patients)s patients %(mean).0f px (%(low).0f to %(high).0f).",
                patients=mean["n_patients"],
                mean=mean["mean"],
                low=mean["low"],
                high=mean["high"],
            ),
            intervals(summary["settings"]),
        ]
    if len(with_lengths):
        told.append(
            worded(
                "Lengths of the centre lines of %(n)s expressions: bias %(bias).0f px, limits %(limit_low).0f to "
                "%(limit_high).0f px.",
                n=len(with_lengths),
                **agreement(with_lengths, "length"),
            )
        )
    diameters = summary["diameters"]
    told += [
        worded(
            "Mean difference of the diameters of %(expressions)s expressions over the true width, with bias and "
            "limits over %(n)s cross-sections.",
            expressions=diameters["n_expressions"],
            n=diameters["n"],
        ),
        worded(
            "HD95 of %(n)s expressions; line: the median, dashed: the 95th percentile.",
            n=one.cases["hd95"].count(),
        ),
    ]
    return " ".join(told)


def _of_probabilities(one: Artifacts, folder: Path) -> list[ShownFigure]:
    """Curves over thresholds where logits are stored, and whether the model knows how good its masks are."""
    stem, drawn = one.evaluation.file_stem, []
    if one.thresholds is not None:
        drawn.append(
            ShownFigure(
                folder / f"{stem}.thresholds.svg",
                worded(
                    "Scores of the stored probabilities cut at every threshold, and precision over recall at "
                    "the same thresholds; line and point: the model's own, %(threshold)s. These expressions are "
                    "the evaluated ones: no threshold may be chosen for them from this curve.",
                    threshold=MODEL_THRESHOLD,
                )
                + " "
                + _fewer(one.thresholds),
                _source(one, "thresholds", THRESHOLDS),
            )
        )
        draw_threshold_curves(one.thresholds, drawn[-1].path)
    border = one.summary.get("border_reliability")
    if border and border["n"]:
        drawn.append(
            ShownFigure(
                folder / f"{stem}.border.svg",
                worded(
                    "Reliability of the probabilities of pixels at most %(distance)s px from the truth's "
                    "boundary: the share that is vessel, in 15 equal bins of the probability, pooled over "
                    "%(pixels)s pixels of %(n)s expressions of %(patients)s patients; on the dotted line "
                    "probabilities mean what they say.",
                    distance=one.summary["settings"]["border_distance"],
                    pixels=sum(each["n_pixels"] for each in border["bins"]),
                    n=border["n"],
                    patients=border["n_patients"],
                )
                + f" {intervals(one.summary['settings'])}",
                _source(one, "summary", SUMMARY),
            )
        )
        draw_border_reliability(border, drawn[-1].path)
    if confidence := one.summary.get("confidence"):
        drawn.append(
            ShownFigure(
                folder / f"{stem}.confidence.svg",
                worded(
                    "Left: the mean 1 \N{MINUS SIGN} Dice of the cases with the highest predicted IoU, by their "
                    "share; dotted, of all cases. Right: the mean IoU of each tenth of the predicted IoU, with "
                    "the number of its cases; on the dotted line the model knows how good it is. %(n)s cases of "
                    "%(patients)s patients, %(without)s without a predicted IoU.",
                    n=confidence["n"],
                    patients=confidence["n_patients"],
                    without=confidence["n_without"],
                ),
                _source(one, "summary", SUMMARY),
            )
        )
        draw_confidence(confidence, drawn[-1].path)
    return drawn


def _of_failures(one: Artifacts, folder: Path) -> list[ShownFigure]:
    """The worst cases of each kind, if there are any."""
    shown = failures(one.cases)
    if not shown:
        return []
    files = [image_path(one.images, each) for some in shown.values() for each in some["image_id"]]
    named = "; ".join(
        f"{worded(KINDS[kind])}: {', '.join(map(printable, some['image_id']))}"
        for kind, some in shown.items()
    )
    figure = ShownFigure(
        folder / f"{one.evaluation.file_stem}.failures.svg",
        worded(
            "Where it goes wrong, at most %(most)s cases of a kind, the worst first. %(cases)s.",
            most=MOST_OF_A_KIND,
            cases=named,
        ),
        _source(one, "cases", CASES) | hashes_of_images(one.evaluation.dataset, files),
    )
    shown = {kind: one.with_masks(some) for kind, some in shown.items()}
    draw_gallery(shown, one.images, one.summary["settings"]["distance_unit"], figure.path)
    return [figure]


def _of_phrases(one: Artifacts, folder: Path) -> list[ShownFigure]:
    """The best, the median and the worst case of the phrases that are asked most often."""
    drawn = []
    asked = one.cases["phrase"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    shown_phrases = sorted(asked.index[:_MOST_PHRASES])
    for number, phrase in enumerate(shown_phrases, start=1):
        group = one.cases[one.cases["phrase"] == phrase]
        shown = typical_cases(group)
        if shown.empty:
            continue
        described = " ".join(_describe(case, one.breaks) for case in shown.to_dict("records"))
        files = [image_path(one.images, image_id) for image_id in shown["image_id"]]
        figure = ShownFigure(
            folder / f"{one.evaluation.file_stem}.overlays_{number}.svg",
            worded(
                "“%(phrase)s”: outlines of the truth and of the prediction over the image%(among)s. %(cases)s "
                "Rings: gaps in the predicted vessel; squares: where a vessel is lost.",
                phrase=shortened(str(phrase), MOST_OF_A_PHRASE),
                among=_among(group),
                cases=described,
            ),
            _source(one, "cases", CASES)
            | _source(one, "breaks", BREAKS)
            | hashes_of_images(one.evaluation.dataset, files),
        )
        draw_overlays(one.with_masks(shown), one.images, figure.path, one.breaks)
        drawn.append(figure)
    return drawn


def _among(cases: pd.DataFrame) -> str:
    """Of which cases the overlays are the best, the median and the worst, where not of all."""
    ranked = len(ranked_cases(cases))
    if ranked == len(cases):
        return ""
    return worded(", of the %(n)s of %(all)s expressions with a vessel", n=ranked, all=len(cases))


def _fewer(thresholds: pd.DataFrame) -> str:
    """Which of the curves are means over fewer than all expressions, for the caption."""
    drawn = [score for score in OVERLAP_SCORES if f"{score}_n" in thresholds]
    fewest = {score: thresholds[f"{score}_n"].min() for score in drawn}
    n = thresholds["n_expressions"].iloc[0]
    told = [f"{worded_title(score)} {count}" for score, count in fewest.items() if count < n]
    if not told:
        return worded("Means are over %(n)s expressions.", n=n)
    return worded(
        "Means are over %(n)s expressions; where a score is undefined for some, over at least: %(scores)s.",
        n=n,
        scores=worded(", ").join(told),
    )


def _describe(case: Mapping[Any, Any], breaks: pd.DataFrame) -> str:
    unanswered = "" if case["status"] == Status.OK else f" ({case['status']})"
    told = worded(
        "%(rank)s: image %(image)s, patient %(patient)s, Dice %(dice).3f%(status)s.",
        rank=worded(case["rank"]).capitalize(),
        image=printable(case["image_id"]),
        patient=printable(case["patient"]),
        dice=case["dice"],
        status=unanswered,
    )
    return told + told_breaks(breaks[breaks["sent_id"] == case["sent_id"]])


def _of_sequences(one: Artifacts, folder: Path) -> list[ShownFigure]:
    return draw_sequences(one, one.runs, folder) if one.runs else []


# What draws the figures of an evaluation into a folder, in the order of the page.
DRAWN = (_of_scores, _of_probabilities, _of_failures, _of_phrases, _of_sequences)
