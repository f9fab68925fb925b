"""The numbers of pages and texts by where they stand, so that those of two reports can be compared."""

import re
from collections import defaultdict
from html.parser import HTMLParser

MINUS = "\N{MINUS SIGN}"
NUMBER = re.compile(rf"(?<![\w.@/-])[-+{MINUS}]?\d[\d,]*(?:\.\d+)?(?![\w/]|-\w)")
# What stands in a name and is no number: of hashes, formats, pages, ranks.
NAMES = re.compile(
    r"[0-9a-f]{12}…|\b[0-9a-f]{64}\b|SHA-256|Pr@[\d.k]+|\bimage\d\b|48x48|\d-connected|SAM 2|\b\d+: (?=\d+%)"
)
MOMENT = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d)")
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
            rf"[Mm]ean 1 {MINUS} Dice",  # of definitions
            r"the model's own, 0\.5|15 equal bins",  # of curves
            r"IoU above 0\.5|best value of each is 1\b|AP\d\d",
        )
    )
)


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
        self._term = ""
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
        elif tag == "dt":
            self._term = self._taken()
        elif tag == "dd":
            self.numbers[f"{self._section}: {self._term}"] += numbers_of(self._taken())
        elif tag in ("p", "li", "figcaption", "caption", "summary", "h1", "h2", "h3"):
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
    return re.split(r"(?<=[.,;:]) ", plain(re.sub("^(Passed|Warning|Note) ", "", named)))


def plain(text: str) -> str:
    """A text without names and stated numbers, days and times as the numbers that they are of."""
    apart = MOMENT.sub(r"\1 \2 \3 \4 \5", text)
    return STATED.sub("stated", NAMES.sub("name", STATUS.sub("", apart)))


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
