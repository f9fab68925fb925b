"""The ceiling of the labels, in sentences for readers who are no statisticians."""

from collections.abc import Mapping
from typing import Any

from refvessel.metrics.label_ceiling import CEILING_SCORES, JITTERED
from refvessel.report.group_words import worded_group
from refvessel.report.score_titles import TITLES, worded_title
from refvessel.report.wording import worded
from refvessel.settings.scores_section import Scores

TOLD = Scores().compared  # what models are compared on unless something else is stated
SHOWN = tuple(score for score in TITLES if score in CEILING_SCORES)


def ceiling_sentences(summary: Mapping[str, Any]) -> list[str]:
    """What the ceiling of a summary means, and how near the predictions came to it."""
    ceiling = summary["ceiling"]
    n = ceiling["n_expressions"]
    if ceiling["basis"] == JITTERED:
        pixel = summary["settings"]["annotator_pixel"]
        drawn = worded("with every corner of the outlines within %(pixel)g px of where it is,", pixel=pixel)
    else:
        drawn = worded(
            "one pixel wider or one pixel thinner (these truths have no corners that could be moved),"
        )
    agreed = worded(", ").join(
        f"{worded_title(score)} {ceiling['scores'][score]:.3f}" for score in TOLD if _told(ceiling, score)
    )
    sentences = [
        worded(
            "Drawn again as carefully, %(drawn)s %(n)s of these truths agree with themselves to %(scores)s. No "
            "model can be expected to agree with them better than that: it is the ceiling.",
            drawn=drawn,
            n=n,
            scores=agreed,
        )
    ]
    reached = [
        worded(
            "%(percent).0f%% of the %(score)s",
            percent=100 * ceiling["share"][score],
            score=worded_title(score),
        )
        for score in TOLD
        if _reached(ceiling, score)
    ]
    if reached:
        shares = worded(", ").join(reached)
        sentences.append(worded("The predictions reach %(shares)s that can be reached.", shares=shares))
    return sentences


def ceiling_columns(ceiling: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The columns of the table: the ceiling, that of each vessel width, and each way of drawing."""
    return [
        (worded("ceiling: %(basis)s", basis=worded(ceiling["basis"])), ceiling),
        *(
            (worded("vessels of %(width)s", width=worded_group(width)), drawn)
            for width, drawn in ceiling["by_vessel_width"].items()
        ),
        *((worded(name), drawn) for name, drawn in ceiling["drawings"].items()),
    ]


def _told(ceiling: Mapping[str, Any], score: str) -> bool:
    return ceiling["scores"][score] is not None


def _reached(ceiling: Mapping[str, Any], score: str) -> bool:
    return ceiling["share"][score] is not None
