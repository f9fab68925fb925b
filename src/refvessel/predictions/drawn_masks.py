"""What was predicted as files to look at: masks, overlays, and a table of them.

masks/PHRASE/IMAGE.png       0 outside, 255 inside
overlays/PHRASE/IMAGE.webp   the image with its mask tinted and outlined
masks.csv                    one row per image and phrase: what became of it, and where its files are
animations/PHRASE/RUN.webp   the overlays of a run, frame by frame
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import binary_erosion

from refvessel import rle
from refvessel.artifacts import MASK_TABLE
from refvessel.dataset.tree.expressions import Sentence, read_sentences
from refvessel.dataset.tree.layout import REF_VOS
from refvessel.dataset.tree.loader import open_image
from refvessel.dataset.tree.ref_vos import FRAME_TABLE, META_EXPRESSIONS, read_frame_table, read_videos
from refvessel.dataset.tree.run_folders import folders_of_runs
from refvessel.errors import UserError
from refvessel.files import atomic_directory
from refvessel.predictions.animations import SUFFIX, write_animation_of
from refvessel.predictions.prediction import Prediction
from refvessel.predictions.table import read_records
from refvessel.spreadsheets import write_csv

MASKS, OVERLAYS, ANIMATIONS = "masks", "overlays", "animations"
MASK_SUFFIX, OVERLAY_SUFFIX = ".png", ".webp"
_COLOUR = np.array((230, 159, 0))  # RGB; Okabe and Ito's orange, as the report's predictions
_TINT = 0.35  # share of the colour within a mask
_LONGEST_NAME = 60  # characters of a phrase in a path
_QUALITY = 90  # of a lossy WebP, of 100


def draw_split(*, predictions: Path, dataset: Path, split: str, output: Path) -> None:
    """Draw the gathered predictions of a split into a folder, which appears whole or not at all.

    Args:
        predictions: Parquet table of `gather_predictions`.
        dataset: official RefCOCO tree.
        split: a split of the tree.
        output: folder to write.

    Raises:
        UserError: where an image is missing or of another size than its masks.
    """
    records, _ = read_records(predictions)
    sentences = {each.sent_id: each for each in read_sentences(dataset, split)}
    places = _places_in_runs(dataset, split)
    with atomic_directory(output) as folder:
        predicted = list(_with_sentences(records, sentences))
        table = draw_predictions(predicted, masks=folder / MASKS, overlays=folder / OVERLAYS)
        write_csv(table, folder / MASK_TABLE)
        animate(
            predicted,
            overlays=folder / OVERLAYS,
            animations=folder / ANIMATIONS,
            sequence_of=lambda sentence: places.get(sentence.image_id),
        )


def _places_in_runs(dataset: Path, split: str) -> dict[str, tuple[str, int]]:
    """The run of each image that is a frame of one, and its place in it."""
    places = {}
    for root in folders_of_runs(dataset, split) if (Path(dataset) / REF_VOS).is_dir() else []:
        table = read_frame_table(root / FRAME_TABLE)
        for video in read_videos(root / META_EXPRESSIONS):
            for of_frames in table.get(video.name, {}).values():
                for place, frame in enumerate(video.frames):
                    if frame in of_frames:
                        places[of_frames[frame].image_id] = video.name, place
    return places


def animate(
    predicted: Iterable[tuple[Prediction, Sentence]],
    *,
    overlays: Path,
    animations: Path,
    sequence_of: Callable[[Sentence], tuple[str, int] | None],
) -> None:
    """Write the overlays of each run and phrase as one animation.

    Args:
        predicted: as `draw_predictions` took them.
        overlays: the folder that it wrote overlays into.
        animations: folder to write into.
        sequence_of: the run of an image and its place in it; None for an image alone.
    """
    names = PhraseNames()
    frames: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for each, sentence in predicted:
        phrase, run = names.of(each.phrase), sequence_of(sentence)
        if run is not None:
            path = overlays / f"{phrase}/{each.image_id}{OVERLAY_SUFFIX}"
            frames[f"{phrase}/{run[0]}"].append((run[1], path))
    for name, of_run in frames.items():
        write_animation_of([path for _, path in sorted(of_run)], animations / f"{name}{SUFFIX}")


def _with_sentences(
    records: Iterable[Prediction], sentences: Mapping[int, Sentence]
) -> Iterable[tuple[Prediction, Sentence]]:
    for each in records:
        if each.sent_id not in sentences:
            raise UserError(
                f"the predictions hold the sent_id {each.sent_id}, which is not of the split; gather again."
            )
        yield each, sentences[each.sent_id]


def draw_predictions(
    predicted: Iterable[tuple[Prediction, Sentence]], *, masks: Path, overlays: Path
) -> pd.DataFrame:
    """Draw predictions, and return the table of them.

    Args:
        predicted: each with what was asked; those about one image one after the other.
        masks: folder that stands for `masks`.
        overlays: folder that stands for `overlays`.

    Raises:
        UserError: where an image does not open or is of another size than its masks.
    """
    names = PhraseNames()
    rows = []
    image: tuple[Path, Image.Image] | None = None
    for each, sentence in predicted:
        if image is None or image[0] != sentence.image_path:
            image = sentence.image_path, open_image(sentence)
        mask = rle.decode(each.mask).astype(bool)
        name = f"{names.of(each.phrase)}/{each.image_id}"
        _save(mask_image(mask), masks / f"{name}{MASK_SUFFIX}")
        _save(overlay(image[1], mask), overlays / f"{name}{OVERLAY_SUFFIX}", quality=_QUALITY)
        rows.append(
            {
                "image_id": each.image_id,
                "phrase": each.phrase,
                "status": str(each.status),
                "error": each.error,
                "pixels": int(mask.sum()),
                "score": each.score,
                "answer": each.answer,
                "mask": f"{MASKS}/{name}{MASK_SUFFIX}",
                "overlay": f"{OVERLAYS}/{name}{OVERLAY_SUFFIX}",
            }
        )
    return pd.DataFrame(rows)


class PhraseNames:
    """Phrases as names of folders: short, of plain letters and digits, each of its own."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def of(self, phrase: str) -> str:
        """The name of a phrase, the same each time."""
        if phrase not in self._names:
            plain = re.sub("[^a-z0-9]+", "_", phrase.lower()).strip("_")[:_LONGEST_NAME] or "phrase"
            taken = set(self._names.values())
            numbered = (f"{plain}_{number}" for number in range(2, len(taken) + 3))
            self._names[phrase] = plain if plain not in taken else next(n for n in numbered if n not in taken)
        return self._names[phrase]


def mask_image(mask: np.ndarray) -> Image.Image:
    """A bool mask (height, width) as a grey image, 0 and 255."""
    return Image.fromarray(mask.astype(np.uint8) * 255)


def overlay(image: Image.Image, mask: np.ndarray) -> Image.Image:
    """An RGB image whose mask, bool (height, width), is tinted, its outline in full colour."""
    pixels = np.asarray(image).copy()
    pixels[mask] = ((1 - _TINT) * pixels[mask] + _TINT * _COLOUR).astype(np.uint8)
    pixels[mask & ~binary_erosion(mask)] = _COLOUR
    return Image.fromarray(pixels)


def _save(image: Image.Image, path: Path, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
