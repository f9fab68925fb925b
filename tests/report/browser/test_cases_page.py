"""The cases page as a person uses it, with the mouse and without."""

import json

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco

from refvessel.report.cases_page import write_cases_page
from refvessel.report.sections import read_artifacts
from refvessel.report.wording import written_in

COLOURS = {"agreement": (86, 180, 233), "missed": (240, 228, 66), "false": (213, 94, 0)}
DIFFERENCE = {"both": (86, 180, 233), "first": (230, 159, 0), "second": (204, 121, 167)}
CLEAR = (0, 0, 0, 0)


def column(page, heading):
    """The cells below a heading that are drawn."""
    return page.evaluate(
        """heading => {
            const heads = [...document.querySelectorAll("#list thead th")].map(e => e.textContent.split(" ")[0]);
            const rows = [...document.querySelectorAll("#list tbody tr:not(.space)")];
            return rows.map(row => row.cells[heads.indexOf(heading)].textContent);
        }""",
        heading,
    )


def drawn(page, number=0):
    """The pixels of a canvas: (height, width, 4), uint8."""
    height, width, values = page.evaluate(
        """number => {
            const canvas = document.querySelectorAll("#panels canvas")[number];
            const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return [canvas.height, canvas.width, Array.from(pixels.data)];
        }""",
        number,
    )
    return np.array(values, np.uint8).reshape(height, width, 4)


def coloured(parts, colours):
    """Pixels that have the colour of the part whose mask they lie in."""
    first = next(iter(parts.values()))
    pixels = np.full((*first.shape, 4), CLEAR, np.uint8)
    for name, inside in parts.items():
        pixels[inside] = (*colours[name], 255)
    return pixels


def masks(report, model, sent_id):
    cases = pd.read_parquet(report.root / f"scores/{model}/demo/test/cases.parquet").set_index("sent_id")
    stored = cases.loc[sent_id, ["truth_mask", "predicted_mask"]]
    return [coco.decode(json.loads(text)).astype(bool) for text in stored]


def dice_of(report, model, sent_id):
    cases = pd.read_parquet(report.root / f"scores/{model}/demo/test/cases.parquet")
    return cases.set_index("sent_id").loc[sent_id, "dice"]


def test_the_table_has_every_case_and_the_filters_leave_those_that_fit(open_page):
    page = open_page("cases.html")
    assert page.inner_text("#count") == "28 of 28 cases"
    page.select_option("[name=model]", "second")
    page.select_option("[name=status]", "failed")
    assert (column(page, "Model"), column(page, "Status")) == (["second"], ["failed"])
    page.click("text=Clear filters")
    page.fill("[name=phrase]", "BLOOD")
    page.fill("[name=patient]", "pb")
    assert set(column(page, "Phrase")) == {"blood vessel"}
    assert set(column(page, "Patient")) == {"PB"}
    page.fill("[name=phrase]", "")
    page.select_option("[name=score]", "precision")
    page.fill("[name=least]", "0.6")
    page.fill("[name=most]", "0.9")
    shown = [float(text) for text in column(page, "Precision")]
    assert shown
    assert all(0.6 <= value <= 0.9 for value in shown)


def test_a_heading_sorts_up_and_down(open_page):
    page = open_page("cases.html")
    for arrow, sign in (("\u2191", 1), ("\u2193", -1)):
        page.click("#list thead button:has-text('Dice') >> nth=0")
        assert arrow in page.inner_text("#list thead [aria-sort]")
        shown = [sign * float(text) for text in column(page, "Dice")]
        assert shown == sorted(shown)


@pytest.mark.parametrize("sent_id", [4, 9, 10])
def test_the_canvas_shows_the_masks_of_the_artifact(open_page, report, sent_id):
    page = open_page(f"cases.html#case=demo.demo.test.{sent_id}")
    truth, prediction = masks(report, "demo", sent_id)
    parts = {
        "agreement": truth & prediction,
        "missed": truth & ~prediction,
        "false": prediction & ~truth,
    }
    assert np.array_equal(drawn(page), coloured(parts, COLOURS))
    page.select_option("[name=shown]", "truth")
    assert np.array_equal(drawn(page)[..., 3] > 0, truth)
    page.select_option("[name=shown]", "image")
    assert not drawn(page).any()


def test_two_models_stand_side_by_side_or_as_their_difference(open_page, report):
    page = open_page("cases.html#case=demo.demo.test.4")
    page.select_option("[name=other]", "second")
    assert page.locator("#panels figcaption").all_inner_texts() == [
        f"{model}: Dice {dice_of(report, model, 4):.3f}" for model in ("demo", "second")
    ]
    page.select_option("[name=shown]", "prediction")
    (_, one), (_, two) = (masks(report, model, 4) for model in ("demo", "second"))
    assert np.array_equal(drawn(page, 1)[..., 3] > 0, two)
    page.select_option("[name=way]", "difference")
    parts = {"both": one & two, "first": one & ~two, "second": two & ~one}
    assert np.array_equal(drawn(page), coloured(parts, DIFFERENCE))


