"""Every number that a report shows is one of its artifacts: change these, and it changes."""

import io
import json
import re
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from altered_artifacts import alter_results, enrich_results
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from stages import render_report

from refvessel.report import render

MINUS = "\N{MINUS SIGN}"
NUMBER = re.compile(rf"(?<![\w.@/-])[-+{MINUS}]?\d[\d,]*(?:\.\d+)?(?![\w/]|-\w)")
# What stands in a name and is no number: of hashes, formats, pages, ranks.
NAMES = re.compile(
    r"[0-9a-f]{12}…|\b[0-9a-f]{64}\b|SHA-256|Pr@[\d.k]+|\bimage\d\b|48x48|\d-connected|SAM 2|\b\d+: (?=\d+%)"
)
STATUS = re.compile(r" \((failed|no_seg)\)")
# What is stated, not measured: the numbers of a method, which no run changes.
STATED = re.compile(
    "|".join(
        (
            r"95(% intervals?\b(?! are from)|% from|% of draws|% of the differences)",  # levels of intervals
            r"90% interval|each at 5%|can reach 5%|80% power at two-sided 5%",  # of tests
            r"[Ww]orst 5%|5th percentile|errors the 95th",  # of spread
            r"\d+ checks? passed|\d+ notes?$",  # which are listed below
            r"fewer than 50:",  # patients, from which on intervals cover as they should
            r"\d are the fewest with which one of",  # patients, which the number of tests settles
            r"the worst 10 are listed|at most \d+ cases of a kind|at most the 8 groups",
            r"At most 6 pairs",  # what is shown
            r"within 1\.5 times the box|1\.96 standard deviations",  # of figures
            rf"mean 1 {MINUS} Dice",  # of definitions
            r"IoU above 0\.5|best value of each is 1\b|AP\d\d",
        )
    )
)


@pytest.fixture(scope="module")
def both(compared_once, tmp_path_factory):
    """The folders of two reports: of artifacts, and of the same with every number changed. No picture is drawn."""
    folders = []
    with pytest.MonkeyPatch.context() as patch:
        for canvas, printing in ((FigureCanvasSVG, "print_svg"), (FigureCanvasPdf, "print_pdf")):
            patch.setattr(canvas, printing, lambda self, target, **_: write_nothing(target))
        for name in ("as they are", "altered"):
            workspace = compared_once.copied(tmp_path_factory.mktemp("traced") / "results")
            enrich_results(workspace.root)
            if name == "altered":
                alter_results(workspace.root)
                ours = render.versions()
                patch.setattr(
                    render, "versions", lambda ours=ours: {key: f"9{each}" for key, each in ours.items()}
                )
                patch.setattr(render.metadata, "version", lambda _: "9.9.9")
            render_report(**workspace.inputs, output=workspace.root / "report")
            folders.append(workspace.root / "report")
    return folders


def write_nothing(target) -> None:
    if isinstance(target, io.TextIOBase):
        target.write("<svg/>")
    elif hasattr(target, "write"):
        target.write(b"<svg/>")
    else:
        Path(target).write_bytes(b"<svg/>")


COUNTED = re.compile(r"\(n = \d+\)")  # in a heading, of how many


class Shown(HTMLParser):
    """The numbers of a page by where they stand: table, row and column, or section and sentence.

    Headings of rows and columns are names, and the definitions are a method's.
    """

    def __init__(self, html: str):
        super().__init__()
        self.numbers: dict[str, list[str]] = defaultdict(list)
        self._section = ""
        self._columns: list[str] = []
        self._row: list[str] = []
        self._text = ""
        self._skipped = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag in ("style", "script") or (tag, given.get("class")) == ("dl", "definitions"):
            self._skipped = tag
        if tag == "section":
            self._section = given["id"]
        if tag == "thead":
            self._columns = []
        if tag == "tr":
            self._row = []

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            text = self._taken()
            column = self._columns[len(self._row)] if len(self._row) < len(self._columns) else ""
            place = f"{self._section} | {self._columns[:1]} {self._names()} | {column}"
            heading, number = COUNTED.subn("(n = #)", text)
            self._row.append(heading if tag == "th" else skeleton(text))
            if number:
                self.numbers[f"{self._section}: {heading}"] += numbers_of(text)
            if tag == "td" and column != "best":  # which a score has by its definition
                self.numbers[place] += numbers_of(text)
        elif tag == "thead":
            self._columns = self._row
        elif tag in ("p", "li", "figcaption", "caption", "summary", "dd", "dt", "h1", "h2", "h3"):
            for sentence in sentences(self._taken()):
                self.numbers[f"{self._section}: {skeleton(sentence)}"] += numbers_of(sentence)
        elif tag == self._skipped:
            self._skipped = ""

    def handle_data(self, data):
        if not self._skipped:
            self._text += data

    def _names(self) -> list[str]:
        """What the row's cells before this one say, but for numbers."""
        return [cell for cell in self._row[:3] if "#" not in cell]

    def _taken(self) -> str:
        text, self._text = " ".join(self._text.split()), ""
        return text


def sentences(text: str) -> list[str]:
    named = re.sub(r"sent_id \d+(, \d+)*", "sent_id", text)  # which say who is meant
    return re.split(r"(?<=[.,;:]) ", re.sub("^(Passed|Warning|Note) ", "", named))


