"""What was predicted on a folder of images, without truth: a table, and files to look at.

predictions.parquet   as of a split
masks/, overlays/, masks.csv: see `drawn_masks`; frames of a sequence lie in a folder of its own
animations/PHRASE/SEQUENCE.webp   the overlays of a sequence
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from refvessel.artifacts import MASK_TABLE, OF_FOLDER, PREDICTIONS
from refvessel.dataset.tree.expressions import Sentence
from refvessel.errors import UserError
from refvessel.files import atomic_directory, atomic_file
from refvessel.predictions.drawn_masks import ANIMATIONS, MASKS, OVERLAYS, animate, draw_predictions
from refvessel.predictions.prediction import Prediction, read_shard
from refvessel.predictions.run_file import read_run
from refvessel.predictions.table import write_predictions
from refvessel.provenance import file_record
from refvessel.spreadsheets import write_csv

_SHARDS = PurePosixPath(OF_FOLDER).parts[0]
_WRITTEN = {PREDICTIONS, MASKS, OVERLAYS, ANIMATIONS, MASK_TABLE, _SHARDS}


def require_replaceable(output: Path) -> None:
    """Raise UserError where a folder holds anything that was not written by an earlier prediction."""
    found = {entry.name for entry in output.iterdir()} if output.is_dir() else set()
    if strange := sorted(found - _WRITTEN if _SHARDS in found else found):
        raise UserError(f"{output} holds {strange[0]}, which no prediction wrote; choose another folder.")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; choose a folder.")


def write_folder_predictions(
    sentences: Sequence[Sentence], shards: Sequence[Path], output: Path
) -> list[Prediction]:
    """Write all that finished shards say of a folder of images, and return its predictions.

    Args:
        sentences: what was asked.
        shards: JSON lines, of images alone and of sequences.
        output: folder to write into; the folders in it are replaced once their successors are complete.

    Raises:
        UserError: where an image does not open any more or is of another size than its masks.
    """
    asked = {each.sent_id: each for each in sentences}
    answers = [prediction for shard in shards for prediction in read_shard(shard)]
    predictions = sorted(answers, key=lambda each: each.sent_id)
    made_from = {"runs": list(map(read_run, shards)), "shards": list(map(file_record, shards))}
    write_predictions(output / PREDICTIONS, predictions, made_from)
    with ExitStack() as held:
        masks, overlays, animations = (
            held.enter_context(atomic_directory(output / name)) for name in (MASKS, OVERLAYS, ANIMATIONS)
        )
        predicted = [(each, asked[each.sent_id]) for each in predictions]
        table = draw_predictions(predicted, masks=masks, overlays=overlays)
        animate(predicted, overlays=overlays, animations=animations, sequence_of=_sequence_of)
    with atomic_file(output / MASK_TABLE) as temporary:
        write_csv(table, temporary)
    return predictions


def _sequence_of(sentence: Sentence) -> tuple[str, int] | None:
    """The folder that a frame lies in and its place in all that was asked; None for an image alone."""
    folder = PurePosixPath(sentence.image_id).parent.as_posix()
    return None if folder == "." else (folder, sentence.sent_id)
