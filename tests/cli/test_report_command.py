"""`refvessel report --open`."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from refvessel.cli import report_command
from refvessel.cli.app import app

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function: whether there is a browser -> what is said, what was rendered, and what was opened."""

    def called(has_browser):
        rendered, opened = [], []
        monkeypatch.setattr(report_command, "render", lambda _, folder: rendered.append(folder))
        monkeypatch.setattr(
            report_command.webbrowser, "open", lambda address: opened.append(address) or has_browser
        )
        given = [
            "report",
            "--config",
            str(ROOT / "config.yaml"),
            "--output",
            str(tmp_path / "report"),
            "--open",
        ]
        done = CliRunner().invoke(app, given)
        assert done.exit_code == 0, done.output
        return done.output, rendered, opened

    return called


def test_a_report_that_is_there_is_shown_as_it_is(run, tmp_path):
    page = tmp_path / "report/index.html"
    page.parent.mkdir()
    page.touch()
    assert run(has_browser=True) == ("", [], [page.as_uri()])


def test_one_that_is_not_is_rendered_and_without_a_browser_its_place_is_told(run, tmp_path):
    said, rendered, opened = run(has_browser=False)
    page = tmp_path / "report/index.html"
    assert rendered == [tmp_path / "report"]
    assert opened == [page.as_uri()]
    assert str(page) in said.replace("\n", "")


def test_without_a_configuration_it_is_the_one_that_a_run_reads(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(report_command, "render", lambda settings, _: seen.append(settings.report.language))
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["report"]).exit_code == 0
    own = (ROOT / "config.yaml").read_text("utf-8").replace("language: en", "language: zh")
    (tmp_path / "config.yaml").write_text(own, "utf-8")
    assert CliRunner().invoke(app, ["report"]).exit_code == 0
    assert seen == ["en", "zh"]
