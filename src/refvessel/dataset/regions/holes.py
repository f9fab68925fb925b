"""Shapes with holes cut out of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from refvessel import rle
from refvessel.dataset.regions.shapes import Drawn, Page, Region, Shape


@dataclass(eq=False)
class Holes:
    """Regions that are cut out of others, in the order of their file; drawn once per page."""

    regions: Sequence[Region]
    _drawn: dict[Page, list[Drawn]] = field(default_factory=dict)

    def draw(self, page: Page, first: int) -> Drawn:
        """The union of those from number `first`, from 0; UserError, naming a hole, where one does not fit."""
        key = Page(page.size, page.stated_size, "")
        if key not in self._drawn:
            parts = [region.draw(page.size, page.stated_size) for region in reversed(self.regions)]
            self._drawn[key] = list(accumulate(parts, _both))[::-1]
        return self._drawn[key][first]


@dataclass(frozen=True)
class Cut:
    """A shape less the holes from number `first` on."""

    shape: Shape
    holes: Holes
    first: int

    def draw(self, page: Page) -> Drawn:
        """The shape's mask without the pixels of the holes."""
        whole, cut = self.shape.draw(page), self.holes.draw(page, self.first)
        left = rle.decode(whole.mask) & (rle.decode(cut.mask) == 0)
        return Drawn(rle.encode(left), whole.clipped, whole.crosses_itself or cut.crosses_itself)

    def outlines(self, page: Page) -> list[np.ndarray]:  # noqa: ARG002 (the signature of Shape)
        """None: outlines enclose, and cannot leave out."""
        return []


def _both(one: Drawn, other: Drawn) -> Drawn:
    return Drawn(rle.union([one.mask, other.mask]), crosses_itself=one.crosses_itself or other.crosses_itself)
