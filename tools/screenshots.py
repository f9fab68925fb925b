"""The pictures of README and docs, from a finished report.

    make screenshots

Writes report.png (the first screen), report-case.png, report-comparison.png, report-dark.png and report-phone.png.
The case is the fifth by clDice among those of the first model and data set that have several breaks.
"""

import argparse
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

SCREEN, PHONE = {"width": 1280, "height": 900}, {"width": 400, "height": 800}
FEWEST_BREAKS = 5  # of the case that is shown
LARGEST = 200_000  # bytes of a picture; what is larger has COLOURS colours
COLOURS = 256


class Shot(NamedTuple):
    """A picture: its name, the page and what is done there before it is taken, and how the page is looked at."""

    name: str
    page: str
    act: Callable[[Page], Any] | None
    looks: dict[str, Any]


def open_case(page: Page) -> None:
    """Open the case that shows most."""
    page.select_option("[name=model]", index=1)
    page.select_option("[name=data]", index=1)
    page.select_option("[name=score]", "breaks")
    page.fill("[name=least]", str(FEWEST_BREAKS))
    page.click("#list button[data-column=cldice]")
    page.click("#list button[data-place='4']")


def compare(page: Page) -> None:
    """The same case beside that of the next model."""
    open_case(page)
    page.select_option("[name=other]", index=1)


SHOTS = (
    Shot("report.png", "index.html", None, {"viewport": SCREEN}),
    Shot("report-case.png", "cases.html", open_case, {"viewport": SCREEN}),
    Shot("report-comparison.png", "cases.html", compare, {"viewport": SCREEN}),
    Shot("report-dark.png", "index.html", None, {"viewport": SCREEN, "color_scheme": "dark"}),
    Shot("report-phone.png", "cases.html", open_case, {"viewport": PHONE}),
)


def take(browser: Browser, report: Path, shot: Shot, output: Path) -> None:
    """Write one picture."""
    page = browser.new_page(**shot.looks)
    page.goto(f"{report.resolve().as_uri()}/{shot.page}")
    if shot.act is not None:
        shot.act(page)
    page.evaluate("document.activeElement.blur()")
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.save(output / shot.name, optimize=True)
    if (output / shot.name).stat().st_size >= LARGEST:
        of_few_colours(picture).save(output / shot.name, optimize=True)
    page.close()


def of_few_colours(picture: Image.Image) -> Image.Image:
    """The picture in COLOURS colours: half of them the most frequent, half spread, so that legends keep theirs."""
    counted = sorted(picture.getcolors(picture.width * picture.height) or [], reverse=True)
    frequent = [band for _, colour in counted[: COLOURS // 2] for band in colour]
    spread = picture.quantize(COLOURS // 2, Image.Quantize.MAXCOVERAGE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(frequent + spread[: 3 * (COLOURS // 2)])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("report", type=Path, help="folder of the report")
    parser.add_argument("output", type=Path, help="folder to write to")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for shot in SHOTS:
            take(browser, options.report, shot, options.output)
        browser.close()


if __name__ == "__main__":
    main()
