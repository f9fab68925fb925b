"""Where the patches of a batch of images stand, so that those that attend to each other follow each other.

Patches come image by image, and within an image in units of 2x2 that become one token. Attention reaches over a
window, or over an image. Windows of a size stand beside each other, whichever images they are of: what attends
within them does so in one go, and no patch is padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from refvessel.model.image_tokens import Grid
from refvessel.model.transfer import to_device

_GRIDS_KEPT = 1024
_BATCHES_KEPT = 32


@dataclass(frozen=True)
class Segments:
    """Stretches of patches that attend to each other.

    sizes: patches of a segment, and the number of such segments, one after the other.
    order: int64 (patches,), the patch that each of these segments' patches is; None where they stand so already.
    back: int64 (patches,), the inverse.
    """

    sizes: tuple[tuple[int, int], ...]
    order: torch.Tensor | None = None
    back: torch.Tensor | None = None


@dataclass(frozen=True)
class PatchPlan:
    """How the patches of a batch are arranged.

    units: int64 (units,), the unit that stands in each place; `back` is the inverse; None where none is moved.
    positions: int64 (patches, 2), row and column of each patch in its image, in the places where they stand.
    windows: the segments of attention within windows.
    images: those of attention within whole images.
    """

    units: torch.Tensor | None
    back: torch.Tensor | None
    positions: torch.Tensor
    windows: Segments
    images: Segments

    def on(self, device: torch.device) -> "PatchPlan":
        """The same on a device."""

        def moved(tensor: torch.Tensor | None) -> torch.Tensor | None:
            return None if tensor is None else to_device(tensor, device)

        images = Segments(self.images.sizes, moved(self.images.order), moved(self.images.back))
        positions = to_device(self.positions, device)
        return PatchPlan(moved(self.units), moved(self.back), positions, self.windows, images)


@lru_cache(_BATCHES_KEPT)
def plan_patches(grids: Sequence[Grid], merge: int, window: int | None) -> PatchPlan:
    """The plan of a batch.

    Args:
        grids: rows and columns of units of each image.
        merge: rows, and columns, of a unit in patches.
        window: rows, and columns, of a window in units; None: attention is over whole images only.
    """
    unit = merge * merge
    counts = [rows * columns for rows, columns in grids]
    starts = np.cumsum([0, *counts[:-1]])
    of_units = np.concatenate([_positions(grid, merge) for grid in grids])  # (units, unit, 2)
    whole = [np.arange(start, start + count)[None] for start, count in zip(starts, counts, strict=True)]
    by_image, image_sizes = _by_size(whole)
    if window is None:
        places, sizes = by_image, image_sizes
    else:
        cut = [
            part + start for grid, start in zip(grids, starts, strict=True) for part in _windows(grid, window)
        ]
        places, sizes = _by_size(cut)
    back = np.argsort(places)  # unit -> place
    order = None if places is by_image else _patches(back[by_image], unit)
    moved = not np.array_equal(places, np.arange(len(places)))
    return PatchPlan(
        units=torch.from_numpy(places) if moved else None,
        back=torch.from_numpy(back) if moved else None,
        positions=torch.from_numpy(of_units[places].reshape(-1, 2)),
        windows=Segments(_in_patches(sizes, unit)),
        images=Segments(
            _in_patches(image_sizes, unit),
            None if order is None else torch.from_numpy(order),
            None if order is None else torch.from_numpy(np.argsort(order)),
        ),
    )


def _by_size(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Units of segments, the largest first, and the size and number of these; each part is (segments, units)."""
    found = []
    sizes = []
    for size in sorted({part.shape[1] for part in parts}, reverse=True):
        alike = [part for part in parts if part.shape[1] == size]
        found += [part.reshape(-1) for part in alike]
        sizes.append((size, sum(map(len, alike))))
    return np.concatenate(found), sizes


def _in_patches(sizes: Sequence[tuple[int, int]], unit: int) -> tuple[tuple[int, int], ...]:
    return tuple((size * unit, count) for size, count in sizes)


def _patches(units: np.ndarray, unit: int) -> np.ndarray:
    """The patches of units, one after the other."""
    return (units[:, None] * unit + np.arange(unit)).reshape(-1)


@lru_cache(_GRIDS_KEPT)
def _windows(grid: Grid, side: int) -> list[np.ndarray]:
    """Units of an image in windows, smaller at its edges: of each size (windows, units)."""
    rows, columns = grid
    units = np.arange(rows * columns).reshape(rows, columns)
    cut: dict[int, list[np.ndarray]] = {}
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            inside = units[top : top + side, left : left + side].reshape(-1)
            cut.setdefault(len(inside), []).append(inside)
    return [np.stack(alike) for alike in cut.values()]


@lru_cache(_GRIDS_KEPT)
def _positions(grid: Grid, merge: int) -> np.ndarray:
    """Row and column of each patch, unit by unit: int64 (units, patches of a unit, 2)."""
    rows, columns = (merge * count for count in grid)
    of_patches = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1)
    blocks = of_patches.reshape(grid[0], merge, grid[1], merge, 2).transpose(0, 2, 1, 3, 4)
    return blocks.reshape(-1, merge * merge, 2)
