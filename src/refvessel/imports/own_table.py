"""A predictions.parquet of another run, perhaps on another conversion of the same images."""

from collections.abc import Iterator

from refvessel.artifacts import PREDICTIONS
from refvessel.errors import UserError
from refvessel.imports.source import Answer, Source
from refvessel.predictions.table import read_records
from refvessel.rle import is_rle


def read(source: Source) -> Iterator[Answer]:
    """Its records, whatever their numbers were."""
    path = source.the_file(PREDICTIONS)
    source.files[path] = None
    records, _ = read_records(path)
    asked = {each.sent_id: each for each in source.wanted.sentences}
    for record in records:
        where = f"{path}: sent_id {record.sent_id}"
        with source.problems.collect():
            image_id = source.wanted.image_called(record.image_id, where)
            if image_id not in source.wanted.sizes:
                continue
            with source.about(image_id):
                if not all(map(is_rle, [record.mask, *record.masks])):
                    raise UserError(f"{where}: a mask is not an RLE; gather it again.")
                height, width = record.mask["size"]
                source.require_size((width, height), image_id, where)
                phrase = source.phrases.of(record.phrase, where)
                if phrase is None:
                    continue
                same = asked.get(record.sent_id)
                alike = same is not None and (same.image_id, same.phrase) == (image_id, phrase)
                number = record.sent_id if alike else None
                yield Answer(image_id, phrase, record.mask, where, record.score, number, record)
