"""How sequences are segmented with SAM2's memory."""

from typing import Literal

from pydantic import field_validator

from refvessel.prompts import IMAGE_PLACEHOLDER, PHRASE_PLACEHOLDER
from refvessel.settings.section import Section, setting

Shown = Literal["first", "uniform", "contrast"]
Propagation = Literal["official", "sa2va-i"]

_PLACEHOLDERS = (IMAGE_PLACEHOLDER, PHRASE_PLACEHOLDER)


class Video(Section):
    """How sequences are segmented with SAM2's memory."""

    shown: Shown = setting(
        "first",
        "Frames of a sequence that the language model sees: its first ones, as the official code takes them; "
        "uniformly over the whole; or contrast, those in a row in which vessels are darkest, since frames before "
        "the contrast agent arrives show none.",
    )
    frames: int = setting(5, "Number of frames that the language model sees.", ge=1, le=64)
    propagation: Propagation = setting(
        "official",
        "How the other frames are segmented: by SAM2's memory with the model's own mask decoder; or as Sa2VA-i "
        "does, by the memory and the decoder that SAM2 had before fine-tuning, which needs the model's sam2.",
    )
    phrase_question: str = setting(
        "<image>\nPlease segment {phrase}.",
        f"The prompt, with `{IMAGE_PLACEHOLDER}` for all frames that are seen, and `{PHRASE_PLACEHOLDER}`.",
    )
    question_question: str = setting(
        "<image>\n {phrase} Please respond with a segmentation mask.",
        "The prompt for an expression that holds a question mark.",
    )
    encoded_ahead: int | None = setting(
        None,
        "Frames that SAM2 encodes at once; null is 32 on a GPU, 1 on the CPU.",
        free=True,
        ge=1,
        le=256,
    )
    together: int | None = setting(
        None,
        "Sequences that are segmented side by side; null is 8 on a GPU, 1 on the CPU.",
        free=True,
        ge=1,
        le=64,
    )

    @field_validator("phrase_question", "question_question")
    @classmethod
    def _has_placeholders(cls, question: str) -> str:
        if any(question.count(placeholder) != 1 for placeholder in _PLACEHOLDERS):
            raise ValueError(f"{question!r} must hold {' and '.join(_PLACEHOLDERS)} once each; add them")
        return question

    def question_for(self, expression: str) -> str:
        """The question that an expression is asked by, as the official script chooses it."""
        return self.question_question if "?" in expression else self.phrase_question

    def asking(self, question: str) -> "Video":
        """The same with a question of one's own, which then is asked of every expression."""
        if question == self.phrase_question:
            return self
        return self.model_copy(update={"phrase_question": question, "question_question": question})
