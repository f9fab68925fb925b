"""What scoring finds in the parts of a split: a table of cases without masks, and what no table has."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from refvessel.evaluation.forgery import Forgeries
from refvessel.evaluation.found_regions import found_regions
from refvessel.evaluation.judging import Judged, Measure, judged_groups
from refvessel.evaluation.logit_diameters import logit_diameters
from refvessel.evaluation.parts import Part
from refvessel.evaluation.probability_cases import probability_cases
from refvessel.metrics.cases import CASES_SCHEMA
from refvessel.metrics.official import Overlaps
from refvessel.metrics.policy import EmptyPolicy
from refvessel.metrics.region_detection import Regions
from refvessel.predictions.origin import Origin
from refvessel.predictions.prediction import NEAR_TIE
from refvessel.rle import RLE
from refvessel.settings.scores_section import Scores


class Found:
    """The parts of a split, judged one after another; of masks those of a sample alone are kept.

    counts, border: of the logits, as `probability_cases` has them; None without.
    forgeries: what looks forged.
    """

    def __init__(
        self,
        measure: Measure,
        settings: Scores,
        policy: EmptyPolicy,
        sampled: Iterable[Mapping[int, RLE]],
        logits: Sequence[Path],
        origin: Origin,
    ) -> None:
        """Begin without any part.

        Args:
            measure, policy: how pairs are judged.
            settings: how logits are.
            sampled: by sent_id, the expressions that are needed once more.
            logits: files of the logits of all predictions; then there is one part.
            origin: who drew the masks.
        """
        self.counts: np.ndarray | None = None
        self.border: np.ndarray | None = None
        self.forgeries = Forgeries(origin)
        self._measure, self._settings, self._policy, self._logits = measure, settings, policy, logits
        self._sampled = {sent_id for each in sampled for sent_id in each}
        self._judged: list[Judged] = []  # without masks
        self._samples: list[tuple[pd.DataFrame, pd.DataFrame]] = []
        self._overlaps: list[Overlaps] = []
        self._regions: list[Regions] = []
        self._leads: list[np.ndarray] = []

    def judge(self, part: Part, of_regions: bool) -> Iterator[pd.DataFrame]:
        """The part's table of cases with its masks, in groups; `of_regions` as of `score`."""
        paired, threads, probability = part.paired, self._measure.threads, None
        if self._logits:
            probability, self.counts, self.border = probability_cases(
                paired, self._logits, border_distance=self._settings.border_distance, threads=threads
            )
        between_pixels = logit_diameters(
            paired, self._logits, tolerance=self._settings.centre_line_tolerance, threads=threads
        )
        yield from judged_groups(
            paired, self._policy, self._measure, probability, between_pixels, self._judged
        )
        self.forgeries.add(paired, part.predictions, threads=threads)
        self._overlaps.append(Overlaps.of(paired, part.official))
        self._leads.append(_leads(part.predictions))
        if of_regions:
            self._regions += found_regions(part.predictions, paired)
        self._samples.append(_only(part, self._sampled))

    def cases(self) -> pd.DataFrame:
        """The table of cases of all parts, without masks; what it was put together from is forgotten.

        Column by column: the table is never in memory twice.
        """
        tables = [dict(each.cases.items()) for each in self._judged]
        self._judged = [each._replace(cases=pd.DataFrame()) for each in self._judged]
        columns = {
            name: pd.concat([table.pop(name) for table in tables], ignore_index=True)
            for name in CASES_SCHEMA.names
        }
        return pd.DataFrame(columns, copy=False)

    def breaks(self) -> pd.DataFrame:
        """The table of breaks of all parts."""
        return pd.concat([each.breaks for each in self._judged])

    def sample(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Predictions and truths of the sampled expressions."""
        predictions, truths = zip(*self._samples, strict=True)
        return pd.concat(predictions, ignore_index=True), pd.concat(truths, ignore_index=True)

    def regions(self) -> list[Regions]:
        """Those of `found_regions`, of all parts."""
        return sorted(self._regions, key=lambda each: (each.image_id, each.phrase))

    def overlaps(self) -> Overlaps:
        """Those of all parts."""
        return Overlaps(*(np.concatenate(each) for each in zip(*self._overlaps, strict=True)))

    def near_ties(self) -> dict[str, Any]:
        """How many of the known leads are below NEAR_TIE, so that rounding may choose another mask."""
        leads = np.concatenate(self._leads)
        return {"n": int((leads < NEAR_TIE).sum()), "of": len(leads), "below": NEAR_TIE}


def _leads(predictions: pd.DataFrame) -> np.ndarray:
    """The known ones, float64."""
    return predictions.reindex(columns=["lead"])["lead"].dropna().to_numpy(np.float64)


def _only(part: Part, sent_ids: Collection[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions and truths of some expressions of a part."""
    predictions, truth = (each[each["sent_id"].isin(sent_ids)] for each in (part.predictions, part.truth))
    return predictions, truth
