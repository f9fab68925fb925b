"""Synthetic coronary angiograms: an image and the exact polygons of what was drawn.

An image is made as X-rays make one: attenuation adds up along each ray (tissue, bones, the catheter, the
contrast agent in the vessels), intensity falls exponentially with it, then come the detector's blur and
quantum noise.
The same (seed, patient, frame) always gives the same angiogram.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from refvessel.demo.anatomy import SIZE, Tube, catheter, coronary_tree

_ROWS, _COLUMNS = np.mgrid[:SIZE, :SIZE].astype(np.float32) + 0.5  # pixel centres


@dataclass(frozen=True)
class Angiogram:
    """`image` is uint8 of shape (512, 512); `polygons` maps "vessel" and "catheter" to outlines.

    An outline is (n, 2) float64, (x, y) in pixels; a label's truth is the union of its outlines. A frame
    before the contrast agent arrives has no "vessel" outline.
    """

    image: np.ndarray
    polygons: dict[str, list[np.ndarray]]


class Scene(NamedTuple):
    """What stays of a patient from frame to frame.

    The tree at rest, the catheter's entry (x, y) and radius, and `background`, (512, 512) float32: the attenuation
    of all but contrast agent and catheter.
    """

    tree: list[Tube]
    entry: np.ndarray
    catheter_radius: float
    background: np.ndarray


class Motion(NamedTuple):
    """How far the heart has moved: turned by `angle`, scaled, shifted, and bent along two waves.

    `shift`, `bend` and `phase` are (2,) float64; a share of a motion is the same motion, less far.
    """

    angle: float
    scale: float
    shift: np.ndarray
    bend: np.ndarray
    phase: np.ndarray

    def share(self, amount: float) -> "Motion":
        """The way to this motion, from 0 (at rest) to 1."""
        scale = 1 + amount * (self.scale - 1)
        return Motion(amount * self.angle, scale, amount * self.shift, amount * self.bend, self.phase)

    def of(self, tree: list[Tube]) -> list[Tube]:
        """The tree where this motion takes it."""
        rotation = self.scale * np.array(
            [[np.cos(self.angle), -np.sin(self.angle)], [np.sin(self.angle), np.cos(self.angle)]]
        )
        centre = SIZE / 2

        def move(points: np.ndarray) -> np.ndarray:
            bent = points + self.bend * np.sin(points[:, ::-1] * (2 * np.pi / 400) + self.phase)
            return (bent - centre) @ rotation.T + centre + self.shift

        return [Tube(move(tube.points), tube.radius, tube.path) for tube in tree]


def angiogram(seed: int, patient: int, frame: int) -> Angiogram:
    """Frame `frame` of patient `patient`: every frame has its own heart beat, contrast filling and noise."""
    scene = scene_of(seed, patient)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(patient, frame)))
    tree = _drawn_motion(rng).of(scene.tree)
    front = np.inf
    if frame == 0:  # nothing or a part in a patient's first frame, all later on
        front = 0.0 if rng.random() < 0.4 else rng.uniform(150, 400)
    contrast, wall = drawn_exposure(rng)
    return expose(rng, scene, tree, fill(tree, front), contrast, wall)


def drawn_exposure(rng: np.random.Generator) -> tuple[float, float]:
    """How much contrast agent and the catheter's wall attenuate, as factors of what is drawn."""
    return rng.uniform(0.17, 0.22), rng.uniform(0.45, 0.6)


def expose(
    rng: np.random.Generator,
    scene: Scene,
    tree: list[Tube],
    filled: list[Tube],
    contrast: float,
    wall: float,
) -> Angiogram:
    """The angiogram of a moment.

    Args:
        rng: of blur and noise.
        scene: the patient.
        tree: where the vessels are; the catheter ends in the first.
        filled: what of them holds contrast agent.
        contrast: attenuation of the contrast agent.
        wall: attenuation of the catheter's wall.
    """
    first, second = tree[0].points[:2]
    heading = (second - first) / np.linalg.norm(second - first)
    tube = catheter(scene.entry, first, heading, scene.catheter_radius)
    vessels = np.sqrt(sum((_thickness(vessel) ** 2 for vessel in filled), np.zeros((SIZE, SIZE), np.float32)))
    attenuation = scene.background + contrast * vessels**0.6 + wall * _walls(tube)
    polygons = {"vessel": [vessel.polygon() for vessel in filled], "catheter": [tube.polygon()]}
    return Angiogram(_detected(rng, attenuation), polygons)


@lru_cache(maxsize=4)
def scene_of(seed: int, patient: int) -> Scene:
    """The scene of patient `patient`."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(patient,)))
    tree = coronary_tree(rng)
    ostium = tree[0].points[0]
    behind = np.sign(ostium[0] - tree[0].points[1, 0])  # a catheter comes from behind the vessel's opening
    entry = np.array([np.clip(ostium[0] + behind * rng.uniform(-10, 120), 30, SIZE - 30), -6.0])
    return Scene(tree, entry, rng.uniform(3.3, 4.3), _background(rng))


def _drawn_motion(rng: np.random.Generator) -> Motion:
    """A little of everything, as the heart moves between two frames."""
    angle, scale = rng.normal(0, 0.04), rng.uniform(0.94, 1.03)
    shift, bend = rng.normal(0, 5, size=2), rng.normal(0, 4, size=2)
    return Motion(angle, scale, shift, bend, rng.uniform(0, 2 * np.pi, size=2))


def fill(tree: list[Tube], front: float, tail: float = -np.inf) -> list[Tube]:
    """What holds contrast agent, which has run as far as `front` and has been washed away as far as `tail`.

    Both are ways from the ostium, in pixels. At either end the filled lumen narrows to a point.
    """
    filled = []
    for tube in tree:
        ends = ((front - tube.path) / 40).clip(0, 1) * ((tube.path - tail) / 40).clip(0, 1)
        radius = tube.radius * np.sqrt(ends)
        wet = radius >= 0.9
        start = int(wet.argmax())
        visible = (wet & (tube.points > 1).all(axis=1) & (tube.points < SIZE - 1).all(axis=1))[start:]
        stop = start + (len(visible) if visible.all() else int(visible.argmin()))
        if stop - start >= 4:
            filled.append(Tube(tube.points[start:stop], radius[start:stop], tube.path[start:stop]))
    return filled


def _thickness(tube: Tube) -> np.ndarray:
    """Length of each pixel's ray inside a tube of round section, in pixels: (512, 512) float32."""
    squared = _sweep(tube, lambda distance, radius: (radius**2 - distance**2).clip(0))
    return 2 * np.sqrt(squared)


