"""All shards of a split into one table, every expression exactly once."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from refvessel.dataset.tree.expressions import Sentence, read_sentences
from refvessel.errors import UserError
from refvessel.predictions.asked import Asked, asked_of
from refvessel.predictions.asked_sequences import asked_in_sequences
from refvessel.predictions.identity import dataset_identity, hashes_of_files
from refvessel.predictions.prediction import Prediction, read_shard
from refvessel.predictions.run_file import common_run, run_identity, without_sam2
from refvessel.predictions.table import write_predictions
from refvessel.provenance import file_record
from refvessel.settings.video_section import Video

_MOST_NAMED = 5


def gather_predictions(*, shards: Sequence[Path], dataset: Path, split: str, output: Path) -> None:
    """Write the predictions of a split as one Parquet table, sorted by sent_id.

    `mask` and `masks` are JSON text. The table's metadata under the key `refvessel` says which model, data set
    and settings made it, how many answers were as expected, and carries the SHA-256 of every shard.

    Raises:
        UserError: where an expression is missing or there twice, a prediction is of another expression, image or
            image size, or the shards are of different runs.
    """
    expressions = read_sentences(dataset, split)
    with ThreadPoolExecutor(1) as beside:  # images are hashed while shards are parsed
        hashing = beside.submit(hashes_of_files, [each.image_path for each in expressions])
        found = [prediction for shard in shards for prediction in read_shard(_existing(shard))]
    predictions = [each for each in found if each.sent_id >= 0]  # the others are of frames without a truth
    _require_each_once(expressions, predictions, split)
    _require_same_expressions(expressions, predictions)
    run = common_run(shards)
    if run is not None:
        identity, video = run_identity(run), run.get("video")
        asked = (
            asked_of(expressions, identity, run["question"], hashing.result())
            if video is None
            else asked_in_sequences(dataset, split, identity, Video.model_validate(without_sam2(video)))
        )
        _require_same_images(asked, predictions)
    provenance = {
        "run": run,
        "dataset": dataset_identity(dataset),
        "shards": [file_record(shard) for shard in shards],
        "answers_as_expected": sum(each.drafted for each in predictions),
    }
    write_predictions(output, sorted(predictions, key=lambda each: each.sent_id), provenance)


def _existing(shard: Path) -> Path:
    if not Path(shard).is_file():
        raise UserError(f"the shard {shard} does not exist; run refvessel segment for it first.")
    return shard


def _require_each_once(expressions: list[Sentence], predictions: list[Prediction], split: str) -> None:
    wanted = {each.sent_id for each in expressions}
    found = Counter(each.sent_id for each in predictions)
    for problem, sent_ids in (
        ("have no prediction; segment the missing shard", wanted - found.keys()),
        (
            "have several predictions; give each shard once",
            {each for each, count in found.items() if count > 1},
        ),
        ("are not of this split; give the shards of one split", found.keys() - wanted),
    ):
        if sent_ids:
            named = ", ".join(map(str, sorted(sent_ids)[:_MOST_NAMED]))
            raise UserError(f"split {split}: {len(sent_ids)} expressions (sent_id {named}) {problem}.")


def _require_same_expressions(expressions: list[Sentence], predictions: list[Prediction]) -> None:
    by_sent_id = {each.sent_id: each for each in expressions}
    for prediction in predictions:
        expression = by_sent_id[prediction.sent_id]
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


def _require_same_images(asked: list[Asked], predictions: list[Prediction]) -> None:
    """Each answer must be to the image that the tree holds now."""
    found = {each.sent_id: each for each in predictions}
    for each in asked:
        if found[each.sent_id].identity != each.identity:
            raise UserError(
                f"sent_id {each.sent_id}: the prediction answers another image or question than the tree holds "
                f"for {each.image_id}; segment this data set again."
            )
