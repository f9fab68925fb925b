"""How long the cases page takes: written, and in Chromium until it is seen, filtered and a case is opened.

    PYTHONPATH=.venv/browser .venv/bin/python benchmarks/cases_page.py [--cases 5000] [--images 1000]

Makes vessel-like masks of 512x512 with every score, spread over images of noise, and writes the page from them as
the report does, with the search for a hundred names. Seconds in the browser are its own: from navigation to the
first paint with contents; from a filter's input, and from the opening of a case, to the frame that shows it. Of
each, CPU is what the page's own thread computed: the same on a busy machine.
Scoring and the other parts of the report are left out. Prints a Markdown table.
"""

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image
from scipy import ndimage

from refvessel import rle
from refvessel.metrics.breaks_table import BREAKS_SCHEMA
from refvessel.metrics.policy import SCORES
from refvessel.parquet_file import write_parquet
from refvessel.privacy.check import check_privacy
from refvessel.privacy.name_tables import Name, write_name_table
from refvessel.report.cases_page import write_cases_page
from refvessel.report.sections import Artifacts, Evaluation

SIDE = 512  # pixels
PAIRS = 50  # different pairs of masks
ACTS = {
    "filter by phrase": "f.phrase.value = 'catheter'; f.phrase.dispatchEvent(new Event('input', {bubbles: true}))",
    "sort": "document.querySelector('#list thead button[data-column=dice]').click()",
    "open a case": "document.querySelector('#list button[data-place]').click()",
    "next case": "document.querySelector('button[name=next]').click()",
}
TIMED = """async () => {{
    const f = document.forms.filters;
    const start = performance.now();
    {act};
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    return performance.now() - start;
}}"""


def made_up(cases: int, images: int, folder: Path) -> Artifacts:
    """An evaluation of `cases` expressions on `images` images below `folder`."""
    random = np.random.default_rng(0)
    places = {f"image{number:05d}": folder / f"image{number:05d}.png" for number in range(images)}
    for path in places.values():
        noise = random.normal(120, 12, (SIDE // 4, SIDE // 4)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noise).resize((SIDE, SIDE)).save(path, compress_level=1)
    pairs = [vessel_pair(seed) for seed in range(PAIRS)]
    names = list(places)
    table = pd.DataFrame(
        {
            "sent_id": range(cases),
            "image_id": [names[number % images] for number in range(cases)],
            "phrase": [("blood vessel", "catheter")[number % 2] for number in range(cases)],
            "patient": [f"p{number % 100:010x}" for number in range(cases)],
            "status": "ok",
            "error": None,
            "height": SIDE,
            "width": SIDE,
            "predicted_iou": random.random(cases),
            **{score: random.random(cases) for score in SCORES},
            "truth_mask": [varied(pairs[number % PAIRS][0], number) for number in range(cases)],
            "predicted_mask": [varied(pairs[number % PAIRS][1], number) for number in range(cases)],
            "ignore_mask": None,
        }
    )
    predictions = folder / "predictions.parquet"
    answers = pa.table({"sent_id": table["sent_id"], "answer": ["Sure, [SEG]."] * cases})
    write_parquet(predictions, answers, {})
    return Artifacts(
        evaluation=Evaluation("model", "data", "test", scores_dir=folder, predictions=predictions),
        cases=table,
        shown=table,
        breaks=pd.DataFrame(columns=BREAKS_SCHEMA.names),
        thresholds=None,
        summary={"settings": {"distance_unit": "px"}},
        images=places,
        dataset=None,
        conversion=None,
        sources={},
    )


def vessel_pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A branching tree and a prediction that is shifted and of another width; bool, (SIDE, SIDE)."""
    random = np.random.default_rng(seed)
    lines = np.ones((SIDE, SIDE), bool)
    for _ in range(6):
        angles = random.uniform(0, 2 * np.pi) + random.normal(0, 0.08, 300).cumsum()
        steps = np.stack([np.sin(angles), np.cos(angles)]).cumsum(axis=1)
        row, column = (random.uniform(60, SIDE - 60, (2, 1)) + steps).clip(0, SIDE - 1).astype(int)
        lines[row, column] = False
    distance = ndimage.distance_transform_edt(lines)
    return distance < 4, np.roll(distance < 5, (2, -1), axis=(0, 1))


def varied(mask: np.ndarray, number: int) -> rle.RLE:
    """A mask that no other case has: its last column holds its number in bits."""
    pixels = mask.copy()
    pixels[:16, -1] = [int(bit) for bit in f"{number:016b}"]
    return rle.encode(pixels)


def browsed(page: Any, page_file: Path) -> dict[str, tuple[float, float]]:
    """Seconds and CPU seconds of what a person waits for; `page` is Playwright's, the first is opened in it."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def computed() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "TaskDuration")

    before = computed()
    page.goto(page_file.as_uri())
    page.wait_for_selector("#list button[data-place]")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    ready = page.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart")
    cpu = computed() - before  # of both: what comes first is not told apart
    seconds = {"first paint": (paint / 1000, cpu), "page ready": (ready / 1000, cpu)}
    for name, act in ACTS.items():
        before = computed()
        waited = page.evaluate(TIMED.format(act=act)) / 1000
        seconds[name] = (waited, computed() - before)
    return seconds


def browsed_by_chromium(page_file: Path) -> dict[str, tuple[float, float]]:
    """`browsed` in a Chromium of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        seconds = browsed(browser.new_page(), page_file)
        browser.close()
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--images", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        made, output, names = (Path(temporary) / name for name in ("made", "report", "names/a.csv"))
        made.mkdir()
        output.mkdir()
        artifacts = made_up(options.cases, options.images, made)
        start, cpu = time.perf_counter(), time.process_time()
        write_cases_page([artifacts], output)
        rows = {"write": (time.perf_counter() - start, time.process_time() - cpu)}
        write_name_table(
            names, [Name("patient", f"p{n:010x}", f"Surname{n:03d}^Given{n:03d}") for n in range(100)]
        )
        start, cpu = time.perf_counter(), time.process_time()
        check_privacy(output, [names])
        rows["search for names"] = (time.perf_counter() - start, time.process_time() - cpu)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file()) / 1e6
        page = (output / "cases.html").stat().st_size / 1e6
        print(f"{options.cases} cases, {options.images} images, peak {peak:.0f} MB:")
        print(f"the page has {page:.1f} MB, with its pictures {size:.1f} MB\n")
        rows |= browsed_by_chromium(output / "cases.html")
        print("| | seconds | CPU seconds |\n| --- | ---: | ---: |")
        for name, (seconds, cpu) in rows.items():
            print(f"| {name} | {seconds:.2f} | {cpu:.2f} |")


if __name__ == "__main__":
    main()
