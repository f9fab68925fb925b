"""How the masks of another model, or of another annotator, are read."""

from typing import Annotated, Literal

from pydantic import Strict

from refvessel.mask_logits import MODEL_THRESHOLD
from refvessel.settings.section import Distinct, Location, Number, Stated, setting

ImportFormat = Literal["coco", "labelme", "masks", "nnunet", "predictions", "results"]


# Which formats have an option.
_OF_FORMATS = {
    "threshold": ("masks",),
    "probabilities": ("masks",),
    "transposed": ("nnunet",),
    "annotations": ("coco",),
    "least_score": ("coco",),
    "line_width": ("labelme",),
}


class ImportOptions(Stated):
    """What the format of predictions must know beside their folder."""

    missing: Literal["empty"] = setting(
        None,
        "empty takes a phrase of which an image has no mask as answered with an empty one; else it is an error.",
    )
    answers: Annotated[tuple[str, ...], Strict(False), Distinct] = setting(
        None,
        "The phrases that it answers at all, e.g. [blood vessel] of a network that knows no catheter: others are "
        "left out of its scores, and of comparisons with it. Without it, it answers all that the data set asks.",
        min_length=1,
    )
    threshold: Number = setting(
        None, "Of masks, the grey level from which on a pixel is foreground.", unit="grey level"
    )
    probabilities: bool = setting(
        None,
        f"Of masks, true if grey levels are probabilities, 1 at the highest (255, or 65535 of 16 bits); above "
        f"{MODEL_THRESHOLD} is foreground. Fractions in .npy and .npz files are, anyway.",
    )
    transposed: bool = setting(
        None, "Of nnunet, true if the first axis of NIfTI files runs down the image, not along its rows."
    )
    annotations: Location = setting(
        None,
        "Of coco, the file of annotations whose ids of images and categories the results have; without it, they "
        "have those of the tree's instances.json.",
    )
    least_score: Number = setting(None, "Of coco, the score from which on a result counts.", ge=0, le=1)
    line_width: Number = setting(None, "Of labelme, the width of linestrips.", unit="pixels", gt=0)

    def foreign_to(self, source_format: str) -> list[str]:
        """The options that are stated, and that this format does not have."""
        stated = self.model_fields_set & _OF_FORMATS.keys()
        return sorted(name for name in stated if source_format not in _OF_FORMATS[name])
