"""The predictions and truths of a split, in parts of which one at a time is in memory."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from refvessel.dataset.regions.rasterisers import SAMPLE
from refvessel.dataset.tree.expressions import Expression, Tree
from refvessel.dataset.tree.layout import IMAGES
from refvessel.dataset.tree.official_truths import official_splits, official_truths
from refvessel.dataset.tree.split_blocks import SplitBlocks
from refvessel.errors import UserError
from refvessel.evaluation.pairing import pair_expressions, require_same_expressions, truth_table
from refvessel.metrics.official import Overlaps
from refvessel.predictions.answered import only_answered
from refvessel.predictions.table import StoredPredictions
from refvessel.rle import RLE, area

MOST_AT_ONCE = 8192  # expressions, with some 200 MB of their masks and what is made of these


class Part(NamedTuple):
    """Some expressions of a split, among them all of an image.

    predictions: a table as `read_predictions` gives.
    truth: as `score` takes it.
    paired: what `pair_expressions` gives of both.
    official: the truths of the official loader, as of an `OfficialReading`.
    coco_ids: as of `coco_truth`, where they are known.
    own: `paired` with the tree's own truths.
    """

    predictions: pd.DataFrame
    truth: pd.DataFrame
    paired: pd.DataFrame
    official: Mapping[int, RLE]
    coco_ids: Mapping[int, tuple[int, int]]
    own: pd.DataFrame

    @classmethod
    def of(
        cls,
        predictions: pd.DataFrame,
        truth: pd.DataFrame,
        official: Mapping[int, RLE],
        coco_ids: Mapping[int, tuple[int, int]] | None = None,
    ) -> "Part":
        """A part of two tables; raises UserError as `pair_expressions` does."""
        paired = pair_expressions(predictions, truth)
        return cls(predictions, truth, paired, official, coco_ids or {}, paired)


class SplitParts(NamedTuple):
    """A split, to be read once.

    sample: expressions of the first images by the SHA-256 of their ids: as many as samples are drawn from.
    phrases: of all expressions.
    unit: of distances: `mm` where the spacing of every image is known, else `px`.
    overlaps: where the truths are the official loader's, the overlaps with ours.
    """

    parts: Iterable[Part]
    sample: Sequence[Expression]
    phrases: Collection[str]
    unit: str
    overlaps: Overlaps | None = None


def split_at_once(
    tree: Tree, split: str, predictions: pd.DataFrame, answered: Collection[str] | None
) -> SplitParts:
    """A split in one part; raises UserError as `Tree.expressions` and `pair_expressions` do.

    Args:
        tree: of the truths.
        split: of the tree.
        predictions: as `read_predictions` gives them.
        answered: the phrases that are looked at; None: all.
    """
    expressions = only_answered(tree.expressions(split), answered)
    official = official_truths(expressions, tree.refs, tree.annotations)
    truth = truth_with_files(expressions, tree.root)
    part = Part.of(predictions, truth, official, tree.coco_ids())
    return SplitParts([part], expressions, {each.phrase for each in expressions}, _unit(truth))


def split_by_the_official_protocol(
    tree: Tree, split: str, predictions: pd.DataFrame, answered: Collection[str] | None
) -> SplitParts:
    """A split as the official loader takes it, in one part; arguments and errors are those of `split_at_once`.

    Predictions of other splits are passed over.
    """
    expressions = only_answered(_official_expressions(tree, split), answered)
    official = official_truths(expressions, tree.refs, tree.annotations)
    own_truth = truth_with_files(expressions, tree.root)
    masks = [official.get(*pair) for pair in zip(own_truth["sent_id"], own_truth["mask"], strict=True)]
    truth = own_truth.assign(mask=masks, ignore_mask=None)
    predictions = predictions[predictions["sent_id"].isin(truth["sent_id"])]
    part = Part.of(predictions, truth, official, tree.coco_ids())
    part = part._replace(own=pair_expressions(predictions, own_truth))
    ours = truth_table(only_answered(tree.expressions(split), answered))
    of_ours = predictions[predictions["sent_id"].isin(ours["sent_id"])]
    overlaps = Overlaps.of(pair_expressions(of_ours, ours), official)
    return SplitParts([part], expressions, {each.phrase for each in expressions}, _unit(truth), overlaps)


def _official_expressions(tree: Tree, split: str) -> list[Expression]:
    """Those that the official loader takes for a split; raises UserError where it takes none."""
    names = tree.split_names()
    if not (selected := official_splits(split, names)):
        raise UserError(
            f"The official evaluator takes no expression of {tree.root} for the split {split!r}; its splits are "
            f"{', '.join(sorted(names))}."
        )
    return tree.expressions_of(selected)


def _unit(truth: pd.DataFrame) -> str:
    return "mm" if truth["spacing"].notna().all() else "px"


def split_in_parts(
    blocks: SplitBlocks, stored: StoredPredictions, polygons: Collection[int], drawn: int, images: float
) -> SplitParts:
    """A split in parts of some MOST_AT_ONCE expressions; raises UserError as `split_at_once` does.

    Args:
        blocks: of the split.
        stored: its predictions.
        polygons: ref_ids of the truths that were drawn from polygons.
        drawn: so many expressions with foreground are in the sample, if there are,
        images: and so many images, or all where infinite.
    """
    require_same_expressions(blocks.sent_ids, stored.sent_ids)
    sample = _sample(blocks, polygons, drawn, images)
    return SplitParts(_parts(blocks, stored), sample, blocks.phrases, "mm" if blocks.spaced else "px")


def _parts(blocks: SplitBlocks, stored: StoredPredictions) -> Iterator[Part]:
    tree, rows = blocks.tree, list(blocks.rows(MOST_AT_ONCE))
    for here, predictions in zip(rows, stored.frames(rows), strict=True):
        expressions, refs = blocks.expressions(here), set(blocks.refs[here].tolist())
        official = official_truths(expressions, [tree.refs[place] for place in refs], tree.annotations)
        yield Part.of(predictions, truth_with_files(expressions, tree.root), official, tree.coco_ids(refs))


def _sample(blocks: SplitBlocks, polygons: Collection[int], drawn: int, images: float) -> list[Expression]:
    found: list[Expression] = []
    left: dict[str, float] = {"drawn": drawn, "images": images, "of polygons": SAMPLE if polygons else 0}
    for of_image in blocks.by_hash():
        if max(left.values()) <= 0:
            break
        found += of_image
        left["drawn"] -= sum(area(each.truth) > 0 for each in of_image)
        left["images"] -= 1
        left["of polygons"] -= any(each.ref_id in polygons for each in of_image)
    return sorted(found, key=lambda each: each.sent_id)


def truth_with_files(expressions: Sequence[Expression], dataset: Path) -> pd.DataFrame:
    """The truths of expressions, with the files of their images."""
    images = Path(dataset) / IMAGES
    return truth_table(expressions).assign(
        file_name=[each.image_path.relative_to(images).as_posix() for each in expressions]
    )
