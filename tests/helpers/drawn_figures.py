"""What figures draw, in units of the data: points, lines, areas, words; those of two reports can be compared."""

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import Collection, LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.spines import Spine
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator
from shown_numbers import numbers_of, skeleton

_SVG = "{http://www.w3.org/2000/svg}"
_SHAPES = ("path", "circle", "rect", "image")  # of a picture; those of its legend stand outside of its group
_DIGITS = 6

Drawn = dict[str, list[Any]]


def drawn_by_matplotlib(figure: Figure) -> Drawn:
    """By axes and artist: the points, paths, values and numbers that it draws.

    The numbers of a scale are matplotlib's choice, and those of a colour bar are one.
    """
    drawn: Drawn = defaultdict(list)
    for number, axes in enumerate(figure.axes):
        if axes.get_label() == "<colorbar>":
            continue
        for kind, artist in _artists(axes):
            for place, values in _values(artist):
                drawn[f"axes {number}: {kind} {place}".rstrip()] += values
    for text in [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]:
        drawn[f"figure: {skeleton(text.get_text())}"] += numbers_of(text.get_text())
    return drawn


def drawn_in_svg(path: Path) -> Drawn:
    """Of a file that `write_panels` wrote: the numbers of its words, and its pictures, outlines and marks."""
    drawn: Drawn = defaultdict(list)
    root = ElementTree.fromstring(path.read_text("utf-8"))
    for text in root.iter(f"{_SVG}text"):
        drawn[f"text {skeleton(text.text or '')}"] += numbers_of(text.text or "")
    for picture, group in enumerate(root.iter(f"{_SVG}g")):
        for shape in group:
            kind = shape.tag.removeprefix(_SVG)
            if kind in _SHAPES and (what := _geometry(shape)):
                drawn[f"picture {picture}: {kind}"].append(what)
    return drawn


def _geometry(shape: ElementTree.Element) -> str:
    """What an element draws, without its look; empty where it draws nothing."""
    names = ("d", "cx", "cy", "x", "y")
    embedded = [value for name, value in shape.attrib.items() if name.endswith("href")]
    return " ".join([*(shape.attrib.get(name, "") for name in names), *embedded]).strip()


def _artists(axes: Axes) -> Iterator[tuple[str, Any]]:
    numbers: dict[str, Iterator[int]] = defaultdict(count)
    for artist in axes.get_children():
        if artist is axes.patch or isinstance(artist, Spine):
            continue
        kind = type(artist).__name__
        yield f"{kind} {next(numbers[kind])}", artist


def _values(artist: Any) -> list[tuple[str, list[Any]]]:
    """What an artist draws, by a name of each part."""
    if isinstance(artist, Text | Legend | Axis):
        return [(f"“{skeleton(text)}”", numbers_of(text)) for text in _texts(artist)]
    if isinstance(artist, Line2D):
        return [(artist.get_linestyle(), _points(artist.get_xydata()))]
    if isinstance(artist, PathCollection):
        return [("", _points(artist.get_offsets()))]
    if isinstance(artist, LineCollection):
        return [("", [point for each in artist.get_segments() if (point := _whole(each))])]
    if isinstance(artist, Collection):
        return [("", [_whole(path.vertices) for path in artist.get_paths()])]
    if isinstance(artist, AxesImage):
        return [("", _points(np.ma.filled(artist.get_array(), np.nan).reshape(-1, 1)))]
    if isinstance(artist, Patch):
        corners = artist.get_patch_transform().transform_path(artist.get_path()).vertices
        return [("", [_whole(corners)])]
    raise TypeError(f"what {artist} draws is not known")


def _texts(artist: Text | Legend | Axis) -> list[str]:
    if isinstance(artist, Text):
        return [artist.get_text()]
    if isinstance(artist, Legend):
        return [text.get_text() for text in artist.get_texts()]
    labels = [artist.label.get_text()]
    if isinstance(places := artist.get_major_locator(), FixedLocator):  # named, not a scale
        labels += artist.get_major_formatter().format_ticks(places.locs)
    return labels


def _points(places: Any) -> list[tuple[float, ...]]:
    """Each point that is somewhere."""
    rounded = np.round(np.asarray(places, float), _DIGITS)
    return [tuple(point) for point in rounded.tolist() if not np.isnan(point).any()]


def _whole(path: Any) -> tuple[Any, ...]:
    """A path as one value: it is another where one of its points is."""
    return tuple(_points(path))


def is_constant(drawn: str) -> bool:
    """True of a figure's own: lines at zero, of equality, at the model's own threshold, names of groups.

    `drawn` is `figure | place: value`.
    """
    return any(re.fullmatch(pattern, drawn) for pattern in _CONSTANT)


_CONSTANT = (
    r"compared\..*\.differences \| axes \d: Line2D 0 :: \([01]\.0, 0\.0\)",
    r".*\.(border|confidence) \| axes \d: Line2D \d :: (\(0\.0, 0\.0\)|\(1\.0, 1\.0\))",
    r".*\.(subgroups \| axes 0: Y|calibre \| axes 1: X)Axis 0 .*",
    r".*\.thresholds \| axes 0: Line2D 4 -: \(0\.5, [01]\.0\)",
)
