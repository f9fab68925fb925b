"""Predictions of a split against its truth: where the tree and the scores meet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel.artifacts import COCO_RESULTS, COCO_TRUTH, WORDS
from refvessel.dataset.tree.expressions import Expression, Tree, read_tree
from refvessel.dataset.tree.layout import IMAGES, OUTLINES, description
from refvessel.dataset.tree.official_truths import official_count, official_splits, official_truths
from refvessel.dataset.tree.outlines import read_outlines
from refvessel.dataset.tree.stated_facts import asks_for_regions, first_look, has_truth
from refvessel.errors import UserError
from refvessel.evaluation.coco_results import coco_results, coco_truth
from refvessel.evaluation.label_drawings import PolygonTruths, draw_again, draw_by_each_rasteriser
from refvessel.evaluation.pairing import truth_table
from refvessel.evaluation.scoring import score
from refvessel.evaluation.word_check import check_words
from refvessel.files import write_json
from refvessel.metrics.official import OfficialReading
from refvessel.predictions.answered import answered_phrases, only_answered
from refvessel.predictions.origin import origin_of
from refvessel.predictions.table import read_predictions
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
        of an
            annotation are added up, and splits are selected by a letter; predictions of other splits are then
            passed over. The summary's `official` has both readings' cIoU and gIoU, whichever is scored.
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
    table, made_from = read_predictions(predictions)
    tree = read_tree(dataset)
    answered = answered_phrases(made_from["made_from"] or {})
    own = only_answered(tree.expressions(split), answered)
    expressions = (
        own if protocol == Protocol.OWN else only_answered(_official_expressions(tree, split), answered)
    )
    reading = OfficialReading(
        split=split,
        n_expressions=official_count(tree.refs, split, answered),
        truths=official_truths(expressions, tree.refs, tree.annotations),
    )
    truth = _truth(expressions, dataset)
    if protocol == Protocol.OFFICIAL:
        masks = [reading.truths.get(*pair) for pair in zip(truth["sent_id"], truth["mask"], strict=True)]
        truth = truth.assign(mask=masks, ignore_mask=None)
        table = table[table["sent_id"].isin(truth["sent_id"])]
    provenance = {"predictions": made_from, "dataset": file_record(description(dataset)), "split": split}
    if (outlines := Path(dataset) / OUTLINES).is_file():
        provenance["outlines"] = file_record(outlines)
    ids, categories = tree.coco_ids(), tree.category_names()
    redrawn, drawn_again = None, None
    if protocol == Protocol.OWN:
        polygons = PolygonTruths(read_outlines(outlines))
        redrawn = draw_by_each_rasteriser(own, polygons, outlines)
        drawn_again = draw_again(
            own, polygons, sample=settings.ceiling_sample, annotator_pixel=settings.annotator_pixel
        )
    checked = check_words(table, expressions, settings, words=words, answers=words_answers)
    summary = score(
        predictions=table,
        truth=truth,
        own_truth=None if protocol == Protocol.OWN else _truth(own, dataset),
        output=output,
        logits=logits,
        redrawn=redrawn,
        drawn_again=drawn_again,
        official=reading,
        settings=settings,
        looked_at=first_look(dataset, split),
        origin=origin_of(made_from["made_from"]),
        of_regions=asks_for_regions(dataset),
        max_failures=max_failures,
        threads=threads,
        provenance=provenance,
    )
    write_json(Path(output) / WORDS, {**checked, "predictions": file_record(predictions)})
    write_json(Path(output) / COCO_RESULTS, coco_results(table, ids))
    write_json(Path(output) / COCO_TRUTH, coco_truth(truth, ids, categories))
    return summary


def _truth(expressions: Sequence[Expression], dataset: Path) -> pd.DataFrame:
    """The truths of expressions, with the files of their images."""
    images = Path(dataset) / IMAGES
    return truth_table(expressions).assign(
        file_name=[each.image_path.relative_to(images).as_posix() for each in expressions]
    )


def _official_expressions(tree: Tree, split: str) -> list[Expression]:
    """Those that the official loader takes for a split; raises UserError where it takes none."""
    names = tree.split_names()
    if not (selected := official_splits(split, names)):
        raise UserError(
            f"The official evaluator takes no expression of {tree.root} for the split {split!r}; its splits are "
            f"{', '.join(sorted(names))}."
        )
    return tree.expressions_of(selected)
