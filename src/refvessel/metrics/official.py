"""The official evaluator's cIoU and gIoU of the same predictions, and why they are not ours."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from refvessel.metrics.overlap import pixel_counts
from refvessel.metrics.referring import giou_terms
from refvessel.rle import RLE


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
    """One cause for which cIoU and gIoU are not the official evaluator's, and how many expressions it touches."""

    cause: str  # ignored_pixels | overlapping_parts | split
    n_expressions: int
    text: str


def official_scores(paired: pd.DataFrame, reading: OfficialReading | None = None) -> dict[str, Any]:
    """What the official evaluator gives for the predictions: `ciou`, `giou`, `n_expressions`, `differences`.

    The scores are None where it takes other expressions for the split than those of `paired`, a table of
    `pair_expressions`. Without a reading it is taken to read the split as we do.
    """
    n = len(paired)
    truths = {} if reading is None else reading.truths
    official = [truths.get(*pair) for pair in zip(paired["sent_id"], paired["mask"], strict=True)]
    scored = _overlaps(paired["scored_prediction"], paired["scored_truth"])
    whole = _overlaps(paired["mask_predicted"], paired["mask"])
    theirs = _overlaps(paired["mask_predicted"], official)
    found = [
        _ignored_pixels(_differing(scored, whole), n),
        _overlapping_parts(_differing(whole, theirs), n),
        _other_split(reading, n),
    ]
    intersections, unions = theirs.T
    comparable = reading is None or reading.n_expressions == n
    total = unions.sum()
    return {
        "ciou": float(intersections.sum() / total) if comparable and total else None,
        "giou": float(giou_terms(intersections, unions).mean()) if comparable else None,
        "n_expressions": n if reading is None else reading.n_expressions,
        "differences": [asdict(each) for each in found if each is not None],
    }


def _overlaps(predictions: Iterable[RLE], truths: Iterable[RLE]) -> np.ndarray:
    """Pixels of the intersection and of the union of each pair, int64 (pairs, 2)."""
    counts = pixel_counts(list(predictions), true := list(truths), [0] * len(true))
    return np.stack([counts["tp"], counts["tp"] + counts["fp"] + counts["fn"]], axis=1)


def _differing(first: np.ndarray, second: np.ndarray) -> int:
    return int((first != second).any(axis=1).sum())


def _ignored_pixels(differing: int, n: int) -> Difference | None:
    text = (
        f"{differing} of {n} expressions have foreground among the pixels that no score looks at (outside the "
        "field of view, or ignored); the official evaluator counts it."
    )
    return Difference("ignored_pixels", differing, text) if differing else None


def _overlapping_parts(differing: int, n: int) -> Difference | None:
    text = (
        f"The truth of {differing} of {n} expressions is another for the official evaluator: it adds the parts of "
        "an annotation up, and where they overlap its truth has holes."
    )
    return Difference("overlapping_parts", differing, text) if differing else None


def _other_split(reading: OfficialReading | None, n: int) -> Difference | None:
    if reading is None or reading.n_expressions == n:
        return None
    if reading.n_expressions is None:
        text = f"The official evaluator has no split called {reading.split}, so it gives no numbers for it."
    else:
        text = (
            f"The official evaluator takes {reading.n_expressions} expressions for {reading.split}, selecting "
            f"splits by a letter of their names, not these {n}: its numbers are of other expressions."
        )
    return Difference("split", n, text)
