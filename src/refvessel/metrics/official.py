"""The official evaluator's cIoU and gIoU of the same predictions, and why they are not ours."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from refvessel.metrics.overlap import pixel_counts
from refvessel.metrics.referring import SMOOTHING, giou_terms
from refvessel.rle import RLE, area
from refvessel.sentences import sentence

_NO_DIVISION_BY_ZERO = 1e-10  # added to the sum of unions by the official evaluator

Scores = dict[str, float | None]


@dataclass(frozen=True)
class OfficialReading:
    """How the official loader reads a split.

    split: its name.
    n_expressions: how many expressions it takes for the split; None where it knows no split of this name.
    truths: by sent_id, those that it decodes to other masks than ours.
    """

    split: str
    n_expressions: int | None
    truths: Mapping[int, RLE] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """One cause for which cIoU and gIoU are not the official evaluator's, and how many expressions it
    touches; text, message and values are those of a `sentence`.

    `without` and `with_it` are the numbers before and after this cause, in the order of the list: from ours
    to the official ones. None where the predictions do not say.
    """

    cause: str  # ignored_pixels | overlapping_parts | split
    n_expressions: int
    text: str
    message: str
    values: dict[str, Any]
    without: Scores
    with_it: Scores | None


class Overlaps(NamedTuple):
    """Pixels of intersections and unions as `overlaps` gives them, int64 (expressions, 2).

    scored: without the pixels that no score looks at; whole: with them; theirs: with the official truths.
    """

    scored: np.ndarray
    whole: np.ndarray
    theirs: np.ndarray

    @classmethod
    def of(cls, paired: pd.DataFrame, truths: Mapping[int, RLE]) -> "Overlaps":
        """Those of a table of `pair_expressions`; `truths` are those of an `OfficialReading`."""
        official = [truths.get(*pair) for pair in zip(paired["sent_id"], paired["mask"], strict=True)]
        return cls(
            overlaps(paired["scored_prediction"], paired["scored_truth"]),
            overlaps(paired["mask_predicted"], paired["mask"]),
            overlaps(paired["mask_predicted"], official),
        )


def official_scores(paired: pd.DataFrame, reading: OfficialReading | None = None) -> dict[str, Any]:
    """What the official evaluator gives for the predictions: `ciou`, `giou`, `n_expressions`, `differences`.

    `ours` has our two numbers. The official ones are None where the evaluator takes other expressions for the
    split than those of `paired`, and `pooled` is not there.

    Args:
        paired: a table of `pair_expressions`, as we read the split.
        reading: how the official loader reads it; None: as we do.
    """
    return official_scores_of(Overlaps.of(paired, {} if reading is None else reading.truths), reading)


def official_scores_of(
    found: Overlaps, reading: OfficialReading | None = None, pooled: np.ndarray | None = None
) -> dict[str, Any]:
    """`official_scores` from the overlaps of the table, whose masks are not needed any more.

    Args:
        found: of the table.
        reading: as of `official_scores`.
        pooled: `overlaps` of all expressions that the official loader takes, with its truths.
    """
    scored, whole, theirs = found
    n = len(scored)
    of_pooled = None if pooled is None else _scores(pooled)
    causes = [
        _ignored_pixels(scored, whole),
        _overlapping_parts(whole, theirs),
        _other_split(reading, theirs, of_pooled),
    ]
    comparable = reading is None or reading.n_expressions == n
    return {
        **((_scores(theirs) if comparable else of_pooled) or {"ciou": None, "giou": None}),
        "n_expressions": n if reading is None else reading.n_expressions,
        "ours": _scores(scored),
        "differences": [asdict(each) for each in causes if each is not None],
    }


def overlaps(predictions: Iterable[RLE], truths: Iterable[RLE]) -> np.ndarray:
    """Pixels of the intersection and of the union of each pair, int64 (pairs, 2)."""
    counts = pixel_counts(list(predictions), true := list(truths), [0] * len(true))
    return np.stack([counts["tp"], counts["tp"] + counts["fp"] + counts["fn"]], axis=1)


def referring_scores(counts: np.ndarray) -> dict[str, float]:
    """`cIoU` and `gIoU` by the official formulas in double precision; `counts` as `overlaps` gives them."""
    intersections, unions = counts.T
    return {
        "cIoU": float(intersections.sum() / (unions.sum() + _NO_DIVISION_BY_ZERO)),
        "gIoU": float(giou_terms(intersections, unions).mean()),
    }


def printed_scores(images: Iterable[np.ndarray]) -> dict[str, float]:
    """The same to the last digit that the official evaluator prints: it adds up in float32, image by image.

    `images` has the counts of each image's expressions, in the order in which the official loader takes them.
    """
    single = np.float32
    intersection = union = of_giou = single(0)
    n = 0
    for counts in images:
        sums = [single(0)] * 3
        for pixels in counts.astype(single):
            share = pixels[0] / (pixels[1] + single(SMOOTHING)) + single(pixels[1] == 0)
            sums = [total + each for total, each in zip(sums, (*pixels, share), strict=True)]
        intersection, union = intersection + sums[0], union + sums[1]
        of_giou += sums[2] / single(len(counts)) * single(len(counts))  # an image's mean, and again its sum
        n += len(counts)
    return {
        "cIoU": float(intersection / (union + single(_NO_DIVISION_BY_ZERO))),
        "gIoU": float(of_giou / single(n)),
    }


def answer_accuracies(predictions: Sequence[RLE], truths: Sequence[RLE]) -> dict[str, float | None]:
    """`N-acc`: the share answered empty where the truth is; `T-acc`: not empty where it is not; None of none."""
    answered, has_target = ([area(mask) > 0 for mask in masks] for masks in (predictions, truths))
    without = [not answer for answer, target in zip(answered, has_target, strict=True) if not target]
    with_target = [answer for answer, target in zip(answered, has_target, strict=True) if target]
    return {"N-acc": _share(without), "T-acc": _share(with_target)}


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _scores(counts: np.ndarray) -> Scores:
    """`ciou` and `giou`, as a summary names them; a cIoU of nothing is None."""
    intersections, unions = counts.T
    total = unions.sum()
    return {
        "ciou": float(intersections.sum() / total) if total else None,
        "giou": float(giou_terms(intersections, unions).mean()),
    }


def _differing(first: np.ndarray, second: np.ndarray) -> int:
    return int((first != second).any(axis=1).sum())


def _ignored_pixels(scored: np.ndarray, whole: np.ndarray) -> Difference | None:
    differing = _differing(scored, whole)
    said = sentence(
        "%(differing)s of %(n)s expressions have foreground among the pixels that no score looks at (outside "
        "the field of view, or ignored); the official evaluator counts it.",
        differing=differing,
        n=len(whole),
    )
    found = Difference("ignored_pixels", differing, **said, without=_scores(scored), with_it=_scores(whole))
    return found if differing else None


def _overlapping_parts(whole: np.ndarray, theirs: np.ndarray) -> Difference | None:
    differing = _differing(whole, theirs)
    said = sentence(
        "The truth of %(differing)s of %(n)s expressions is another for the official evaluator: it adds the "
        "parts of an annotation up, and where they overlap its truth has holes.",
        differing=differing,
        n=len(whole),
    )
    found = Difference(
        "overlapping_parts", differing, **said, without=_scores(whole), with_it=_scores(theirs)
    )
    return found if differing else None


def _other_split(
    reading: OfficialReading | None, theirs: np.ndarray, of_pooled: Scores | None
) -> Difference | None:
    n = len(theirs)
    if reading is None or reading.n_expressions == n:
        return None
    if reading.n_expressions is None:
        said = sentence(
            "The official evaluator has no split called %(split)s, so it gives no numbers for it.",
            split=reading.split,
        )
    else:
        said = sentence(
            "The official evaluator takes %(theirs)s expressions for %(split)s, selecting splits by a letter of "
            "their names, not these %(n)s: its numbers are of other expressions.",
            theirs=reading.n_expressions,
            split=reading.split,
            n=n,
        )
    return Difference("split", n, **said, without=_scores(theirs), with_it=of_pooled)
