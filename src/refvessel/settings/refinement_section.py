"""What becomes of gathered masks before they are scored."""

from typing import Annotated, Literal

from pydantic import Field

from refvessel.mask_logits import MODEL_THRESHOLD
from refvessel.settings.section import Section, setting

TUNING_SPLIT = "val"
TunedScore = Literal["dice", "iou"]


class Refinement(Section):
    """What becomes of the gathered masks before they are scored; nothing of it sees the evaluated truth."""

    threshold: Annotated[float, Field(gt=0, lt=1)] | TunedScore = setting(
        MODEL_THRESHOLD,
        "Probability above which a pixel is foreground; or the score, dice or iou, for which it is tuned on "
        f"the split `{TUNING_SPLIT}` of each data set. Other than {MODEL_THRESHOLD} it needs "
        "inference.save_logits. Imported masks stay as they were cut off.",
    )
    smallest_component: int = setting(0, "Components of fewer pixels are dropped.", unit="pixels", ge=0)
    smallest_hole: int = setting(0, "Holes of fewer pixels are filled.", unit="pixels", ge=0)

    def of_imports(self) -> "Refinement":
        """The same for imported masks: they have no logits, and keep the threshold of whoever made them."""
        return self.model_copy(update={"threshold": MODEL_THRESHOLD})
