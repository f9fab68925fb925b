"""A real Chromium, without any network, and a report to be looked at in which texts of others are hostile."""

import shutil

import numpy as np
import pytest
from hostile_texts import ANSWER, ERROR, FILE, FORMULA, HEBREW, LONG, MARKUP, PATIENT
from made_up_runs import run_of, write_layout
from stages import render_report, score_sequences

from refvessel.report.run_told import RunTold


@pytest.fixture(scope="session")
def chromium():
    driver = pytest.importorskip(
        "playwright.sync_api", reason="the driver is not installed (`make test-browser` installs it)"
    )
    if (program := shutil.which("chromium")) is None:
        pytest.skip("no Chromium (`make test-browser` installs it)")
    with driver.sync_playwright() as playwright:
        # Its sandbox cannot be had as root; nothing but our own pages is opened.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report(chromium, tmp_path_factory, new_workspace, make_cases, vessel):
    """A workspace with the report of two models, the second of which draws two pixels lower, and of two runs."""
    workspace = new_workspace(tmp_path_factory.mktemp("browser") / "results")
    cases = make_cases(("blood vessel", MARKUP))
    for place, phrase in ((4, LONG), (6, FORMULA), (7, HEBREW)):
        cases[place] |= {"phrase": phrase, "answer": ANSWER}
    cases[2]["error"] = ERROR
    for case in cases[8:]:  # of another shape than a square
        case |= {"image_id": FILE, "patient": PATIENT}
        case |= {name: case[name][:40] for name in ("truth", "prediction")}
    workspace.add(cases)
    lower = [case | {"prediction": np.roll(case["prediction"], 2, axis=0)} for case in cases]
    workspace.add(lower, model="second")
    workspace.compare()
    frames = [*run_of(vessel, "PA", 3, 4), *run_of(vessel, "PB", 1, 4)]
    scores = workspace.add(frames, dataset="films")
    films = workspace.datasets["films"]
    write_layout(films, frames)
    score_sequences(
        cases=scores / "cases.parquet", dataset=films, split="test", output=scores, bootstrap_draws=100
    )
    workspace.benchmarks = workspace.root / "benchmarks"
    measured = workspace.benchmarks / "convert/demo.tsv"
    measured.parent.mkdir(parents=True)
    measured.write_text("s\tmax_rss\tcpu_time\n7\t512.5\t3\n")
    configuration = {
        "models": {"demo": {"checkpoint": LONG}},
        "inference": {"question": MARKUP, "threads": 2},
    }
    run = RunTold(f"snakemake --cores 2 --{'x' * 200} {FORMULA}", configuration)
    render_report(**workspace.inputs, output=workspace.root / "report", run=run)
    return workspace


@pytest.fixture
def open_page(chromium, report):
    """A function: name of a file with what follows it, and looks -> the page; fails on requests and errors."""
    contexts, unwanted = [], []

    def opened(name: str, **looks):
        context = chromium.new_context(**looks)
        contexts.append(context)
        page = context.new_page()
        address = (report.root / "report").as_uri()
        page.on("console", lambda message: unwanted.append(message.text))
        page.on("pageerror", lambda error: unwanted.append(str(error)))
        own = (f"{address}/", "data:")
        page.on(
            "request", lambda asked: asked.url.startswith(own) or unwanted.append(f"asks for {asked.url}")
        )
        page.goto(f"{address}/{name}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert unwanted == []