def plain(text: str) -> str:
    """A text without names and stated numbers."""
    return STATED.sub("stated", NAMES.sub("name", STATUS.sub("", text)))


def numbers_of(text: str) -> list[str]:
    return NUMBER.findall(plain(text))


def skeleton(text: str) -> str:
    """A text without its numbers, and without the `s` of their plurals."""
    return re.sub(r"s\b", "", NUMBER.sub("#", plain(text))).rstrip(".,;:")


def untraced(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    """Where a number stands as before, with it; numbers of one place are compared one by one."""
    return [
        f"{place}: {number}"
        for place in before.keys() & after.keys()
        for number, other in zip(before[place], after[place], strict=False)
        if number == other
    ]


def kind(place: str) -> str:
    """Of a cell its column, of a sentence itself."""
    section, *cell = place.split(" | ")
    return place if not cell else f"{section} | {cell[0].partition('] ')[0]} | {cell[-1]}"


def unseen(before: dict[str, list[str]], after: dict[str, list[str]]) -> set[str]:
    """Columns and sentences with numbers of which nothing was compared."""
    return {kind(place) for place in before if before[place]} - {
        kind(place) for place in before.keys() & after.keys()
    }


def test_every_number_of_the_page(both):
    before, after = (Shown((folder / "index.html").read_text("utf-8")).numbers for folder in both)
    assert untraced(before, after) == []
    assert {place.partition(": ")[2] for place in unseen(before, after)} == {
        "of the # of # expression with a vessel",  # no truth is empty any more
    }
    assert sum(map(len, before.values())) > 1500


def test_every_number_of_the_methods(both):
    texts = [(folder / "methods.md").read_text("utf-8").partition("## To cite") for folder in both]
    before, after = ({}, {})
    for text, found in zip(texts, (before, after), strict=True):
        for paragraph in text[0].split("\n\n"):
            for sentence in sentences(paragraph):
                found.setdefault(skeleton(sentence), []).extend(numbers_of(sentence))
    assert untraced(before, after) == []
    assert unseen(before, after) == set()
    assert sum(map(len, before.values())) > 60
    cited = ["- The RefVessel authors. RefVessel, version 9"]
    assert texts[1][2].splitlines()[2].startswith(cited[0])


def test_every_number_of_the_tables_for_papers(both):
    names = sorted(path.name for path in (both[0] / "tables").glob("*.tex"))
    assert len(names) == 11
    for name in names:
        before, after = {}, {}
        for folder, found in zip(both, (before, after), strict=True):
            latex = (
                (folder / "tables" / name)
                .read_text("utf-8")
                .replace("$-$", "-")
                .replace("{", " ")
                .replace("}", " ")
            )
            row, columns = "", []
            for line in latex.partition("\\caption")[2].partition("\\bottomrule")[0].splitlines():
                cells = line.split(" & ")
                if len(cells) > 1 and not columns:
                    columns = cells
                elif len(cells) > 1:
                    row = cells[0] if "raggedright" in cells[0] else row
                    for column, cell in zip(columns[1:], cells[1:], strict=True):
                        found.setdefault(f"{name} | [] {row} | {column}", []).extend(numbers_of(cell))
                elif not line.startswith("\\"):
                    for sentence in sentences(line):
                        found.setdefault(skeleton(sentence), []).extend(numbers_of(sentence))
        assert untraced(before, after) == [], name
        assert unseen(before, after) == set(), name


def test_every_number_of_the_tables(both):
    names = sorted(path.name for path in (both[0] / "tables").glob("*.csv"))
    assert len(names) == 15
    for name in names:
        before, after = (pd.read_csv(folder / "tables" / name) for folder in both)
        assert list(before) == list(after)
        numbers = before.select_dtypes("number").columns
        assert len(numbers)
        for column in numbers.difference(["ref_id", "sent_id"]):
            pairs = zip(before[column].tolist(), after[column].tolist(), strict=False)
            assert not [
                one for one, other in pairs if one == other and not (one == 0 and "rank_" in column)
            ], (name, column)


def test_every_number_of_the_cases(both):
    """Scores and breaks of each case, as the page of cases has them; the altered one has a case less per model."""
    pages = []
    for folder in both:
        html = (folder / "cases.html").read_text("utf-8")
        found = re.findall(r'<script type="application/json" id="([^"]*)">(.*?)</script>', html, re.DOTALL)
        blocks = {name: json.loads(text) for name, text in found}
        columns = pd.DataFrame(blocks["table"]["columns"])
        details = pd.Series(blocks["details-0"], name="details")
        ours = columns[columns["evaluation"] == 1].assign(details=details).set_index("sent_id")
        pages.append((ours, blocks["table"]["scores"]))
    (before, scores), (after, _) = pages
    assert len(before) == len(after) + 1
    compared = 0
    for sent_id, row in after.iterrows():
        for score in scores:
            one, other = before.loc[sent_id, score], row[score]
            compared += one == one
            assert one != other, (sent_id, score)
        breaks = [each["details"].get("breaks", []) for each in (before.loc[sent_id], row)]
        assert len(breaks[1]) == 2 * len(breaks[0])
        for one, other in zip(*breaks, strict=False):
            assert not [i for i in (0, 1, 3) if one[i] == other[i]]
    assert compared > 200
