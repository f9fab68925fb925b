"""How every figure is drawn: without a display, with one look, and to the same bytes each time."""

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from refvessel.image_files import OPAQUE, decode, opacity_of

# Okabe and Ito's colours, told apart by colour-blind readers too; the truth's and the prediction's come first.
TRUTH, PREDICTION = "#56B4E9", "#E69F00"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#444444")
INK, FAINT, ALARM = "#1f2933", "#cbd2d9", "#b3261e"
AGREEMENT, MISSED, FALSE = "#56B4E9", "#F0E442", "#D55E00"  # of pixels; apart in lightness, too
COLUMN, TWO_COLUMNS = 3.5, 7.2  # inches: the widths of a figure in print
FOR_PRINT = ".pdf"
MOST_POINTS = 1000  # of more the points are drawn as pixels, so that a file stays small

_PNG = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")
_QUALITY = 88  # of JPEG
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",  # looks the same wherever it is opened
    "svg.hashsalt": "refvessel",  # element ids repeat from run to run
    "savefig.dpi": 200,  # of what is drawn as pixels
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
        written = io.StringIO()
        FigureCanvasSVG(figure).print_svg(written, metadata={"Date": None, "Creator": None})
        path.write_text(_PNG.sub(_as_jpeg, written.getvalue()), "utf-8")


@contextmanager
def printed_figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """As `svg_figure`, and beside the SVG the same as PDF, for papers."""
    with svg_figure(path, width, height) as figure:
        yield figure
    with mpl.rc_context(_STYLE):
        figure.set_layout_engine("none")  # everything is in its place by now
        nothing = {"CreationDate": None, "Creator": None, "Producer": None}
        FigureCanvasPdf(figure).print_pdf(path.with_suffix(FOR_PRINT), metadata=nothing)


def _as_jpeg(found: re.Match[str]) -> str:
    """An embedded PNG as JPEG where that is smaller, as it is of photographs; with transparency it stays."""
    image = decode(base64.b64decode(found[1]), "the image of a figure")
    opacity = opacity_of(image)
    if opacity is not None and opacity.min() < OPAQUE:
        return found[0]
    packed = io.BytesIO()
    image.convert("RGB").save(packed, "JPEG", quality=_QUALITY, subsampling=0, optimize=True)
    text = "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode("ascii")
    return min(text, found[0], key=len)
