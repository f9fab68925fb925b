"""No cell of a CSV file is a formula; texts and numbers come back as they were."""

import csv

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvessel.spreadsheets import read_csv, write_csv

FORMULAS = (
    "=1+1",
    '=HYPERLINK("http://x","y")',
    "+49",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    " =1",
    "\uff1d1",
    "'=1",
)
TEXTS = (
    "blood vessel",
    "a-b",
    "a=b",
    "'",
    "it's",
    "'quoted'",
    "NA",
    "007",
    "1e5",
    "",
    "a,b",
    'a"b',
    "vein\nartery",
)


def written_and_read(tmp_path, texts) -> list[list[str]]:
    write_csv(pd.DataFrame({"phrase": texts, "dice": 0.5}), tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))[1:]


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_would_be_a_formula_has_an_apostrophe_in_front(text, tmp_path):
    ((cell, _),) = written_and_read(tmp_path, [text])
    assert cell == "'" + text.replace("\r", "\n")


def test_other_text_is_written_as_it_is(tmp_path):
    assert [cell for cell, _ in written_and_read(tmp_path, TEXTS)] == list(TEXTS)


def test_numbers_stay_numbers(tmp_path):
    table = pd.DataFrame({"n": [-1, 2], "x": [-0.25, None], "score": ["-x", "NA"]})
    write_csv(table, tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text("utf-8") == "n,x,score\n-1,-0.25,'-x\n2,,NA\n"
    pd.testing.assert_frame_equal(read_csv(tmp_path / "table.csv", ["score"]), table)


def test_a_carriage_return_begins_no_line(tmp_path):
    assert written_and_read(tmp_path, ["vessel\r=1+1"]) == [["vessel\n=1+1", "0.5"]]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=8))
def test_whatever_the_text_it_comes_back_and_begins_no_formula(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    write_csv(pd.DataFrame({"model": [text], "x": [1.5]}), path)
    assert read_csv(path, ["model"])["model"].tolist() == [text]
    assert pd.read_csv(path, dtype=str, keep_default_na=False)["model"][0][:1] not in tuple("=+-@\t\n")


def test_an_empty_table_and_missing_text_are_written(tmp_path):
    write_csv(pd.DataFrame({"error": ["-", None]}), tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text("utf-8") == 'error\n\'-\n""\n'
