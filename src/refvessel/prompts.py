"""What a question holds, and what stands there instead once an image and a phrase are asked."""

IMAGE_PLACEHOLDER = "<image>"
PHRASE_PLACEHOLDER = "{phrase}"


def prompt_of(question: str, phrase: str) -> str:
    """The whole prompt for a phrase; the image's tokens come in where the model reads it."""
    return question.replace(PHRASE_PLACEHOLDER, phrase)
