"""Writing the official tree: the same input gives the same bytes."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, count, repeat
from pathlib import Path
from typing import IO, Any

from refvessel import rle
from refvessel.dataset.regions.polygons import Outlines
from refvessel.dataset.tree.entries import (
    ANNOTATIONS,
    CATEGORIES,
    IMAGES,
    ImageEntry,
    annotation_entry,
    category_entry,
    ref_entry,
)
from refvessel.dataset.tree.layout import INSTANCES, OUTLINES, REFS
from refvessel.dataset.tree.outlines import outlines_file
from refvessel.dataset.tree.refs import write_refs

_Add = Callable[[dict[str, Any]], object]


class TreeWriter:
    """Adds images and their truths to the files of a tree that is being written."""

    def __init__(
        self,
        categories: Mapping[str, int],
        add_image: _Add,
        add_annotation: _Add,
        add_outlines: Callable[[int, Outlines], None],
    ) -> None:
        self.refs: list[dict[str, Any]] = []
        self._categories = categories  # phrase -> id, in the order in which truths are numbered
        self._add_image, self._add_annotation = add_image, add_annotation
        self._add_outlines = add_outlines
        self._image_numbers = count(1)

    def add(
        self,
        *,
        file_name: str,
        size: tuple[int, int],
        patient: str,
        split: str,
        truths: Mapping[str, Sequence[rle.RLE]],
        ignore: rle.RLE | None = None,
        spacing: tuple[float, float] | None = None,
        outlines: Mapping[str, Sequence[Outlines]] | None = None,
    ) -> dict[str, list[int]]:
        """Add an image and a ref for each of its truths; return the numbers of these refs by phrase.

        Args:
            file_name: of the image, below the tree's folder of images.
            size: (width, height) in pixels.
            patient: published name of the patient.
            split: of the image's refs.
            truths: by phrase, one mask per expression.
            ignore: pixels that no score looks at.
            spacing: millimetres per pixel, between rows and between columns.
            outlines: by phrase, the polygons of each truth, where all of them were drawn from polygons alone.
        """
        image_id, numbers = next(self._image_numbers), {}
        self._add_image(ImageEntry(image_id, file_name, *size, patient, ignore, spacing).as_json())
        for phrase, category_id in self._categories.items():
            first = len(self.refs) + 1
            for number, polygons in enumerate((outlines or {}).get(phrase, []), first):
                self._add_outlines(number, polygons)
            numbers[phrase] = [*range(first, first + len(truths.get(phrase, [])))]
            for number, truth in enumerate(truths.get(phrase, []), first):
                self._add_annotation(annotation_entry(number, image_id, category_id, truth))
                self.refs.append(
                    ref_entry(number, image_id, category_id, split=split, file_name=file_name, phrase=phrase)
                )
        return numbers


@contextmanager
def tree_writer(root: Path, phrases: Sequence[str]) -> Iterator[TreeWriter]:
    """A writer of `instances.json`, `refs(unc).p` and `outlines.npz`, to which images are added by ascending name.

    Identifiers count from 1 in the order of the images and, within an image, of `phrases`. The truths of one image
    at a time are in memory.
    """
    categories = {phrase: number for number, phrase in enumerate(phrases, start=1)}
    (root / INSTANCES).parent.mkdir(parents=True, exist_ok=True)
    with (
        _instances_file(root / INSTANCES, categories) as (add_image, add_annotation),
        outlines_file(root / OUTLINES) as add_outlines,
    ):
        writer = TreeWriter(categories, add_image, add_annotation, add_outlines)
        yield writer
    write_refs(root / REFS, writer.refs)


@contextmanager
def _instances_file(path: Path, categories: Mapping[str, int]) -> Iterator[tuple[_Add, _Add]]:
    """Functions that add an image and an annotation to the file at `path`."""
    listed = [category_entry(number, phrase) for phrase, number in categories.items()]
    with (
        path.open("w", encoding="utf-8") as stream,
        tempfile.TemporaryFile("w+", encoding="utf-8", dir=path.parent) as annotations,
    ):
        stream.write(f'{{"{IMAGES}": [')
        yield _items_of(stream), _items_of(annotations)
        stream.write(f'], "{ANNOTATIONS}": [')
        annotations.seek(0)
        shutil.copyfileobj(annotations, stream)
        stream.write(f'], "{CATEGORIES}": {json.dumps(listed, ensure_ascii=False)}}}\n')


def _items_of(stream: IO[str]) -> _Add:
    """A function that adds an item to a JSON list whose bracket is open."""
    separators = chain([""], repeat(", "))
    return lambda item: stream.write(next(separators) + json.dumps(item, ensure_ascii=False))
