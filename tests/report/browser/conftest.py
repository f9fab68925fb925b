"""A real Chromium, without any network, and a report of two models to be looked at."""

import shutil

import numpy as np
import pytest
from stages import render_report

HOSTILE = (
    "</script><script>document.title = 'taken'</script>"
    "<img src=x onerror=\"document.title = 'taken'\">=1+1 \u2028 \u202egnp"
)
LONG = "vessel " * 1500  # 10,000 characters


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
def report(chromium, tmp_path_factory, new_workspace, make_cases):
    """A workspace with the report of two models, the second of which draws two pixels lower."""
    workspace = new_workspace(tmp_path_factory.mktemp("browser") / "results")
    cases = make_cases(("blood vessel", HOSTILE))
    cases[4]["phrase"] = LONG
    workspace.add(cases)
    lower = [case | {"prediction": np.roll(case["prediction"], 2, axis=0)} for case in cases]
    workspace.add(lower, model="second")
    render_report(**workspace.inputs, output=workspace.root / "report")
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
