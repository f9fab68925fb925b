"""All shards of a split into one table, every expression exactly once."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from refvessel.dataset.tree.expressions import Sentence, read_sentences
from refvessel.errors import UserError
from refvessel.predictions.asked import asked_of
from refvessel.predictions.asked_sequences import asked_in_sequences
from refvessel.predictions.identity import dataset_identity, hashes_of_files
from refvessel.predictions.prediction import Prediction, known_record, places_of_records
from refvessel.predictions.run_file import common_run, run_identity, without_sam2
from refvessel.predictions.table import PER_GROUP, write_prediction_groups
from refvessel.provenance import file_record
from refvessel.settings.video_section import Video

_MOST_NAMED = 5


def gather_predictions(*, shards: Sequence[Path], dataset: Path, split: str, output: Path) -> None:
    """Write the predictions of a split as one Parquet table, sorted by sent_id.

    `mask` and `masks` are JSON text. The table's metadata under the key `refvessel` says which model, data set
    and settings made it, how many answers were as expected, and carries the SHA-256 of every shard.
    Shards are read twice, first for their sent_ids and then in their order, so that few masks are in memory.

    Raises:
        UserError: where an expression is missing or there twice, a prediction is of another expression, image or
            image size, or the shards are of different runs.
    """
    expressions = read_sentences(dataset, split)
    with ThreadPoolExecutor(1) as beside:  # images are hashed while shards are parsed
        hashing = beside.submit(hashes_of_files, [each.image_path for each in expressions])
        lines = _Lines.of([_existing(shard) for shard in shards])
    _require_each_once(
        np.array([each.sent_id for each in expressions], dtype=np.int64), lines.sent_ids, split
    )
    run = common_run(shards)
    known: Mapping[int, str] | None = None
    if run is not None and (video := run.get("video")) is not None:
        asked = asked_in_sequences(
            dataset, split, run_identity(run), Video.model_validate(without_sam2(video))
        )
        known = {each.sent_id: each.identity for each in asked}

    def identities(some: Sequence[Sentence]) -> Mapping[int, str]:
        if run is None or known is not None:
            return known or {}
        asked = asked_of(some, run_identity(run), run["question"], hashing.result())
        return {each.sent_id: each.identity for each in asked}

    def groups() -> Iterator[list[Prediction]]:
        for first in range(0, len(expressions), PER_GROUP):
            some = expressions[first : first + PER_GROUP]
            predictions = lines.read(first, len(some))
            _require_same_expressions(some, predictions)
            _require_same_images(identities(some), predictions)
            yield predictions

    provenance = {
        "run": run,
        "dataset": dataset_identity(dataset),
        "shards": [file_record(shard) for shard in shards],
        "answers_as_expected": lines.drafted,
    }
    write_prediction_groups(output, groups(), provenance)


class _Lines(NamedTuple):
    """Where the lines of shards stand, by sent_id; frames without a truth have none.

    sent_ids, shard, place: int64 (lines,); the shard's number and the byte at which the line begins.
    drafted: how many answers were as expected.
    """

    shards: Sequence[Path]
    sent_ids: np.ndarray
    shard: np.ndarray
    place: np.ndarray
    drafted: int

    @classmethod
    def of(cls, shards: Sequence[Path]) -> "_Lines":
        found: list[np.ndarray] = [np.empty((0, 4), dtype=np.int64)]
        for number, shard in enumerate(shards):
            rows = array("q")  # a list of tuples would take ten times the memory
            for place, each in places_of_records(shard):
                if each.sent_id >= 0:
                    rows.extend((each.sent_id, number, place, each.drafted))
            found.append(np.array(rows, dtype=np.int64).reshape(-1, 4))
        lines = np.concatenate(found)
        sent_ids, number, place, drafted = lines[lines[:, 0].argsort(kind="stable")].T
        return cls(shards, sent_ids, number, place, int(drafted.sum()))

    def read(self, first: int, count: int) -> list[Prediction]:
        """The records of some lines that follow each other by sent_id."""
        predictions = []
        here = slice(first, first + count)
        with ExitStack() as held:
            files = {
                number: held.enter_context(self.shards[number].open("rb"))
                for number in np.unique(self.shard[here]).tolist()
            }
            for number, place in zip(self.shard[here].tolist(), self.place[here].tolist(), strict=True):
                files[number].seek(place)
                predictions.append(known_record(files[number].readline()))
        return predictions


def _existing(shard: Path) -> Path:
    if not Path(shard).is_file():
        raise UserError(f"the shard {shard} does not exist; run refvessel segment for it first.")
    return Path(shard)


def _require_each_once(wanted: np.ndarray, found: np.ndarray, split: str) -> None:
    """`wanted` and `found` are sent_ids, int64, the latter sorted."""
    for problem, sent_ids in (
        ("have no prediction; segment the missing shard", np.setdiff1d(wanted, found)),
        ("have several predictions; give each shard once", np.unique(found[1:][found[1:] == found[:-1]])),
        ("are not of this split; give the shards of one split", np.setdiff1d(found, wanted)),
    ):
        if len(sent_ids):
            named = ", ".join(map(str, sent_ids[:_MOST_NAMED]))
            raise UserError(f"split {split}: {len(sent_ids)} expressions (sent_id {named}) {problem}.")


def _require_same_expressions(expressions: Sequence[Sentence], predictions: Sequence[Prediction]) -> None:
    for expression, prediction in zip(expressions, predictions, strict=True):
        for field, found, wanted in (
            ("image_id", prediction.image_id, expression.image_id),
            ("ref_id", prediction.ref_id, expression.ref_id),
            ("phrase", prediction.phrase, expression.phrase),
            ("mask size", prediction.mask["size"], [expression.height, expression.width]),
        ):
            if found != wanted:
                raise UserError(
                    f"sent_id {prediction.sent_id}: the prediction's {field} is {found!r}, the tree's {wanted!r}; "
                    "segment this data set again."
                )


def _require_same_images(identities: Mapping[int, str], predictions: Sequence[Prediction]) -> None:
    """Each answer must be to the image that the tree holds now; `identities` are empty where none is known."""
    for each in predictions:
        if each.identity != identities.get(each.sent_id, each.identity):
            raise UserError(
                f"sent_id {each.sent_id}: the prediction answers another image or question than the tree holds "
                f"for {each.image_id}; segment this data set again."
            )
