"""The search for names in a real report: nobody's name is found where nobody is named."""

import pytest
from stages import render_report

from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.privacy.check import check_privacy
from refvessel.privacy.name_tables import Name, write_name_table

SURNAMES = """
    Smith Johnson Williams Brown Jones Garcia Miller Davis Martinez Lopez Gonzalez Wilson Anderson Thomas
    Taylor Moore Jackson Martin Perez Thompson White Harris Sanchez Clark Lewis Robinson Walker Young Allen
    King Wright Scott Torres Hill Green Adams Nelson Baker Hall Rivera Campbell Mitchell Carter Roberts
    Phillips Evans Turner Parker Edwards Lang Page Best Note Frame Field Head Base Long Short Wood Stone Price
    Cook Cole West Grant Mann Weiss Klein Lange Koch Stein Berg Wolf Vogel Roth Sauer Sommer Section Figure
    Strong Middle Median Worst Cohen Holm Kendall Title
""".split()  # noqa: SIM905
WORDS = """
    that with this from have what there their which about when make like time just know people into year good
    some could them other than then look only come over think also back after work first well even want
    because these give most mean value label level number point score image truth small large area length
    union common empty formula part page name left right under high both each where whose answer answers
    expressions every count data method findings second pooled interval patients phrase failed regions vessel
    model dataset split version error warning draws
""".split()  # noqa: SIM905
SHOWN = {
    "vessel",
    "blood",
    "catheter",
    "demo",
    "out",
    "memory",
    "image0",
    "test",
}  # what the cases themselves say


def rows(names):
    return [Name("patient", f"p{number:010x}", name) for number, name in enumerate(names)]


@pytest.fixture(scope="module")
def usual_report(usual):
    return usual.root / "report"


@pytest.mark.parametrize(
    "names",
    [
        [f"{number:04d}" for number in range(10_000)],
        [f"test_{number}" for number in range(1, 1000)],
        [f"{number:06d}" for number in range(0, 1_000_000, 31)],
        [name for name in SURNAMES if name.casefold() not in SHOWN],
        [f"{name}^Mei_{number:03d}" for number, name in enumerate(SURNAMES)],
        [word for word in WORDS if word not in SHOWN],
        [f"{word.capitalize()}^Tom" for word in WORDS if word not in SHOWN],
    ],
    ids=["numbers", "test_N", "hospital numbers", "surnames", "full names", "words", "names of words"],
)
def test_names_that_are_not_in_a_report_are_not_found_in_it(usual_report, tmp_path, names):
    write_name_table(tmp_path / "names" / "a.csv", rows(names))
    check_privacy(usual_report, [tmp_path / "names" / "a.csv"])


@pytest.mark.parametrize("name", ["0998", "test_1", "White", "Best^Ina", "mean"])
def test_nor_is_one_alone(usual_report, tmp_path, name):
    write_name_table(tmp_path / "names" / "a.csv", rows([name]))
    check_privacy(usual_report, [tmp_path / "names" / "a.csv"])


def test_a_name_that_a_report_shows_is_found_in_all_its_files(usual_report, tmp_path):
    write_name_table(tmp_path / "names" / "a.csv", rows(["Catheter"]))
    with pytest.raises(UserError) as caught:
        check_privacy(usual_report, [tmp_path / "names" / "a.csv"])
    for file in ("index.html", "by_phrase.csv", "by_phrase.tex", "dice_by_phrase.svg"):
        assert f"{file}" in str(caught.value)


@pytest.mark.usefixtures("without_figures")
def test_an_accepted_finding_stands_on_the_page_and_in_the_manifest(usual, tmp_path):
    table, log = tmp_path / "secret" / "names" / "demo.csv", tmp_path / "secret" / "logs" / "report.log"
    write_name_table(table, [Name("patient", "p0123456789", "Catheter^Ina")])
    given = usual.inputs | {"name_tables": [table], "private_log": log}
    with pytest.raises(UserError, match="names the patient p0123456789") as refused:
        render_report(**given, output=tmp_path / "report")
    assert str(log) in str(refused.value)
    assert "Catheter^Ina" in log.read_text()
    assert "atheter" not in str(refused.value)
    assert not (tmp_path / "report").exists()
    render_report(**given, output=tmp_path / "report", accepted=["p0123456789"])
    assert (
        "what was found of\n    p0123456789 was accepted by hand"
        in (tmp_path / "report/index.html").read_text()
    )
    assert read_json(tmp_path / "report/manifest.json")["accepted"] == ["p0123456789"]
