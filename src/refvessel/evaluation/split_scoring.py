"""Predictions of a split against its truth: where the tree and the scores meet."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from refvessel.artifacts import WORDS
from refvessel.dataset.tree.expressions import read_tree
from refvessel.dataset.tree.layout import OUTLINES, description
from refvessel.dataset.tree.official_truths import official_count
from refvessel.dataset.tree.outlines import read_outlines
from refvessel.dataset.tree.split_blocks import SplitBlocks
from refvessel.dataset.tree.stated_facts import asks_for_regions, first_look, has_truth
from refvessel.errors import UserError
from refvessel.evaluation.coco_files import CocoFiles
from refvessel.evaluation.label_drawings import PolygonTruths, draw_again, draw_by_each_rasteriser
from refvessel.evaluation.parts import (
    MOST_AT_ONCE,
    Part,
    split_at_once,
    split_by_the_official_protocol,
    split_in_parts,
)
from refvessel.evaluation.scoring import score_parts
from refvessel.evaluation.word_check import WordCheck
from refvessel.files import write_json
from refvessel.metrics.official import OfficialReading
from refvessel.predictions.answered import answered_phrases
from refvessel.predictions.origin import origin_of
from refvessel.predictions.table import StoredPredictions, read_predictions
from refvessel.predictions.word_cases import word_cases
from refvessel.provenance import file_record
from refvessel.settings.scores_section import Protocol, Scores
from refvessel.settings.words_section import Words


def score_split(
    *,
    predictions: Path,
    dataset: Path,
    split: str,
    output: Path,
    settings: Scores,
    protocol: Protocol = Protocol.OWN,
    logits: Sequence[Path] = (),
    max_failures: int = 0,
    threads: int = 1,
    words: Words | None = None,
    words_answers: Sequence[Path] = (),
) -> dict[str, Any]:
    """Score the gathered predictions of a split and return the summary.

    Written are cases.parquet, summary.json, words.json, with logits thresholds.csv, and for COCO's own tools
    coco_results.json and coco_truth.json. Where truths were drawn from polygons, those of a sample of images are
    drawn by other rasterisers and scored again.

    Args:
        predictions: Parquet table of `gather_predictions`.
        dataset: official RefCOCO tree.
        split: a split of the tree.
        output: folder of these files.
        settings: how predictions are scored.
        protocol: whose reading of the tree is scored. By the official one every pixel counts, overlapping parts
            of an annotation are added up, and splits are selected by a letter; predictions of other splits are
            then passed over. The summary's `official` has both readings' cIoU and gIoU, whichever is scored.
        logits: of all shards of the predictions, for the scores of probabilities.
        max_failures: more failed expressions than that are a finding.
        threads: processes that share the work.
        words: what was asked besides, to find out whether the model reads the words; None: nothing.
        words_answers: all shards of the answers to that.

    Raises:
        UserError: unless the predictions are exactly those of the split's expressions (of the phrases that are
            answered, where an imported model answers some only), the logits those of the
            predictions, and the polygons those of the truths.
    """
    if not has_truth(dataset):
        raise UserError(f"{dataset} has no truth, so nothing on it can be scored; look at its masks.")
    stored = StoredPredictions(predictions)
    made_from = stored.provenance["made_from"]
    tree = read_tree(dataset)
    answered = answered_phrases(made_from or {})
    outlines = Path(dataset) / OUTLINES
    polygons = PolygonTruths(read_outlines(outlines) if protocol == Protocol.OWN else {})
    if protocol == Protocol.OFFICIAL:
        read = split_by_the_official_protocol(tree, split, read_predictions(predictions)[0], answered)
    elif logits or len(stored.sent_ids) <= MOST_AT_ONCE or not stored.sorted:
        read = split_at_once(tree, split, read_predictions(predictions)[0], answered)
    else:
        images = 0 if words is None else words.images or math.inf
        read = split_in_parts(
            SplitBlocks.of(tree, split, answered),
            stored,
            polygons.outlines.keys(),
            settings.ceiling_sample,
            images,
        )
    redrawn, drawn_again = None, None
    if protocol == Protocol.OWN:
        redrawn = draw_by_each_rasteriser(read.sample, polygons, outlines)
        drawn_again = draw_again(
            read.sample, polygons, sample=settings.ceiling_sample, annotator_pixel=settings.annotator_pixel
        )
    cases = [] if words is None else word_cases(read.sample, words, read.phrases)
    checked = WordCheck(settings, words=words, cases=cases, answers=words_answers)
    coco = CocoFiles(tree.category_names())
    provenance = {
        "predictions": stored.provenance,
        "dataset": file_record(description(dataset)),
        "split": split,
        **({"outlines": file_record(outlines)} if outlines.is_file() else {}),
    }
    summary = score_parts(
        parts=_watched(read.parts, checked, coco),
        unit=read.unit,
        own=read.overlaps,
        output=output,
        logits=logits,
        redrawn=redrawn,
        drawn_again=drawn_again,
        official=OfficialReading(split, official_count(tree.refs, split, answered)),
        settings=settings,
        looked_at=first_look(dataset, split),
        origin=origin_of(made_from),
        of_regions=asks_for_regions(dataset),
        max_failures=max_failures,
        threads=threads,
        provenance=provenance,
    )
    write_json(Path(output) / WORDS, {**checked.result(), "predictions": file_record(predictions)})
    coco.write(Path(output))
    return summary


def _watched(parts: Iterable[Part], words: WordCheck, coco: CocoFiles) -> Iterator[Part]:
    """The parts, at each of which the two others look as well."""
    for part in parts:
        words.add(part.own)
        coco.add(part.predictions, part.truth, part.coco_ids)
        yield part
