"""Phrases, names and errors that no one foresaw, in every form of the report."""

import csv
import re
import xml.etree.ElementTree as ElementTree

import pandas as pd
import pytest
from stages import render_report

from refvessel.report.printing import printable, shortened
from refvessel.report.sections import Evaluation

PHRASES = (
    "[left] \x07vessel\x00 \ud7ff\ufffe -- --> ]]>",
    "* =1+1 \x1b[31m \u202eevil\u202c \r\n\r\n </svg> & \\end{tabular}",
)
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


@pytest.fixture(scope="module")
def report(tmp_path_factory, new_workspace, make_cases):
    """The folder of a report in which every text of others is hostile."""
    workspace = new_workspace(tmp_path_factory.mktemp("others") / "results")
    cases = make_cases(phrases=PHRASES)
    for case in cases:
        case["patient"] = f"=cmd|'/c'!{case['patient']}\x02"
    cases[2]["error"] = "out of\x0bmemory \x1b[0m"
    workspace.add(cases)
    render_report(**workspace.inputs, output=workspace.root / "report")
    return workspace.root / "report"


def test_every_figure_is_xml_that_a_browser_shows(report):
    figures = list((report / "figures").glob("*.svg"))
    assert len(figures) == 10
    for path in figures:
        ElementTree.parse(path)
        assert not NOT_XML.search(path.read_text("utf-8"))


def test_the_page_shows_what_cannot_be_shown_written_out(report):
    page = (report / "index.html").read_text("utf-8")
    assert not NOT_XML.search(page)
    assert not re.search("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
    for text in (r"[left] \x07vessel\x00", r"* =1+1 \x1b[31m \u202eevil\u202c", r"out of memory \x1b[0m"):
        assert text in page


def test_every_row_of_a_latex_table_is_one_line_that_begins_no_option(report):
    text = (report / "tables/by_phrase.tex").read_text("utf-8")
    body = text.partition("\\midrule\n")[2].partition("\\bottomrule")[0].splitlines()
    assert [line[:15] for line in body if not line.startswith("{} & ")] == [
        r"\raggedright * ",
        r"\raggedright [l",
    ]
    assert all(line.endswith(r"\\") for line in body)
    assert r"\textbackslash{}x07vessel" in text.replace(r"\allowbreak{}", "")
    assert r"\textgreater{}" in text
    assert text.count(r"\end{tabular}") == 1
    assert not NOT_XML.search(text)


def test_no_cell_of_a_csv_table_is_a_formula(report):
    for path in (report / "tables").glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as stream:
            cells = [cell for row in csv.reader(stream) for cell in row]
        for cell in cells:
            if cell[:1] in tuple("=+-@\t\r"):
                float(cell)
    patients = pd.read_csv(report / "tables/by_patient.csv")["patient"]
    assert patients.str.startswith("'=cmd|").all()
    assert pd.api.types.is_float_dtype(pd.read_csv(report / "tables/by_patient.csv")["dice_mean"])


def test_over_long_text_is_shortened_in_print_and_whole_in_the_csv(workspace, make_cases):
    phrase = "vessel " * 2000
    workspace.add(make_cases(phrases=(phrase, "catheter"))[:2])
    render_report(**workspace.inputs, output=workspace.root / "report")
    tables = workspace.root / "report/tables"
    assert phrase in set(pd.read_csv(tables / "by_phrase.csv")["phrase"])
    rows = (tables / "by_phrase.tex").read_text("utf-8").partition("\\midrule")[2]
    assert max(map(len, rows.splitlines())) < 300
    for path in (workspace.root / "report/figures").glob("*.svg"):
        ElementTree.parse(path)


def test_figures_of_evaluations_with_long_names_have_names_that_file_systems_take(tmp_path):
    long = [
        Evaluation("m" * 100, "d" * 100, split, scores_dir=tmp_path, predictions=tmp_path)
        for split in ("test_1", "test_2")
    ]
    stems = [one.file_stem for one in long]
    assert stems[0] != stems[1]
    for stem in stems:
        (tmp_path / f"{stem}.dice_by_patient.svg").touch()
    short = Evaluation("demo", "demo", "test", scores_dir=tmp_path, predictions=tmp_path)
    assert short.file_stem == short.name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("blood vessel", "blood vessel"),
        ("血管 é → ß “x”", "血管 é → ß “x”"),
        ("a\tb\r\nc\u2028d", "a b c d"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
        ("\ud800\uffff\U0001ffff", r"\ud800\uffff\U0001ffff"),
        ("\u202eabc\u2066", r"\u202eabc\u2066"),
        ("\u200fעורק\u200c", "\u200fעורק\u200c"),  # noqa: RUF001 (marks and joiners that writing needs)
    ],
)
def test_printable_text_is_one_line_of_characters_that_can_be_shown(text, shown):
    assert printable(text) == shown


def test_shortened_text_says_that_there_was_more():
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abcde…"
