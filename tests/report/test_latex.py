"""Tables for papers, read by a LaTeX parser that knows nothing of us, and measured in TeX's own font."""

import json
import re
from dataclasses import replace
from pathlib import Path

import matplotlib
import pytest
from matplotlib.ft2font import FT2Font
from pylatexenc.latex2text import LatexNodes2Text, MacroTextSpec, get_default_latex_context_db
from pylatexenc.latexwalker import (
    LatexCharsNode,
    LatexEnvironmentNode,
    LatexGroupNode,
    LatexMacroNode,
    LatexWalker,
)

from refvessel.metrics.verdicts import Verdict
from refvessel.report.compared_models import read_comparison
from refvessel.report.latex import Cell, Row, escaped, latex_table
from refvessel.report.sections import read_artifacts
from refvessel.report.tables import write_tables

HARMLESS = {  # commands that print one sign or allow a line break
    *("{", "}", "$", "&", "#", "%", "_", "allowbreak", "char"),
    *("textbackslash", "textasciitilde", "textasciicircum", "textasciigrave", "textquotesingle"),
    *("textless", "textgreater", "textbar"),
}
HOSTILE = [
    r"\input{/etc/passwd} \write18{rm} \def\x{} \\ \end{table}",
    "a & b % c # d $x^2_1$ ~ {unbalanced }",
    "--- ``quoted'' ,, << >> ?` !` |pipe| \"",
    '=HYPERLINK("http://x","y") <script>alert(\'1\')</script>',
    "血管 עורק شريان 🫀👩‍⚕️ é ß \u202eevil",
    "long" * 2500,
]
PRINTS = {
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
    "allowbreak": "",
    "textquotesingle": "'",
    "textasciigrave": "`",
    "textasciicircum": "^",
}
POINTS = 229.5  # of a column of LaTeX's own two-column article


def printed(latex: str) -> str:
    """What a parser says that LaTeX prints; `--` and the like stay as they are written."""
    context = get_default_latex_context_db()
    macros = [MacroTextSpec(name, text) for name, text in PRINTS.items()]
    context.add_context_category("ours", prepend=True, macros=macros, specials=[])
    text = LatexNodes2Text(latex_context=context, strict_latex_spaces=True, keep_comments=True)
    return text.latex_to_text(latex.replace(r"\char34{}", "\N{QUOTATION MARK}"))


def nodes(latex: str):
    """All nodes of a text, those within groups and environments, too."""
    waiting = LatexWalker(latex).get_latex_nodes()[0]
    while waiting:
        node, *waiting = waiting
        yield node
        waiting = [*(getattr(node, "nodelist", None) or []), *waiting]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_others_prints_as_it_is_and_commands_nothing(text):
    latex = escaped(text)
    shown = text.replace("\u202e", r"\u202e")
    assert printed(latex) == shown
    for node in nodes(latex):
        assert isinstance(node, LatexCharsNode | LatexGroupNode | LatexMacroNode), node
        if isinstance(node, LatexMacroNode):
            assert node.macroname in HARMLESS
        if isinstance(node, LatexGroupNode):
            assert node.delimiters == ("{", "}")
            assert not node.nodelist


def test_a_table_of_hostile_names_is_one_table_with_its_rows():
    rows = [Row(text, [Cell(("0.500", "[0.400, 0.600]"), bold=True)]) for text in HOSTILE]
    latex = latex_table("Phrase", ["Dice"], rows, caption=escaped(HOSTILE[0]), name="by_phrase")
    found = [node for node in nodes(latex) if isinstance(node, LatexEnvironmentNode)]
    assert [node.environmentname for node in found] == ["table", "tabular"]
    assert latex.count("\\\\\n") == 1 + 2 * len(HOSTILE)
    assert latex.count(r"\textbf{0.500}") == len(HOSTILE)