def test_the_sliders_change_what_is_seen(open_page):
    page = open_page("cases.html#case=demo.demo.test.4")
    for name, value in (("opacity", "30"), ("brightness", "150"), ("zoom", "4")):
        page.locator(f"[name={name}]").fill(value)
    seen = (
        "e => [e.style.width, e.querySelector('canvas').style.opacity, e.querySelector('img').style.filter]"
    )
    assert page.locator(".stage").evaluate(seen) == ["400%", "0.3", "brightness(150%)"]


def test_everything_works_by_keyboard_alone(open_page):
    page = open_page("cases.html")
    page.locator("[name=data]").focus()
    page.keyboard.press("ArrowDown")
    page.locator("[name=phrase]").focus()
    page.keyboard.type("blood")
    page.locator("#list thead button").last.focus()
    page.keyboard.press("Enter")
    assert page.locator("#list thead [aria-sort]").count() == 1
    page.keyboard.press("Tab")  # to the rows
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator("#viewer").is_visible()
    position = page.inner_text("#position")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#position") != position
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#position") == position
    page.locator("[name=previous]").focus()
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#position").startswith("1 of")
    page.keyboard.press("Enter")  # leads to nothing, and the focus stays
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#position") == position
    page.locator("[name=opacity]").focus()
    page.keyboard.press("ArrowLeft")
    assert page.input_value("[name=opacity]") == "69"
    assert page.inner_text("#position") == position
    page.locator("[name=other]").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#panels figure").count() == 2
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()
    assert page.evaluate("document.activeElement.dataset.place") is not None


def test_scores_answer_and_error_stand_beside_the_masks(open_page, report):
    page = open_page("cases.html#case=demo.demo.test.3")
    assert "status failed" in page.inner_text("#said")
    assert "out of memory <b>" in page.inner_text("#said")
    page.keyboard.press("ArrowRight")
    assert "Sure, [SEG]." in page.inner_text("#said")
    cases = pd.read_parquet(report.root / "scores/demo/demo/test/cases.parquet").set_index("sent_id")
    cells = "rows => rows.map(row => [row.cells[0].textContent, row.cells[1].textContent])"
    shown = dict(page.locator("#scores tbody tr").evaluate_all(cells))
    assert shown["HD95 (px)"] == f"{cases.loc[4, 'hd95']:.3f}"
    assert shown["Dice"] == f"{cases.loc[4, 'dice']:.3f}"


def test_an_unknown_case_is_said_to_be_unknown(open_page):
    page = open_page("cases.html#case=demo.demo.test.999")
    assert page.inner_text("#count") == "This report has no case demo.demo.test.999."


def test_the_report_leads_to_the_cases_of_an_evaluation(open_page):
    page = open_page("index.html")
    page.click("section#second\\.demo\\.test >> text=Every case")
    assert page.inner_text("#count") == "10 of 28 cases"


def test_a_run_plays_and_its_strip_leads_to_each_frame(open_page, report):
    page = open_page("cases.html#case=demo.films.test.2")
    assert page.inner_text("#moment").startswith("frame 2 of 4, Dice 0.")
    assert page.locator("#strip button").count() == 4
    points = page.locator("#curve path").get_attribute("d").replace("M", "L").split("L")[1:]
    cases = pd.read_parquet(report.root / "scores/demo/films/test/cases.parquet").set_index("sent_id")
    heights = [80 - 5 - 70 * cases.loc[sent_id, "dice"] for sent_id in (1, 2, 3, 4)]
    assert [float(point.split()[1]) for point in points] == pytest.approx(heights, abs=0.01)
    page.click("#strip button >> nth=0")
    assert page.evaluate("location.hash") == "#case=demo.films.test.1"
    page.locator("[name=play]").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/*#case=demo.films.test.4")
    page.wait_for_url("**/*#case=demo.films.test.1")
    page.keyboard.press("Enter")
    stopped = page.url
    page.wait_for_timeout(600)
    assert page.url == stopped
    page.goto(page.url.partition("#")[0] + "#case=demo.demo.test.2")
    assert not page.locator("#sequence").is_visible()


def test_it_speaks_chinese(open_page, report):
    one = report.evaluations[0]
    given = {"checkpoint": report.checkpoints["demo"], "dataset": report.datasets["demo"]}
    folder = report.root / "report/zh"
    folder.mkdir()
    with written_in("zh"):
        write_cases_page([read_artifacts(one, **given)], folder)
    page = open_page("zh/cases.html#case=demo.demo.test.4")
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    assert page.inner_text("button[name=next]") == "下一个"
    assert "断裂" in page.inner_text("#looks")
    assert f"Dice {dice_of(report, 'demo', 4):.3f}" in page.inner_text("#panels figcaption")
    page.keyboard.press("Escape")
    page.fill("[name=phrase]", "blood")
    assert page.inner_text("#count") == "10 个病例中的 3 个"
