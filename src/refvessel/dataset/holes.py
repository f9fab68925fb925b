"""Shapes with holes cut out of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from refvessel import masks
from refvessel.dataset.shapes import Drawn, Page, Region, Shape


@dataclass(eq=False)
class Holes:
    """What is cut out of some shapes: the regions of one page, drawn once."""

    regions: Sequence[Region]
    _drawn: dict[Page, Drawn] = field(default_factory=dict)

    def draw(self, page: Page) -> Drawn:
        """Their union; raises UserError, naming a hole, where one does not fit the page."""
        key = Page(page.size, page.stated_size, "")
        if key not in self._drawn:
            parts = [region.draw(page.size, page.stated_size) for region in self.regions]
            union = masks.union([part.mask for part in parts])
            self._drawn[key] = Drawn(union, crosses_itself=any(part.crosses_itself for part in parts))
        return self._drawn[key]


@dataclass(frozen=True)
class Cut:
    """A shape less its holes."""

    shape: Shape
    holes: Holes

    def draw(self, page: Page) -> Drawn:
        """The shape's mask without the pixels of the holes."""
        whole, cut = self.shape.draw(page), self.holes.draw(page)
        left = masks.decode(whole.mask) & (masks.decode(cut.mask) == 0)
        return Drawn(masks.encode(left), whole.clipped, whole.crosses_itself or cut.crosses_itself)

    def outlines(self, page: Page) -> list[np.ndarray]:  # noqa: ARG002 (the signature of Shape)
        """None: outlines enclose, and cannot leave out."""
        return []
