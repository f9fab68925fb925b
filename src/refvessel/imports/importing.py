"""The predictions of any model or annotator as the table that gathering writes, every expression exactly once."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from refvessel.answer_status import Status
from refvessel.dataset.tree.expressions import Sentence, read_tree
from refvessel.imports.image_names import originals_of
from refvessel.imports.source import Answer, Reader, Source
from refvessel.imports.wanted import Wanted, wanted_of
from refvessel.predictions.answered import ANSWERS, IMPORTED
from refvessel.predictions.identity import dataset_identity
from refvessel.predictions.prediction import Prediction
from refvessel.predictions.table import write_predictions
from refvessel.privacy.name_tables import read_name_table
from refvessel.provenance import file_record
from refvessel.rle import empty
from refvessel.settings.import_section import ImportFormat
from refvessel.settings.model_section import Model

_MODULES: dict[ImportFormat, str] = {
    "coco": "coco_detections",
    "labelme": "second_annotator",
    "masks": "mask_folder",
    "nnunet": "nnunet_folder",
    "predictions": "own_table",
    "results": "sequence_results",
}


def import_predictions(
    *, dataset: Path, split: str, settings: Model, output: Path, names: Path | None = None
) -> dict[str, Any]:
    """Write the masks of another model as the predictions of a split, by sent_id; return what is said of it.

    Args:
        dataset: official RefCOCO tree.
        split: of it.
        settings: where the predictions lie and how they are read.
        output: Parquet table to write; its metadata says under `imported` what it was made from, with the SHA-256
            of every file, which is called by its image: its own name may say who is on it.
        names: table of the original names behind the tree's pseudonyms, by which files may be called, too.

    Raises:
        UserError: that tells all masks at once that are missing, there twice, of no image, of another size than
            their image's, or unclear.
    """
    originals = {} if names is None else originals_of(read_name_table(names))
    options = settings.options.given()
    wanted = wanted_of(read_tree(dataset), split, originals, options.get("answers"))
    source = Source(Path(settings.predictions or ""), settings, wanted, originals)
    given = _by_sentence(source)
    if "missing" not in options:
        _tell_missing(source, given)
    source.problems.raise_any()
    records = [_record(each, given.get(each.sent_id)) for each in wanted.sentences]
    imported = _provenance(source, n_missing=len(records) - len(given))
    made_from: dict[str, Any] = {
        "run": None,
        "dataset": dataset_identity(dataset),
        "shards": [],
        "answers_as_expected": 0,
        IMPORTED: imported,
    }
    write_predictions(output, records, made_from)
    return {**imported, "expressions": len(records)}


def _by_sentence(source: Source) -> dict[int, Answer]:
    """sent_id -> what answers it; masks of what the split does not ask are passed over."""
    given: dict[int, Answer] = {}
    for answer in _reader(source.settings)(source):
        for sentence in _asked(source.wanted, answer):
            first = given.setdefault(sentence.sent_id, answer)
            if first is not answer:
                source.problems.add(
                    f"{first.where} and {answer.where} both are of {answer.phrase!r:.200} in "
                    f"{source.wanted.names.told(answer.image_id)}; leave one."
                )
    return given


def _reader(settings: Model) -> Reader:
    assert settings.format is not None
    module = import_module(f"refvessel.imports.{_MODULES[settings.format]}")
    return cast(Reader, module.read)


def _asked(wanted: Wanted, answer: Answer) -> Sequence[Sentence]:
    asked = wanted.asked.get((answer.image_id, answer.phrase), ())
    if answer.sent_id is None:
        return asked
    return [each for each in asked if each.sent_id == answer.sent_id]


def _tell_missing(source: Source, given: Mapping[int, Answer]) -> None:
    for each in source.wanted.sentences:
        if each.sent_id not in given and each.image_id not in source.at_fault:
            source.problems.add(
                f"{source.wanted.names.told(each.image_id)} has no mask of {each.phrase!r:.200}; add it, or set "
                "the option missing to empty."
            )


def _record(sentence: Sentence, answer: Answer | None) -> Prediction:
    if answer is not None and answer.record is not None:
        return replace(
            answer.record,
            image_id=sentence.image_id,
            ref_id=sentence.ref_id,
            sent_id=sentence.sent_id,
            phrase=sentence.phrase,
            identity="",
        )
    mask = empty(sentence.height, sentence.width) if answer is None else answer.mask
    masks = [] if answer is None else [mask]
    return Prediction(
        image_id=sentence.image_id,
        ref_id=sentence.ref_id,
        sent_id=sentence.sent_id,
        phrase=sentence.phrase,
        prompt="",
        answer="",
        num_seg=len(masks),
        status=Status.OK if masks else Status.NO_SEG,
        error=None,
        mask=mask,
        masks=masks,
        score=None if answer is None else answer.score,
        seconds=0.0,
    )


def _provenance(source: Source, *, n_missing: int) -> dict[str, Any]:
    """How the predictions were read, and each file without its name."""
    files = []
    for path, image_id in source.files.items():
        record = file_record(path)
        files.append({"image_id": image_id, "bytes": record["bytes"], "sha256": record["sha256"]})
    files.sort(key=lambda each: (each["image_id"] or "", each["sha256"]))
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return {
        "format": source.settings.format,
        "identity": digest,
        **({ANSWERS: sorted(answers)} if (answers := source.settings.options.given().get("answers")) else {}),
        "missing_taken_as_empty": n_missing,
        "images_scaled": source.scaled,
        "files": files,
    }
