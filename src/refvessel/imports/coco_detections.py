"""COCO results: a JSON list of masks by the numbers of image and category, or a whole COCO data set."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refvessel import rle
from refvessel.artifacts import COCO_RESULTS
from refvessel.dataset.fields import of_kind, require, shown
from refvessel.dataset.regions.segmentation import read_segmentation
from refvessel.dataset.tree import entries
from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.imports.source import Answer, Source


@dataclass(frozen=True)
class _Numbers:
    """What the numbers in results mean: names of images, and of categories."""

    images: Mapping[int, str]
    categories: Mapping[int, str]


def read(source: Source) -> Iterator[Answer]:
    """One answer per image and category: the union of its results."""
    path = source.the_file(COCO_RESULTS)
    source.files[path] = None
    content = read_json(path)
    if isinstance(content, dict):
        numbers, results = _numbers_of(content, path), require(content, entries.ANNOTATIONS, list, str(path))
    else:
        numbers, results = _stated_numbers(source), of_kind(content, list, f"{path}: its content")
    least = source.settings.options.least_score
    found: dict[tuple[str, str], list[tuple[rle.RLE, float | None]]] = {}
    for number, result in enumerate(results):
        where = f"{path}: result {number}"
        with source.problems.collect():
            image_id = _image_of(source, result, numbers, where)
            score = _score(result, where)
            if image_id not in source.wanted.sizes or (
                least is not None and (score is None or score < least)
            ):
                continue
            with source.about(image_id):
                phrase = source.phrases.of(_category(source, result, numbers, where), where)
                width, height = source.wanted.sizes[image_id]
                mask = read_segmentation(result.get("segmentation"), height, width, where)
                if phrase is not None:
                    found.setdefault((image_id, phrase), []).append((mask, score))
    for (image_id, phrase), masks in found.items():
        scores = [score for _, score in masks if score is not None]
        mean = sum(scores) / len(scores) if scores else None
        yield Answer(image_id, phrase, rle.union([mask for mask, _ in masks]), str(path), mean)


def _stated_numbers(source: Source) -> _Numbers:
    """The numbers of the file that the options name, else of the tree."""
    path = source.settings.options.annotations if "annotations" in source.settings.options.given() else None
    if path is None:
        return _Numbers(source.wanted.images, source.wanted.tree.category_names())
    source.files[path] = None
    return _numbers_of(read_json(path), path)


def _numbers_of(content: Any, path: Path) -> _Numbers:
    where = str(path)
    images = entries.entries_by_id(content, entries.IMAGES, where)
    names = {number: entries.file_name_of(entry, where) for number, entry in images.items()}
    return _Numbers(names, entries.category_names(content, where))


def _image_of(source: Source, result: Any, numbers: _Numbers, where: str) -> str:
    named = result.get("image_id") if isinstance(result, Mapping) else None
    if isinstance(named, str):
        return source.wanted.image_called(named, where)
    number = require(result, "image_id", int, where)
    if number not in numbers.images:
        raise UserError(
            f"{where}: no image has the id {number}; name the file of its ids in the option annotations."
        )
    return source.wanted.image_called(numbers.images[number], where)


def _category(source: Source, result: Mapping[str, Any], numbers: _Numbers, where: str) -> str:
    """The category's number where phrases are stated by numbers, else its name."""
    number = require(result, "category_id", int, where)
    if source.phrases.by_value is not None:
        return str(number)
    if number not in numbers.categories:
        raise UserError(
            f"{where}: no category has the id {number}; name the file of its ids in the option annotations."
        )
    return numbers.categories[number]


def _score(result: Any, where: str) -> float | None:
    score = result.get("score") if isinstance(result, Mapping) else None
    if score is not None and type(score) not in (int, float):
        raise UserError(f"{where}: its score is {shown(score)}; give a number.")
    return None if score is None else float(score)
