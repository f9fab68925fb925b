"""The official scores of grounded captions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refvessel.cli.official_commands import official

if TYPE_CHECKING:
    from refvessel.evaluation.text_similarity import TextSimilarity

_TOLD = ("AP50", "mIoU", "recall", "METEOR", "CIDEr")


@official.command()
def gcg(
    masks: Annotated[Path, typer.Option(help="Masks of the truth, COCO.")],
    captions: Annotated[Path, typer.Option(help="Captions and labels of the truth, COCO.")],
    predictions: Annotated[Path, typer.Option(help="Folder with one JSON per image.")],
    output: Annotated[Path, typer.Option(help="JSON file to write.")],
    similarity: Annotated[
        Path | None,
        typer.Option(
            help="How phrases are compared: a JSON file of similarities, or a BERT's folder, by the cosine of "
            "its mean states; without it they must be equal but for case and outer blanks."
        ),
    ] = None,
) -> None:
    """Score grounded captions (GCG): AP50, mIoU, recall, METEOR and CIDEr."""
    from refvessel.evaluation.gcg_scoring import score_grounded_captions

    scores = score_grounded_captions(
        masks=masks,
        captions=captions,
        predictions=predictions,
        similarity=_similarity(similarity),
        output=output,
    )
    for name in _TOLD:
        print(f"{name}: {_shown(scores[name])} (by its plain definition {_shown(scores['plain'][name])})")
    print(f"Phrases were compared by {scores['text_similarity']}.")
    for note in scores["notes"]:
        print(f"Note: {note}")


def _similarity(given: Path | None) -> "TextSimilarity":
    from refvessel.evaluation.text_similarity import TextSimilarity, exact_match, similarity_table

    if given is None:
        return exact_match()
    if not given.is_dir():
        return similarity_table(given)
    from refvessel.model.sentence_similarity import SentenceEncoder

    encoder = SentenceEncoder(given)
    return TextSimilarity(f"the cosine of the mean states of {encoder.description}", encoder.similarity)


def _shown(value: float | None) -> str:
    return "null" if value is None else f"{value:.6f}"
