"""Which cases of an evaluation are shown one by one, and their masks, which of many are read for these alone."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from refvessel.metrics.cases import MASKS, read_cases, read_masks
from refvessel.report.worst_cases import failures

MOST_SHOWN = 10_000  # cases of an evaluation
_DRAWN = ("truth_mask", "predicted_mask")


def read_cases_with_masks(path: Path) -> pd.DataFrame:
    """The table of cases, masks as RLEs; without masks where it has more than MOST_SHOWN.

    Raises UserError as `read_cases` does.
    """
    cases, _ = read_cases(path, most_masks=MOST_SHOWN)
    return cases if _is_sampled(cases) else _parsed(cases)


def with_masks(cases: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Some of the cases of `read_cases_with_masks`, from the same file, with their masks."""
    if not len(cases) or not cases[_DRAWN[0]].isna().all():
        return cases
    masks = read_masks(path, cases["sent_id"]).set_index("sent_id").loc[cases["sent_id"]]
    return _parsed(cases.assign(**{name: masks[name].to_numpy() for name in MASKS}))


def sample(cases: pd.DataFrame) -> pd.DataFrame:
    """The cases that are shown: all up to MOST_SHOWN; of more, those of some images, and the worst.

    Whole images, in the order of the SHA-256 of their ids, which is the same for every model.
    """
    if not _is_sampled(cases):
        return cases
    image, image_ids = pd.factorize(cases["image_id"])
    hashes = [hashlib.sha256(name.encode()).digest() for name in image_ids]
    order = np.array(sorted(range(len(hashes)), key=hashes.__getitem__))
    fitting = np.bincount(image)[order].cumsum() <= MOST_SHOWN
    chosen = np.zeros(len(image_ids), bool)
    chosen[order[fitting]] = True
    worst = {sent_id for some in failures(cases).values() for sent_id in some["sent_id"]}
    return cases[chosen[image] | cases["sent_id"].isin(worst).to_numpy()]


def _is_sampled(cases: pd.DataFrame) -> bool:
    return len(cases) > MOST_SHOWN


def _parsed(cases: pd.DataFrame) -> pd.DataFrame:
    return cases.assign(**{name: cases[name].map(json.loads) for name in _DRAWN})
