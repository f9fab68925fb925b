"""Sanity checks: signs that a run is not what it claims to be, each a named finding."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from refvessel.answer_status import Status
from refvessel.sentences import marked, sentence

SAME_MASK = 0.9  # IoU from which on masks of different targets count as the same


@dataclass(frozen=True)
class SanityCheck:
    """What one check saw: whether it is alarming, of how many expressions, and the fields of a `sentence`."""

    raised: bool
    count: int
    text: str
    message: str
    values: dict[str, Any]


def sanity_checks(cases: pd.DataFrame, max_failures: int) -> dict[str, dict[str, Any]]:
    """The sanity checks of one evaluation by name, as plain data.

    failures              failed expressions; raised where they are more than `max_failures`
    no_seg                answers without [SEG]
    all_empty             empty predictions; raised where there is no other
    full_image            predictions that cover every scored pixel
    equal_to_truth        predictions with foreground that equal their truth: the truth may have been scored
    equal_across_images   predictions with foreground that equal the prediction for another image

    `cases` has the columns of CASES_SCHEMA.
    """
    n = len(cases)
    answered = cases[cases["predicted_pixels"] > 0]
    equal = int(((answered["fp"] == 0) & (answered["fn"] == 0)).sum())
    images = answered.groupby("predicted_mask")["image_id"].nunique()
    repeated = int(answered["predicted_mask"].map(images).gt(1).sum())
    empty = n - len(answered)
    full = int(((answered["tn"] == 0) & (answered["fn"] == 0)).sum())
    no_seg, failed = (int((cases["status"] == status).sum()) for status in (Status.NO_SEG, Status.FAILED))
    found = {
        "failures": SanityCheck(
            failed > max_failures,
            failed,
            **sentence(
                "%(failed)s of %(n)s expressions failed, %(allowed)s allowed: they count as empty masks and "
                "stay in every mean.",
                failed=failed,
                n=n,
                allowed=max_failures,
            ),
        ),
        "no_seg": SanityCheck(
            no_seg > 0,
            no_seg,
            **sentence(
                "%(no_seg)s of %(n)s answers (%(percent).1f%%) contained no [SEG]: they count as empty masks "
                "and stay in every mean.",
                no_seg=no_seg,
                n=n,
                percent=100 * no_seg / n,
            ),
        ),
        "all_empty": SanityCheck(
            empty == n,
            empty,
            **sentence("%(empty)s of %(n)s predictions are empty.", empty=empty, n=n),
        ),
        "full_image": SanityCheck(
            full > 0,
            full,
            **sentence("%(full)s of %(n)s predictions cover the whole image.", full=full, n=n),
        ),
        "equal_to_truth": SanityCheck(
            equal > 0,
            equal,
            **sentence("%(equal)s of %(n)s predictions equal their truth.", equal=equal, n=n),
        ),
        "equal_across_images": SanityCheck(
            repeated > 0,
            repeated,
            **sentence(
                "%(repeated)s of %(n)s predictions equal the prediction for another image.",
                repeated=repeated,
                n=n,
            ),
        ),
    }
    return {name: asdict(check) for name, check in found.items()}


def same_mask_for_other_words(swapped: Mapping[str, Any]) -> dict[str, Any]:
    """The check of two targets of one image: raised where their masks are nearly the same, as if nobody read.

    `swapped` has, as `mean` and `n`, the IoU of their masks (`masks`) and truths (`truths`), and `n_images`.
    """
    alike, truths = swapped["masks"], swapped["truths"]
    if alike["mean"] is None:
        told = sentence("No image shows two targets whose masks could be compared.")
        return asdict(SanityCheck(False, 0, **told))
    raised = alike["mean"] >= SAME_MASK
    told = sentence(
        marked(
            "The masks of two different targets of one image have an IoU of %(masks).3f (their truths "
            "%(truths).3f; %(n)s pairs in %(images)s images): the mask does not depend on the phrase."
        )
        if raised
        else marked(
            "The masks of two different targets of one image have an IoU of %(masks).3f (their truths "
            "%(truths).3f; %(n)s pairs in %(images)s images)."
        ),
        masks=alike["mean"],
        truths=truths["mean"],
        n=alike["n"],
        images=swapped["n_images"],
    )
    return asdict(SanityCheck(raised, alike["n"], **told))


def equal_between(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, Any]:
    """The check of two models' cases of the same expressions: non-empty predictions that are the same."""
    pairs = first.merge(second, on="sent_id", suffixes=("", "_second"), validate="one_to_one")
    answered = pairs[(pairs["predicted_pixels"] > 0) | (pairs["predicted_pixels_second"] > 0)]
    equal = int((answered["predicted_mask"] == answered["predicted_mask_second"]).sum())
    told = sentence("%(equal)s of %(n)s predictions of the two models are equal.", equal=equal, n=len(pairs))
    return asdict(SanityCheck(equal > 0, equal, **told))
