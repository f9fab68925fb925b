"""How every figure is drawn: without a display, with one look, and to the same bytes each time.

SVG keeps text as text: it is searched, read aloud and, in the reader's fonts, of any script.
"""

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

from refvessel.report.small_fonts import SMALL, know_small_fonts

# Okabe and Ito's colours, told apart by colour-blind readers too; the truth's and the prediction's come first.
TRUTH, PREDICTION = "#56B4E9", "#E69F00"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#444444")
INK, FAINT, ALARM = "#1f2933", "#cbd2d9", "#b3261e"
AGREEMENT, MISSED, FALSE = "#56B4E9", "#F0E442", "#D55E00"  # of pixels; apart in lightness, too
COLUMN, TWO_COLUMNS = 3.5, 7.2  # inches: the widths of a figure in print
FONTS = ("DejaVu Sans", "sans-serif")
FOR_PRINT = ".pdf"
MOST_POINTS = 1000  # of more the points are drawn as pixels, so that a file stays small

_TAG = re.compile(r"(?:\n *)?<[^>]+>")
_REPEATED = re.compile(r' transform="rotate\(-0 [^"]*"| font-family: [^;"]*;')
_NUMBERS = re.compile(r' (?:d|x|y|transform)="[^"]*"')
_DIGITS = re.compile(r"(\.\d\d)\d+")
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "refvessel",  # element ids repeat from run to run
    "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3, the default
    "savefig.dpi": 200,  # of what is drawn as pixels
    "text.parse_math": False,  # a phrase may hold a dollar sign
    "font.family": [SMALL, *FONTS],
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
def printed_figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of `width` x `height` inches, which is written as SVG and, for papers, as PDF.

    `path` is the SVG; the PDF lies beside it. Neither bears a date.
    """
    nothing = {"CreationDate": None, "Creator": None, "Producer": None}
    know_small_fonts()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        written = io.StringIO()
        FigureCanvasSVG(figure).print_svg(written, metadata={"Date": None, "Creator": None})
        path.write_text(_smaller(written.getvalue()), "utf-8")
        figure.set_layout_engine("none")  # everything is in its place by now
        FigureCanvasPdf(figure).print_pdf(path.with_suffix(FOR_PRINT), metadata=nothing)


def _smaller(svg: str) -> str:
    """The same to the eye: places to a hundredth of a point, what every text repeats stated once."""
    family = f'<svg font-family="{", ".join(FONTS)}"'
    return _TAG.sub(_smaller_tag, svg).replace("<svg", family, 1)


def _smaller_tag(found: re.Match[str]) -> str:
    return _NUMBERS.sub(_rounded, _REPEATED.sub("", found[0].lstrip()))


def _rounded(found: re.Match[str]) -> str:
    """An attribute with two decimals; factors of a matrix stay as they are."""
    return found[0] if "matrix" in found[0] or "scale" in found[0] else _DIGITS.sub(r"\1", found[0])