def _walls(tube: Tube) -> np.ndarray:
    """Attenuation of the catheter relative to its wall's: dark rims around a slightly lighter lumen."""
    solid = _sweep(tube, lambda distance, radius: (radius + 0.5 - distance).clip(0, 1))
    lumen = _sweep(tube, lambda distance, radius: (radius - 1.5 - distance).clip(0, 1))
    return solid - 0.35 * lumen


def _sweep(tube: Tube, profile: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Maximum over the centreline of `profile(distance to a point, radius there)`, (512, 512) float32."""
    dense = np.linspace(0, len(tube.points) - 1, 4 * len(tube.points))
    index = np.arange(len(tube.points))
    x, y, radius = (
        np.interp(dense, index, values)[:, None].astype(np.float32)
        for values in (*tube.points.T, tube.radius)
    )
    reach = int(np.ceil(tube.radius.max())) + 1
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, 1, -1)
    rows, columns = np.floor(y).astype(int) + dy, np.floor(x).astype(int) + dx
    values = profile(np.hypot(rows + 0.5 - y, columns + 0.5 - x), radius)
    image = np.zeros((SIZE, SIZE), np.float32)
    inside = (values > 0) & (rows >= 0) & (rows < SIZE) & (columns >= 0) & (columns < SIZE)
    np.maximum.at(image, (rows[inside], columns[inside]), values[inside])
    return image


def _background(rng: np.random.Generator) -> np.ndarray:
    """Attenuation of all but contrast agent and catheter, (512, 512) float32."""
    tissue = 0.28 * _smooth_noise(rng, 4) + 0.08 * _smooth_noise(rng, 16) + 0.035 * _smooth_noise(rng, 64)
    heart = _blob(rng.uniform((180, 180), (330, 330)), rng.uniform((150, 130), (260, 230)), 0.25)
    diaphragm = _blob((rng.uniform(0, SIZE), rng.uniform(640, 800)), np.full(2, rng.uniform(280, 380)), 0.015)
    spine_x, spine_width = rng.uniform(150, 400), rng.uniform(45, 70)
    vertebrae = 1 + 0.25 * np.sin(_ROWS * (2 * np.pi / rng.uniform(70, 95)) + rng.uniform(0, 6))
    spine = _soft_step(spine_width - np.abs(_COLUMNS - spine_x - 0.05 * _ROWS), 8) * vertebrae
    bones = 0.22 * spine + _ribs(rng)
    frame = np.minimum.reduce([_COLUMNS, _ROWS, SIZE - _COLUMNS, SIZE - _ROWS])
    collimator = 1.6 * _soft_step(rng.uniform(-6, 14) - frame, 2.5)
    vignette = 0.25 * (((_COLUMNS - 256) ** 2 + (_ROWS - 256) ** 2) / 256**2) ** 1.5
    return (
        rng.uniform(0.35, 0.55) + tissue + 0.28 * heart + 0.4 * diaphragm + bones + collimator + vignette
    ).astype(np.float32)


def _ribs(rng: np.random.Generator) -> np.ndarray:
    """A few parallel arcs with denser rims."""
    centre_x, slope, spacing = rng.uniform(-100, 612), rng.uniform(-0.35, 0.35), rng.uniform(75, 110)
    height = _ROWS + slope * _COLUMNS - 0.0006 * (_COLUMNS - centre_x) ** 2 + rng.uniform(0, spacing)
    across = np.abs(height % spacing - spacing / 2)
    width = rng.uniform(11, 16)
    return 0.07 * _soft_step(width - across, 2) + 0.05 * np.exp(-(((across - width) / 3) ** 2))


def _blob(centre: np.ndarray | tuple[float, float], axes: np.ndarray, softness: float) -> np.ndarray:
    """1 inside an ellipse, 0 outside; `softness` is the edge's width as a share of the axes."""
    distance = np.hypot((_COLUMNS - centre[0]) / axes[0], (_ROWS - centre[1]) / axes[1])
    return _soft_step(1 - distance, softness)


def _soft_step(value: np.ndarray, width: float) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(value / width)


def _smooth_noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Gaussian noise of about `cells` blotches a side, (512, 512) float32 of mean 0."""
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    return np.asarray(Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def _detected(rng: np.random.Generator, attenuation: np.ndarray) -> np.ndarray:
    """Detector image, uint8: blurred, with noise that grows with the root of the intensity."""
    intensity = ndimage.gaussian_filter(np.exp(-attenuation), rng.uniform(0.6, 0.9))
    grain = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE), dtype=np.float32), 0.5)
    noisy = intensity + rng.uniform(0.025, 0.05) * np.sqrt(intensity) * grain
    return (255 * noisy).clip(0, 255).round().astype(np.uint8)
