"""DejaVu Sans without the glyphs that figures rarely hold.

A PDF embeds the glyphs that it uses, and finding these among the six thousand of the whole font takes longer than
drawing the figure. The small font has those of European languages and of formulas; others come from the whole one.
"""

from functools import cache
from pathlib import Path

import matplotlib as mpl
from fontTools import subset
from matplotlib.font_manager import FontEntry, fontManager

from refvessel.files import atomic_file

SMALL = "RefVessel DejaVu Sans"

_KEPT = (  # of Unicode: Latin, Greek, Cyrillic, punctuation, letters as numbers, arrows, operators
    *range(0x20, 0x250),
    *range(0x370, 0x460),
    *range(0x2000, 0x2150),
    *range(0x2190, 0x2300),
)
_FILES = {400: "DejaVuSans.ttf", 700: "DejaVuSans-Bold.ttf"}  # by weight


@cache
def know_small_fonts() -> None:
    """Make SMALL a font of matplotlib's, in this process."""
    for weight, name in _FILES.items():
        file = Path(mpl.get_cachedir()) / f"refvessel-{mpl.__version__}-{name}"
        if not file.is_file():
            _write_small(Path(mpl.get_data_path()) / "fonts/ttf" / name, file)
        fontManager.ttflist.append(
            FontEntry(fname=str(file), name=SMALL, style="normal", weight=weight, size="scalable")
        )


def _write_small(whole: Path, file: Path) -> None:
    options = subset.Options(layout_features=["kern"], glyph_names=True, drop_tables=["FFTM"])
    font = subset.load_font(str(whole), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=_KEPT)
    subsetter.subset(font)
    with atomic_file(file) as temporary:
        font.save(temporary)
