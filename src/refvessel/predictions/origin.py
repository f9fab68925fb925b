"""Who drew the masks of a table of predictions, as its metadata says."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Origin(StrEnum):
    """Who drew masks.

    MODEL: the model, at whatever threshold.
    REFINED: the model; then small components were dropped or small holes filled.
    IMPORTED: nobody whom this program knows.
    """

    MODEL = "model"
    REFINED = "refined"
    IMPORTED = "imported"


def origin_of(made_from: Mapping[str, Any]) -> Origin:
    """Who drew the masks of a table that was made so."""
    if made_from.get("imported") is not None:
        return Origin.IMPORTED
    refinement = made_from.get("refinement") or {}
    least = max(refinement.get("smallest_component", 0), refinement.get("smallest_hole", 0))
    return Origin.REFINED if least > 1 else Origin.MODEL
