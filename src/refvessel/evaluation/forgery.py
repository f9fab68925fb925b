"""Masks that the stated model did not draw: altered truths, and what no logits give."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from refvessel import rle
from refvessel.metrics.altered_truth import SAID, Alteration, alteration_of
from refvessel.metrics.sanity_checks import SanityCheck
from refvessel.parallel import call_each
from refvessel.predictions.drawable import LOGITS_SIDE, could_be_drawn, impossible_lines
from refvessel.predictions.origin import Origin
from refvessel.sentences import marked, sentence

_EXPRESSIONS_PER_TASK = 16
_MOST_CASES = 50  # of the evidence
_MOST_NAMED = 5


class Forgeries:
    """Two sanity checks by name, as plain data, each with its evidence: `cases`, the first that it counts.

    altered_truth   predictions that are their truth with noise, shifted, dilated or eroded
    undrawable      predictions that no logits of a Sa2VA give

    Imported masks raise neither: their makers may know why, and the counts are there to be seen. Of refined and
    imported ones nobody asks whether a model could have drawn them.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._n, self._informative = 0, 0
        self._altered: list[dict[str, Any]] = []
        self._undrawable: list[dict[str, Any]] = []

    def add(self, paired: pd.DataFrame, predictions: pd.DataFrame, *, threads: int = 1) -> None:
        """Look at some expressions.

        Args:
            paired: of `pair_expressions`.
            predictions: the table that it paired, with the masks of each [SEG].
            threads: processes that share the work.
        """
        parts = dict(zip(predictions["sent_id"], predictions["masks"], strict=True))
        columns = (paired[name] for name in ("mask_predicted", "mask", "ignore_mask"))
        found = call_each(
            _look_at,
            *columns,
            paired["sent_id"].map(parts),
            [self._origin == Origin.MODEL] * len(paired),
            threads=threads,
            calls_per_task=_EXPRESSIONS_PER_TASK,
        )
        ids = zip(paired["sent_id"].tolist(), paired["image_id"], strict=True)
        for (sent_id, image_id), (change, lines) in zip(ids, found, strict=True):
            name = {"sent_id": sent_id, "image_id": image_id}
            if change:
                self._altered.append({**name, **asdict(change)})
            if lines:
                self._undrawable.append({**name, "impossible_lines": lines})
        self._n += len(paired)
        self._informative += int((paired[["height", "width"]].max(axis="columns") > LOGITS_SIDE).sum())

    def checks(self) -> dict[str, dict[str, Any]]:
        """Both checks of all that was looked at."""
        altered, undrawable, origin = self._altered, self._undrawable, self._origin
        return {
            "altered_truth": _check(
                altered, origin != Origin.IMPORTED, _told_of_alterations(altered, self._n, origin)
            ),
            "undrawable": _check(
                undrawable, True, _told_of_undrawable(undrawable, self._informative, origin)
            ),
        }


def _look_at(
    predicted: rle.RLE,
    truth: rle.RLE,
    ignored: rle.RLE | None,
    parts: Sequence[rle.RLE],
    by_model: bool,
) -> tuple[Alteration | None, int]:
    """How a prediction follows from its truth, and its number of impossible lines; 0 where it is drawable."""
    if not rle.area(predicted):
        return None, 0
    mask = _decoded(predicted)
    change = alteration_of(mask, _decoded(truth), None if ignored is None else _decoded(ignored))
    if not by_model:
        return change, 0
    # A union of drawable masks need not be one; a mask that is not the union of its parts stands for itself.
    drawn = [mask]
    if len(parts) > 1 and rle.union(parts) == predicted:
        drawn = [_decoded(part) for part in parts]
    return change, sum(impossible_lines(each) for each in drawn if not could_be_drawn(each))


def _decoded(mask: rle.RLE) -> np.ndarray:
    return rle.decode(mask).view(bool)


def _check(cases: Sequence[dict[str, Any]], may_alarm: bool, said: dict[str, Any]) -> dict[str, Any]:
    check = asdict(SanityCheck(may_alarm and len(cases) > 0, len(cases), **said))
    return {**check, "cases": list(cases[:_MOST_CASES])}


def _told_of_alterations(cases: Sequence[dict[str, Any]], n: int, origin: Origin) -> dict[str, Any]:
    if not cases:
        return sentence("0 of %(n)s predictions are their truth with noise, shifted, dilated or eroded.", n=n)
    changes = Counter(each["change"] for each in cases).most_common()
    return sentence(
        marked(
            "%(altered)s of %(n)s predictions are their truth with noise, shifted, dilated or eroded "
            "(%(changes)s; %(cases)s). The masks were imported."
        )
        if origin == Origin.IMPORTED
        else marked(
            "%(altered)s of %(n)s predictions are their truth with noise, shifted, dilated or eroded "
            "(%(changes)s; %(cases)s)."
        ),
        altered=len(cases),
        n=n,
        changes=[
            sentence("%(change)s: %(n)s", change=SAID[change], n=number)
            for change, number in changes[:_MOST_NAMED]
        ],
        cases=_named(cases),
    )


def _told_of_undrawable(cases: Sequence[dict[str, Any]], informative: int, origin: Origin) -> dict[str, Any]:
    if origin == Origin.IMPORTED:
        return sentence("Whether a Sa2VA could have drawn the masks was not asked: they were imported.")
    if origin == Origin.REFINED:
        return sentence("Whether a Sa2VA could have drawn the masks was not asked: they were refined.")
    if not informative:
        return sentence(
            "No image has more than %(side)s pixels on a side: a Sa2VA could have drawn any mask.",
            side=LOGITS_SIDE,
        )
    counts = {"undrawable": len(cases), "n": informative, "side": LOGITS_SIDE}
    if not cases:
        return sentence(
            "%(undrawable)s of %(n)s predictions on images of more than %(side)s pixels on a side could not be "
            "drawn by a Sa2VA, which upsamples %(side)sx%(side)s logits.",
            **counts,
        )
    lines = [each["impossible_lines"] for each in cases]
    return sentence(
        "%(undrawable)s of %(n)s predictions on images of more than %(side)s pixels on a side could not be "
        "drawn by a Sa2VA, which upsamples %(side)sx%(side)s logits: %(fewest)s to %(most)s of their rows and "
        "columns are impossible (%(cases)s).",
        **counts,
        fewest=min(lines),
        most=max(lines),
        cases=_named(cases),
    )


def _named(cases: Sequence[dict[str, Any]]) -> str:
    more = ", ..." if len(cases) > _MOST_NAMED else ""
    return f"sent_id {', '.join(str(each['sent_id']) for each in cases[:_MOST_NAMED])}{more}"
