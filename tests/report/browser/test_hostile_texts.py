"""Phrases, answers and names of files that mean harm, or that nobody foresaw: shown, and nothing more."""

import csv

import pytest
from hostile_texts import ANSWER, ERROR, FILE, FORMULA, HEBREW, LONG, MARKUP, PATIENT

from refvessel.report.printing import printable

TITLES = {"index.html": "RefVessel report", "cases.html": "Cases of the RefVessel report"}
MADE_BY_OTHERS = "script:not([type]), img[src=x], b, svg[onload], [onerror], [onclick], iframe, object, embed"


def shows(page, text):
    """True if an element's own text has this one, as a person would read it."""
    return page.get_by_text(printable(text).strip()[:60]).first.is_visible()


def test_the_report_shows_them(open_page):
    page = open_page("index.html")
    for text in (MARKUP, FORMULA, HEBREW, LONG, ERROR, PATIENT):
        assert shows(page, text), text
    assert page.title() == TITLES["index.html"]
    assert page.locator(f"{MADE_BY_OTHERS}, script").count() == 0
    assert max(page.locator("tbody tr").evaluate_all("rows => rows.map(row => row.offsetHeight)")) < 300


def test_the_table_of_cases_shows_them(open_page):
    page = open_page("cases.html")
    for text in (MARKUP, FORMULA, HEBREW, LONG, FILE, PATIENT):
        page.fill("[name=phrase]", printable(text) if text not in (FILE, PATIENT) else "")
        assert page.locator("#list tbody tr:not(.space)").count() > 0
        assert shows(page, text), text
    assert page.title() == TITLES["cases.html"]
    assert page.locator(MADE_BY_OTHERS).count() == 1  # the page's own script


@pytest.mark.parametrize(
    ("sent_id", "texts"),
    [
        (2, [MARKUP]),
        (3, [ERROR]),
        (5, [ANSWER, LONG]),
        (7, [ANSWER, FORMULA]),
        (8, [HEBREW]),
        (9, [FILE, PATIENT]),
    ],
)
def test_an_open_case_shows_them(open_page, sent_id, texts):
    page = open_page(f"cases.html#case=demo.demo.test.{sent_id}")
    read = page.inner_text("#viewer")
    for text in texts:
        assert " ".join(printable(text).split()) in " ".join(read.split())
    assert page.locator("#case-title").bounding_box()["height"] < 150
    assert page.title() == TITLES["cases.html"]
    assert page.locator(f"#viewer :is({MADE_BY_OTHERS})").count() == 0


def test_figures_are_documents_that_do_nothing(open_page, report):
    figures = sorted((report.root / "report/figures").glob("*.svg"))
    assert len(figures) > 20
    page = open_page("index.html")
    for path in figures:
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.localName") == "svg"
        assert page.evaluate("document.querySelectorAll('parsererror, script, foreignObject, a').length") == 0
        assert page.evaluate("document.documentElement.getBoundingClientRect().width") > 100


def test_no_cell_of_a_table_begins_a_formula(report):
    found = set()
    for path in (report.root / "report/tables").glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as stream:
            cells = [cell for row in csv.reader(stream) for cell in row]
        found |= {cell.removeprefix("'") for cell in cells}
        for cell in cells:
            if cell[:1] in tuple("=+-@\t\r"):
                float(cell)
    assert {MARKUP, FORMULA, HEBREW, LONG, PATIENT} <= found
