"""A split in blocks of whole images, so that the truths of few expressions are in memory at once."""

import hashlib
from array import array
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from refvessel.dataset.problems import Problems
from refvessel.dataset.tree.expressions import Expression, Tree
from refvessel.dataset.tree.layout import INSTANCES, REFS
from refvessel.errors import UserError


@dataclass(frozen=True)
class SplitBlocks:
    """The expressions of a split, of which numbers alone are in memory; rows are ordered by sent_id.

    tree: that they are from.
    sent_ids, refs, images: int64 (expressions,); refs are positions in the tree, images places in `image_ids`.
    ref_ids: int64 (expressions,).
    image_ids: of the images.
    phrases: all that are asked.
    answered: the phrases that are looked at; None: all.
    spaced: whether the spacing of every image is known.
    """

    tree: Tree
    sent_ids: np.ndarray
    refs: np.ndarray
    images: np.ndarray
    ref_ids: np.ndarray
    image_ids: list[str]
    phrases: frozenset[str]
    answered: Collection[str] | None
    spaced: bool

    @classmethod
    def of(cls, tree: Tree, split: str, answered: Collection[str] | None = None) -> "SplitBlocks":
        """Those of `Tree.expressions`; raises UserError as it does, but for damaged truths.

        Args:
            tree: that they are from.
            split: a split of the tree.
            answered: the phrases that are looked at; None: all.
        """
        problems = Problems()
        sent_ids, refs, images, ref_ids = (array("q") for _ in range(4))
        places: dict[str, int] = {}
        paths: list[str] = []
        phrases: set[str] = set()
        spaced = True
        for number in tree.refs_of(split):
            with problems.collect():
                for each in tree.sentences_at(number):
                    place = places.setdefault(each.image_id, len(places))
                    if place == len(paths):
                        paths.append(str(each.image_path))
                        spaced &= tree.spacing_at(number) is not None
                    if paths[place] != str(each.image_path):
                        raise UserError(
                            f"{tree.root / INSTANCES} has two images called {each.image_id!r}; rename one."
                        )
                    if answered is None or each.phrase in answered:
                        phrases.add(each.phrase)
                        for column, value in (
                            (sent_ids, each.sent_id),
                            (refs, number),
                            (images, place),
                            (ref_ids, each.ref_id),
                        ):
                            column.append(value)
        columns = [np.array(column, np.int64) for column in (sent_ids, refs, images, ref_ids)]
        order = columns[0].argsort(kind="stable")
        sorted_ids, sorted_refs, sorted_images, sorted_ref_ids = (column[order] for column in columns)
        twice = sorted_ids[1:][sorted_ids[1:] == sorted_ids[:-1]]
        if len(twice):
            problems.add(f"{tree.root / REFS} has the sent_id {twice[0]} twice; number the sentences anew.")
        problems.raise_any()
        return cls(
            tree,
            sorted_ids,
            sorted_refs,
            sorted_images,
            sorted_ref_ids,
            list(places),
            frozenset(phrases),
            answered,
            spaced,
        )

    def __len__(self) -> int:
        return len(self.sent_ids)

    def rows(self, most: int) -> Iterator[slice]:
        """Rows that follow each other, at most `most` of them but where the expressions of images interleave."""
        if not len(self):
            return
        last_of_image = np.zeros(len(self.image_ids), np.int64)
        last_of_image[self.images] = np.arange(len(self))  # the last assignment of an index stays
        furthest = np.maximum.accumulate(last_of_image[self.images])
        (ends,) = (furthest == np.arange(len(self))).nonzero()  # behind these no image goes on
        ends += 1
        begin = 0
        while begin < len(self):
            fitting = ends[(ends > begin) & (ends <= begin + most)]
            end = int(fitting[-1]) if len(fitting) else int(ends[ends > begin][0])
            yield slice(begin, end)
            begin = end

    def expressions(self, rows: slice | np.ndarray) -> list[Expression]:
        """Those in these rows, of whole refs; raises UserError where a truth is damaged."""
        found = self.tree.expressions_at(np.unique(self.refs[rows]).tolist())
        return [each for each in found if self.answered is None or each.phrase in self.answered]

    def by_hash(self) -> Iterator[list[Expression]]:
        """The expressions of each image, images in the order of the SHA-256 of their ids, as samples are drawn."""
        by_image = self.images.argsort(kind="stable")
        bounds = self.images[by_image].searchsorted(np.arange(len(self.image_ids) + 1))
        for place in _by_hash(self.image_ids):
            if len(rows := by_image[bounds[place] : bounds[place + 1]]):
                yield self.expressions(rows)


def _by_hash(names: list[str]) -> Iterable[int]:
    return sorted(range(len(names)), key=lambda place: hashlib.sha256(names[place].encode()).digest())
