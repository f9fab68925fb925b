"""Grounded captions (GCG): the question, and what an answer says of an image, as the official code has both."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refvessel.files import write_json
from refvessel.predictions.prediction import Prediction
from refvessel.prompts import IMAGE_PLACEHOLDER
from refvessel.rle import RLE

# The official evaluator's: mind the five blanks.
CAPTION_QUESTION = (
    f"{IMAGE_PLACEHOLDER}\nCould you please give me a brief description of the image? Please respond with "
    f"interleaved{' ' * 5}segmentation masks for the corresponding parts of the answer."
)
PREDICTION_SUFFIX = ".json"  # after the image's id

ImageId = str | int

_SEG = "[SEG]"
_TAG = re.compile("<.*?>")
_PHRASE = re.compile("<p>(.*?)</p>")
_ROLE = "ASSISTANT: "


@dataclass(frozen=True)
class PredictedCaption:
    """What a model says of an image; phrase i belongs to mask i, but their numbers may differ."""

    image_id: ImageId
    caption: str
    phrases: list[str]
    masks: list[RLE]

    def as_json(self) -> dict[str, Any]:
        """As the official inference writes it."""
        return {
            "image_id": self.image_id,
            "caption": self.caption,
            "phrases": self.phrases,
            "pred_masks": self.masks,
        }


def parse_caption(answer: str) -> tuple[str, list[str]]:
    """The caption and the phrases of an answer, which has tags and [SEG], as the official inference reads them.

    Line breaks and [SEG] go without leaving a blank, all between `<` and `>` is a tag, and blanks before
    punctuation stay. Phrases are what stands between `<p>` and `</p>`, whether a [SEG] follows or not.
    """
    text = answer.replace("<s>", "").replace("\n", "").replace("  ", " ").rpartition(_ROLE)[2]
    phrases = [phrase.strip() for phrase in _PHRASE.findall(text)]
    words = _TAG.sub("", text).replace(_SEG, "").split()
    return " ".join(words).strip("'").strip(), phrases


def write_captions(predictions: Sequence[Prediction], output: Path) -> list[PredictedCaption]:
    """Write and return what is predicted of each image, one JSON per image in the folder `output`.

    One that failed has neither words nor masks, and says why in a field of its own, `error`.
    """
    captions = []
    for each in predictions:
        caption = PredictedCaption(each.image_id, *parse_caption(each.answer), each.masks)
        content = caption.as_json() | ({} if each.error is None else {"error": each.error})
        write_json(output / f"{each.image_id}{PREDICTION_SUFFIX}", content)
        captions.append(caption)
    return captions
