"""What a split asks of a model: images and phrases, and not the truths that the answers are compared with."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from refvessel.dataset.tree.expressions import Sentence, read_expressions
from refvessel.files import write_json
from refvessel.predictions.identity import answer_identity, hashes_of_files
from refvessel.predictions.prediction import Prediction
from refvessel.prompts import prompt_of


@dataclass(frozen=True)
class Asked:
    """An expression by the numbers that it has in the tree, and the identity of the answer to it."""

    image_id: str
    ref_id: int
    sent_id: int
    phrase: str
    identity: str

    def label(self, prediction: Prediction) -> Prediction:
        """An answer of this identity as the record of this expression, whichever it was given for."""
        return replace(
            prediction,
            image_id=self.image_id,
            ref_id=self.ref_id,
            sent_id=self.sent_id,
            phrase=self.phrase,
        )


def asked_of(
    expressions: Sequence[Sentence],
    run_identity: str,
    question: str,
    images: Mapping[Path, str] | None = None,
) -> list[Asked]:
    """What expressions ask in a run, in their order.

    Args:
        expressions: of a tree.
        run_identity: see `Run.identity`.
        question: the prompt with `{phrase}`.
        images: SHA-256 of each image file; None: they are hashed now.
    """
    images = hashes_of_files(each.image_path for each in expressions) if images is None else images
    return [
        Asked(
            each.image_id,
            each.ref_id,
            each.sent_id,
            each.phrase,
            answer_identity(run_identity, images[each.image_path], prompt_of(question, each.phrase)),
        )
        for each in expressions
    ]


def list_expressions(*, dataset: Path, split: str, output: Path) -> None:
    """Write how many images and expressions a split asks for, and a SHA-256 over them, as JSON.

    The hash covers numbers, phrases and the bytes of the images. It stays the same where only truths change, and
    so does whatever depends on this file alone.
    """
    expressions = read_expressions(dataset, split)
    images = hashes_of_files(each.image_path for each in expressions)
    digest = hashlib.sha256()
    for each in expressions:
        numbers = (each.image_id, each.ref_id, each.sent_id, each.height, each.width, images[each.image_path])
        digest.update(f"{numbers!r}{each.phrase!r}\n".encode())
    content = {"images": len(images), "expressions": len(expressions), "sha256": digest.hexdigest()}
    write_json(output, content)