def points(text: str, size: float) -> float:
    """The width of a text in Computer Modern."""
    font = FT2Font(str(Path(matplotlib.get_data_path()) / "fonts/ttf/cmr10.ttf"))
    font.set_size(size, 72)
    font.set_text(text)
    return font.get_width_height()[0] / 64


def width_of_table(latex: str) -> float:
    """The natural width of a table of footnotesize (8 points), beside the share that its names have."""
    share = float(latex.partition("@{}p{")[2].partition("\\")[0])
    widest: dict[int, float] = {}
    for line in latex.partition("\\toprule\n")[2].splitlines():
        for column, cell in enumerate(line.removesuffix(r" \\").split(" & ")[1:]):
            small = cell.startswith(r"{\scriptsize")
            text = cell.replace(r"{\scriptsize ", "").replace(r"\textbf{", "").replace("$", "").rstrip("}")
            widest[column] = max(widest.get(column, 0), points(text, 7 if small else 8))
    return share * POINTS + sum(widest.values()) + 4 * len(widest)


@pytest.fixture(scope="module")
def read(compared_once):
    """The artifacts of two models on the same expressions, and where their comparison lies."""
    artifacts = [
        read_artifacts(
            one, checkpoint=compared_once.checkpoints[one.model], dataset=compared_once.datasets[one.dataset]
        )
        for one in compared_once.evaluations
    ]
    return artifacts, compared_once.comparisons[0]


@pytest.fixture
def tables(read, tmp_path):
    """A function: changes of the tests of Dice -> the tables for papers by their names."""
    artifacts, comparison = read

    def written(**changes) -> dict[str, str]:
        compared = read_comparison(comparison, artifacts)
        tests = [row | (changes if row["score"] == "dice" else {}) for row in compared.content["tests"]]
        changed = replace(compared, content=compared.content | {"tests": tests})
        write_tables(artifacts, [changed], tmp_path)
        return {path.stem: path.read_text("utf-8") for path in tmp_path.glob("*.tex")}

    return written


def test_the_best_mean_is_bold_only_where_the_comparison_shows_it(tables, read):
    better, worse = (one.summary["dice_patient_mean"] for one in read[0])
    assert better > worse
    shown = tables(verdict=Verdict.SHOWN)
    assert re.findall(r"\\textbf{(.*?)}", shown["overall"]) == [f"{better:.3f}"]
    assert r"\textbf" not in shown["by_phrase"]
    for changes in (
        {},
        {"verdict": Verdict.BELOW_DETECTABLE},
        {"verdict": Verdict.SHOWN, "n_expressions": 9},
    ):
        assert r"\textbf" not in tables(**changes)["overall"]


def test_the_comparison_for_papers_has_every_pair_with_its_interval(tables, read):
    (row,) = [row for row in json.loads(read[1].read_text("utf-8"))["tests"] if row["score"] == "dice"]
    name, *_ = _line(tables(verdict=Verdict.SHOWN)["comparisons"], "Dice")
    assert name == r"\raggedright Dice: demo against other"
    for text in (f"{row['difference']:.3f}", f"[{row['difference_low']:.3f}, {row['difference_high']:.3f}]"):
        assert text in tables()["comparisons"]


def test_every_table_fits_a_column_of_a_journal(tables):
    written = tables(verdict=Verdict.SHOWN)
    assert len(written) == 9
    for name, latex in written.items():
        assert width_of_table(latex) <= POINTS, name


def _line(latex: str, start: str) -> list[str]:
    """The cells of the first row that begins so."""
    found = next(line for line in latex.splitlines() if line.startswith(rf"\raggedright {start}"))
    return found.removesuffix(r" \\").split(" & ")


def test_of_many_rows_those_of_a_page_are_printed_and_the_others_counted():
    rows = [Row(f"row {number}", [Cell((str(number),))]) for number in range(45)]
    latex = latex_table("Patient", ["n"], rows, caption="All.", name="by_patient")
    assert latex.count("\\raggedright") == 40
    assert r"All. 5 more rows are in by\_patient.csv." in latex
