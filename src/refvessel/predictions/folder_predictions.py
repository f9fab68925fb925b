"""What was predicted on a folder of images, without truth: a table, and files to look at.

predictions.parquet   as of a split
masks/, overlays/, masks.csv: see `drawn_masks`; frames of a sequence lie in a folder of its own
animations/PHRASE/SEQUENCE.webp   the overlays of a sequence
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from PIL import Image

from refvessel.artifacts import MASK_TABLE, OF_FOLDER, PREDICTIONS
from refvessel.dataset.tree.expressions import Sentence
from refvessel.errors import UserError
from refvessel.files import atomic_directory, atomic_file
from refvessel.predictions.drawn_masks import MASKS, OVERLAY_SUFFIX, OVERLAYS, PhraseNames, draw_predictions
from refvessel.predictions.prediction import Prediction, read_shard
from refvessel.predictions.run_file import common_run
from refvessel.predictions.table import write_predictions
from refvessel.provenance import file_record
from refvessel.spreadsheets import write_csv

ANIMATIONS = "animations"
_SHARDS = PurePosixPath(OF_FOLDER).parts[0]
_WRITTEN = {PREDICTIONS, MASKS, OVERLAYS, ANIMATIONS, MASK_TABLE, _SHARDS}
_MILLISECONDS = 67  # of a frame: 15 frames per second, as most angiograms are filmed
_QUALITY = 80  # of a lossy WebP, of 100


def require_replaceable(output: Path) -> None:
    """Raise UserError where a folder holds anything that was not written by an earlier prediction."""
    found = {entry.name for entry in output.iterdir()} if output.is_dir() else set()
    if strange := sorted(found - _WRITTEN if _SHARDS in found else found):
        raise UserError(f"{output} holds {strange[0]}, which no prediction wrote; choose another folder.")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; choose a folder.")


def write_folder_predictions(sentences: Sequence[Sentence], shard: Path, output: Path) -> list[Prediction]:
    """Write all that a finished shard says of a folder of images, and return its predictions.

    Args:
        sentences: what was asked.
        shard: JSON lines.
        output: folder to write into; the folders in it are replaced once their successors are complete.

    Raises:
        UserError: where an image does not open any more or is of another size than its masks.
    """
    asked = {each.sent_id: each for each in sentences}
    predictions = sorted(read_shard(shard), key=lambda each: each.sent_id)
    made_from = {"run": common_run([shard]), "shards": [file_record(shard)]}
    write_predictions(output / PREDICTIONS, predictions, made_from)
    with ExitStack() as held:
        masks, overlays, animations = (
            held.enter_context(atomic_directory(output / name)) for name in (MASKS, OVERLAYS, ANIMATIONS)
        )
        predicted = [(each, asked[each.sent_id]) for each in predictions]
        table = draw_predictions(predicted, masks=masks, overlays=overlays)
        _animate(predictions, overlays, animations)
    with atomic_file(output / MASK_TABLE) as temporary:
        write_csv(table, temporary)
    return predictions


def _animate(predictions: Sequence[Prediction], overlays: Path, animations: Path) -> None:
    """The overlays of each sequence and phrase as one animation."""
    names, frames = PhraseNames(), defaultdict(list)
    for each in predictions:
        sequence = PurePosixPath(each.image_id).parent.as_posix()
        place = f"{names.of(each.phrase)}/{sequence}"
        if sequence != ".":
            frames[place].append(overlays / f"{names.of(each.phrase)}/{each.image_id}{OVERLAY_SUFFIX}")
    for place, paths in frames.items():
        target = animations / f"{place}{OVERLAY_SUFFIX}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(paths[0]) as first:
            first.save(
                target,
                save_all=True,
                append_images=[_Frame(path, first.size) for path in paths[1:]],
                duration=_MILLISECONDS,
                loop=0,
                quality=_QUALITY,
            )


class _Frame:
    """A frame of an animation, as Pillow takes it, whose pixels are in memory only while they are encoded."""

    n_frames, mode = 1, "RGB"

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self._path = path
        self._size = size

    def seek(self, frame: int) -> None:
        """To the only one."""

    def getim(self) -> object:
        """The pixels, in the size of the first frame."""
        with Image.open(self._path) as image:
            shown = image.convert(self.mode)
        return (shown if shown.size == self._size else shown.resize(self._size)).getim()
