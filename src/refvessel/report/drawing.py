"""How every figure is drawn: without a display, with one look, and to the same bytes each time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers too; the truth's and the prediction's come first.
TRUTH, PREDICTION = "#56B4E9", "#E69F00"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#444444")
INK, FAINT, ALARM = "#1f2933", "#cbd2d9", "#b3261e"

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",  # looks the same wherever it is opened
    "svg.hashsalt": "refvessel",  # element ids repeat from run to run
    "text.parse_math": False,  # a phrase may hold a dollar sign
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#e4e7eb",
    "legend.frameon": False,
}


@contextmanager
def svg_figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of `width` x `height` inches; it is written to `path` as SVG without a date."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None, "Creator": None})
