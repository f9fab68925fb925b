"""How predictions are scored."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, Strict

from refvessel.settings.section import Distinct, Number, Section, setting


class Protocol(StrEnum):
    """Whose reading of the data is scored.

    own: pixels that are ignored count nowhere, a truth is the union of its parts, a split is the one of its name.
    official: as the official evaluator has it.
    """

    OWN = "own"
    OFFICIAL = "official"


class Scores(Section):
    """How predictions are scored."""

    nsd_tolerance: Number = setting(
        2, "By how much a surface may miss and still count in the NSD.", unit="pixels", ge=0
    )
    boundary_distance: int = setting(
        2,
        "How far from its mask's own boundary a pixel may lie and count in the boundary IoU; on vessels that are "
        "thinner than twice that it is the IoU.",
        unit="pixels",
        ge=1,
    )
    border_distance: int = setting(
        3,
        "How far from the truth's boundary a pixel may lie and count in the calibration near it, where logits are "
        "stored.",
        unit="pixels",
        ge=1,
    )
    centre_line_tolerance: int = setting(
        3,
        "How far from the truth's centre line a prediction still follows it, for breaks and diameters; stretches "
        "that are not twice as long are no branches.",
        unit="pixels",
        ge=1,
        le=20,
    )
    ceiling_sample: int = setting(
        40,
        "How many truths are drawn again in other ways, to find the best scores that any model can be expected "
        "to reach on them; 0 for none.",
        unit="expressions",
        ge=0,
    )
    annotator_pixel: Number = setting(
        1,
        "By how much each corner of an outline may miss where the annotator aimed, in x and in y: how truths are "
        "drawn again for that.",
        unit="pixels",
        gt=0,
        le=20,
    )
    bootstrap_draws: int = setting(10_000, "Draws of patients for the 95% intervals.", ge=100)
    compared: Annotated[tuple[str, ...], Strict(False), Distinct] = setting(
        ("dice", "cldice", "nsd"),
        "Scores that models are compared on, where several are evaluated on one split.",
        min_length=1,
    )
    non_inferiority: dict[str, Annotated[Number, Field(gt=0)]] = setting(
        {},
        "Score -> margin: by how much a model may be worse and still count as no worse, in the score's unit; any "
        "two models on a split are tested for it. {dice: 0.01} tests claims such as that int8 is as good as "
        "bfloat16. State it before you look at the results.",
    )
    empty_cases: dict[str, dict[str, Number | Literal["formula", "diagonal"] | None]] = setting(
        {},
        "Cells of the empty-case policy that differ from the default: score -> both_empty, truth_empty or "
        "prediction_empty -> a value of that score, null (left out of means), formula or, for hd95 and assd, "
        "diagonal (of the image). {dice: {both_empty: null}} leaves correctly empty answers out of the mean Dice.",
    )
