"""The record of a prediction: one JSON object per expression, one line each, in a shard."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

from refvessel.answer_status import Status
from refvessel.errors import UserError
from refvessel.rle import RLE, as_json, is_rle

NEAR_TIE = 1e-4  # a lead below which the choice among SAM2's candidates is left to rounding


@dataclass(frozen=True)
class Prediction:
    """What the model made of one expression.

    A new field is a line here: shards, the table and what reads them follow. It needs a default, which earlier
    tables are read with.

    error: why it failed; None otherwise.
    mask: the union of `masks`, one per [SEG]; empty where there is none.
    score: the mean over the masks of SAM2's predicted IoU of the chosen one; None without masks.
    seconds: the expression's share of its batch's time.
    drafted: whether the draft was the answer, so that one pass verified it (speculative decoding).
    identity: of the answer, see `answer_identity`: the image, the question, the model and how it was run.
    lead: by how much the predicted IoU of the chosen mask exceeds that of the second-best candidate, the smallest
        over the [SEG], and with flips over the views that were averaged, each of which chooses for itself. Below
        NEAR_TIE, rounding may choose the other one: batch size, draft, threads and compilation round otherwise.
        None without masks, of one candidate only, and where it was not noted.
    """

    image_id: str
    ref_id: int
    sent_id: int
    phrase: str
    prompt: str
    answer: str
    num_seg: int
    status: Status
    error: str | None
    mask: RLE
    masks: list[RLE]
    score: float | None
    seconds: float
    drafted: bool = False
    identity: str = ""
    lead: float | None = None

    def to_line(self) -> str:
        """One JSON line, its end included."""
        texts = {name: _json(getattr(self, name)) for name in COLUMNS if name not in (_UNION, _MASKS)}
        texts[_UNION] = as_json(self.mask)
        # Mostly there is one mask, which is its own union: a long text that need not be made twice.
        masks = [texts[_UNION] if each is self.mask else as_json(each) for each in self.masks]
        texts[_MASKS] = f"[{', '.join(masks)}]"
        return "{" + ", ".join(f'"{name}": {texts[name]}' for name in COLUMNS) + "}\n"


COLUMNS = tuple(field.name for field in fields(Prediction))
_UNION, _MASKS = "mask", "masks"
_json = partial(json.dumps, ensure_ascii=False, allow_nan=False)


def read_shard(path: Path) -> list[Prediction]:
    """The records of a shard; a last line without its end, as a killed job leaves it, is not one.

    Raises UserError for a whole line that is not a record.
    """
    return [record for _, record in places_of_records(path)]


def places_of_records(path: Path) -> Iterator[tuple[int, Prediction]]:
    """The same, one after another, each with the byte at which its line begins."""
    place = 0
    with Path(path).open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):
                yield place, _parse(line, f"{path}, line {number}")
            place += len(line)


def failures(predictions: Iterable[Prediction]) -> list[Prediction]:
    """The failed ones, in order."""
    return [prediction for prediction in predictions if prediction.status == Status.FAILED]


def parse_record(line: bytes) -> Prediction:
    """The record of a line; raises ValueError or TypeError where it is none."""
    prediction = Prediction(**json.loads(line))
    union_alone = [] if prediction.mask in prediction.masks else [prediction.mask]
    if not all(map(is_rle, [*prediction.masks, *union_alone])):
        raise ValueError("a mask is not an RLE")
    return replace(prediction, status=Status(prediction.status))


def known_record(line: bytes) -> Prediction:
    """The record of a line that was found, or made, to be one: nothing is checked, which would take longest."""
    return Prediction(**json.loads(line))


def _parse(line: bytes, where: str) -> Prediction:
    try:
        return parse_record(line)
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(
            f"{where} is not a prediction record ({error}); delete the shard and run again."
        ) from None
