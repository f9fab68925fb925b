"""What holds of every page: in the light and in the dark, on a phone, on paper, by keyboard."""

import io
import unicodedata

import pypdf
import pytest

PAGES = ("index.html", "cases.html", "cases.html#case=demo.demo.test.4", "cases.html#case=demo.films.test.2")
PHONE = {"width": 400, "height": 800}
# What reaches beyond the right edge and lies in nothing that scrolls.
LOST = """() => [...document.querySelectorAll("body *")].filter(element => {
    const box = element.getBoundingClientRect();
    if (box.width === 0 || box.right <= innerWidth + 1) return false;
    for (let around = element; around !== document.body; around = around.parentElement)
        if (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(around).overflowX)) return false;
    return true;
}).map(element => element.outerHTML.slice(0, 200))"""
# Boxes that scroll and that no key reaches.
OUT_OF_REACH = """() => [...document.querySelectorAll("body *")].filter(element =>
    ["auto", "scroll"].includes(getComputedStyle(element).overflowX)
    && element.scrollWidth > element.clientWidth && element.tabIndex < 0
    && !element.matches("dialog, html, body")).map(element => element.outerHTML.slice(0, 200))"""


def sheets(page):
    """The text of each sheet as Chromium prints the page, without spaces and ligatures."""
    document = pypdf.PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    for sheet in document.pages:
        yield "".join(unicodedata.normalize("NFKC", sheet.extract_text()).split())


@pytest.mark.parametrize("address", PAGES)
def test_nothing_is_lost_on_a_phone(open_page, address):
    page = open_page(address, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate(LOST) == []
    assert page.evaluate(OUT_OF_REACH) == []
    for box in page.locator("dialog[open]").all():
        assert box.evaluate("e => e.scrollWidth - e.clientWidth") <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", PAGES)
def test_axe_finds_nothing(open_page, address, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = open_page(address, color_scheme=scheme)
    if "#" in address:
        other = page.locator("[name=other]")
        if other.is_enabled():
            page.select_option("[name=other]", "second")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_dark_is_dark_and_light_is_light(open_page):
    for address in ("index.html", "cases.html"):
        grounds = [
            open_page(address, color_scheme=scheme).evaluate(
                "getComputedStyle(document.body).backgroundColor"
            )
            for scheme in ("light", "dark")
        ]
        lightness = [sum(map(int, ground[4:-1].split(","))) / 3 for ground in grounds]
        assert lightness[0] > 200
        assert lightness[1] < 50


def test_what_is_folded_is_on_paper(open_page):
    page = open_page("index.html")
    folded = page.locator("details:not(nav details) :is(dd, li)")
    seen = "all => all.filter(e => e.checkVisibility() && e.getClientRects().length).length"
    assert folded.evaluate_all(seen) == 0
    first = "".join(page.locator(".identity dd").first.text_content().split())
    assert any(first in text for text in sheets(page))
    page.emulate_media(media="print")
    assert folded.evaluate_all(seen) == folded.count() > 20


def test_no_table_is_cut_on_paper(open_page):
    page = open_page("index.html", viewport={"width": 1030, "height": 700})  # A4 less its margins
    page.emulate_media(media="print")
    assert page.evaluate(LOST) == []


def test_every_row_of_the_cases_page_is_on_paper(open_page):
    page = open_page("cases.html", viewport={"width": 1280, "height": 300})
    before = page.locator("#list tbody tr:not(.space)").count()
    assert before < 28
    text = "".join(sheets(page))
    assert "28of28cases" in text
    assert (text.count("demo·test"), text.count("films·test")) == (20, 8)
    assert page.locator("#list tbody tr:not(.space)").count() == before


def test_an_open_case_is_on_paper_alone(open_page):
    text = "".join(sheets(open_page("cases.html#case=demo.demo.test.4")))
    assert "agreement:vesselinboth" in text
    assert "BoundaryIoU" in text
    assert "28cases" not in text
    assert "bloodvessel" not in text  # of the rows below it


def test_links_lead_somewhere(open_page, report):
    for address in ("index.html", "cases.html"):
        page = open_page(address)
        inside = page.locator("a[href^='#']").evaluate_all(
            "all => all.map(e => e.getAttribute('href').slice(1))"
        )
        known = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        assert set(inside) - {""} <= set(known)
        outside = page.locator("a:not([href^='#'])[href]").evaluate_all(
            "all => all.map(e => decodeURIComponent(e.getAttribute('href')))"
        )
        assert outside
        for target in set(outside):
            assert (report.root / "report" / target.partition("#")[0]).is_file()


def test_the_first_screen_has_a_score_and_where_nothing_is_to_be_warned_of_an_image(open_page):
    page = open_page("index.html", viewport={"width": 1280, "height": 900})
    assert page.locator(".value").first.bounding_box()["y"] < 800
    page.locator(".warning").evaluate_all("warnings => warnings.forEach(each => each.remove())")
    assert page.locator("figure img").first.bounding_box()["y"] < 800


def test_the_report_is_read_by_keyboard_alone(open_page):
    page = open_page("index.html")
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        focus = "(e => [e.tagName, getComputedStyle(e).outlineStyle])(document.activeElement)"
        tag, outline = page.evaluate(focus)
        assert outline != "none", tag
        seen.add(tag)
        if tag == "SUMMARY":
            page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.parentElement.open")
    assert {"A", "DIV", "SUMMARY"} <= seen  # links, tables that scroll, folded parts
