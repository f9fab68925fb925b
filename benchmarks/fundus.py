"""Invented fundus photographs of one camera, as alike as those of a public set: hard for a near-duplicate gate."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import gaussian_filter

SIZE = WIDTH, HEIGHT = 565, 584  # DRIVE's
_RADIUS = 268  # of the field of view, pixels


def fundus(
    seed: int, *, contrast: float = 0.22, mottling: float = 1.0, side: int | None = None
) -> Image.Image:
    """An RGB photograph: field of view, light's fall-off, disc, fovea and branching vessels.

    Args:
        contrast: of the vessels, a share of the grey range.
        mottling: how uneven the ground is; 0 leaves the fall-off alone.
        side: on which the disc lies, -1 left or 1 right; None draws lots.
    """
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    centre = np.array([WIDTH / 2, HEIGHT / 2]) + random.normal(0, 1, 2)
    from_centre = np.hypot(x - centre[0], y - centre[1]) / _RADIUS
    side = random.choice([-1, 1]) if side is None else side
    disc = centre + np.array([165 * side, 0]) + random.normal(0, 12, 2)
    fovea = disc + np.array([-175 * side, 12]) + random.normal(0, 7, 2)
    ground = 120 + random.normal(0, 12) - random.normal(35, 6) * from_centre**2
    for scale, height in ((60, 6), (12, 2)):
        ground += gaussian_filter(random.normal(0, 1, x.shape), scale) * scale * height * mottling
    ground -= 25 * np.exp(-((x - fovea[0]) ** 2 + (y - fovea[1]) ** 2) / (2 * 45**2))
    ground += 80 * np.exp(-((((x - disc[0]) ** 2 + (y - disc[1]) ** 2) / 34**2) ** 2))
    ground += random.normal(0, 3, x.shape) - contrast * _vessels(random, disc, side)
    inside = 1 / (1 + np.exp((from_centre - 1) * _RADIUS / 1.2))
    green = ground.clip(5, 250) * inside + 3 * (1 - inside) + random.normal(0, 1, x.shape)
    red = (1.1 * green + 65) * inside + 4 * (1 - inside)
    return Image.fromarray(np.dstack([red, green, 0.42 * green]).clip(0, 255).astype(np.uint8))


def _vessels(random: np.random.Generator, disc: np.ndarray, side: int) -> np.ndarray:
    """Arcades above and below the fovea and smaller vessels, float64 of shape (HEIGHT, WIDTH), 0 to 255."""
    canvas = Image.new("L", (2 * WIDTH, 2 * HEIGHT), 0)
    draw = ImageDraw.Draw(canvas)
    temporal = np.pi if side > 0 else 0.0

    def grow(start: np.ndarray, angle: float, width: float, bend: float, depth: int, length: float) -> None:
        points = [start]
        for _ in range(int(length / 8)):
            angle += bend + random.normal(0, 0.06)
            points.append(points[-1] + 8 * np.array([np.cos(angle), np.sin(angle)]))
            if depth < 3 and random.random() < 0.11:
                away = angle + random.choice([-1, 1]) * random.uniform(0.4, 1.0)
                grow(
                    points[-1],
                    away,
                    0.65 * width,
                    random.normal(0, 0.015),
                    depth + 1,
                    length * random.uniform(0.3, 0.7),
                )
        path = [tuple(2 * point) for point in points]
        draw.line(path, fill=int(min(255, 90 + 22 * width)), width=max(1, int(2 * width)), joint="curve")

    for up in (-1, 1):
        for _ in range(2):
            opening, bend = random.uniform(0.9, 1.4), random.uniform(0.008, 0.022)
            grow(disc, temporal - side * up * opening, random.uniform(5, 7.5), side * up * bend, 0, 450)
        grow(disc, temporal + np.pi + up * random.uniform(0.4, 1.0), random.uniform(3, 4.5), 0, 1, 120)
    for _ in range(3):
        grow(disc, random.uniform(0, 2 * np.pi), random.uniform(2, 3), random.normal(0, 0.01), 1, 140)
    return np.asarray(canvas.resize(SIZE, Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.8)), float)
