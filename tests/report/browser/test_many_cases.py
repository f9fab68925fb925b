"""Five thousand cases of 512x512: what a person waits for, in the seconds that the page computes."""

import cases_page
import pytest

from refvessel.report.cases_page import write_cases_page

BARS = {
    "first paint": 2.0,
    "page ready": 2.0,
    "filter by phrase": 0.5,
    "sort": 0.5,
    "open a case": 1.0,
    "next case": 1.0,
}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The folder of the cases page, with its pictures beside it."""
    folder, output = (tmp_path_factory.mktemp(name) for name in ("many", "report"))
    write_cases_page([cases_page.made_up(5000, 100, folder)], output)
    return output


def test_nobody_waits_for_five_thousand_cases(chromium, many):
    page = chromium.new_page()
    seconds = cases_page.browsed(page, many / "cases.html")
    assert page.inner_text("#count") == "2500 of 5000 cases"
    assert page.locator("#list tbody tr").count() < 100
    page.close()
    assert seconds.keys() == BARS.keys()
    assert {name: cpu for name, (_, cpu) in seconds.items() if cpu >= BARS[name]} == {}
