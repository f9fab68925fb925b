"""The demo's second annotator: the outlines of the first, drawn again by a hand that is off by a pixel or so.

Each outline is moved by a smooth field over the image plane, as a hand drifts along a vessel, and not vertex by
vertex: an outline of a vessel two pixels wide would cross itself. The field is a sum of waves whose slopes add up
to less than one, so that no two points change their order, and what did not cross itself does not.
"""

from pathlib import Path
from typing import Any

import numpy as np

from refvessel.demo.anatomy import SIZE
from refvessel.demo.annotations import SEED
from refvessel.files import atomic_directory, read_json, write_json

_DRIFT = 1.0  # root mean square of the drift, pixels
_WAVES = 6
_WAVELENGTHS = (25.0, 80.0)  # pixels


def write_second_annotation(*, first: Path, output: Path, seed: int = SEED) -> None:
    """Write a second LabelMe file for each of a folder's, of the same name, all or nothing; images are not copied.

    Args:
        first: folder of `write_labelme_folder`.
        output: folder to write; replaced if it exists.
        seed: of the hand.
    """
    with atomic_directory(output) as folder:
        for number, path in enumerate(sorted(Path(first).glob("*.json"))):
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
            write_json(folder / path.name, drawn_again(read_json(path), rng))


def drawn_again(content: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """A LabelMe file with its outlines where a second hand draws them; what it says besides stays.

    Args:
        content: a file of `labelme_content`.
        rng: of the drift.
    """
    scale = content["imageWidth"] / SIZE
    field = _Drift(rng)
    shapes = []
    for shape in content["shapes"]:
        points = np.asarray(shape["points"]) / scale
        moved = (points + field.at(points)).clip(0, SIZE)
        shapes.append({**shape, "points": (moved * scale).round(3).tolist()})
    return {**content, "shapes": shapes}


class _Drift:
    """A smooth field of displacements over the image plane."""

    def __init__(self, rng: np.random.Generator) -> None:
        along, across = rng.uniform(0, 2 * np.pi, size=(2, _WAVES))
        lengths = rng.uniform(*_WAVELENGTHS, size=_WAVES)
        self._waves = 2 * np.pi / lengths * np.stack([np.cos(along), np.sin(along)])  # (2, waves)
        self._ways = np.stack([np.cos(across), np.sin(across)], axis=1)  # (waves, 2), unit vectors
        self._phases = rng.uniform(0, 2 * np.pi, size=_WAVES)

    def at(self, points: np.ndarray) -> np.ndarray:
        """The displacement of points (x, y) in pixels, both float64 of shape (n, 2)."""
        height = _DRIFT * np.sqrt(2 / _WAVES)  # a sine's mean square is 1/2
        displacement: np.ndarray = height * np.sin(points @ self._waves + self._phases) @ self._ways
        return displacement
