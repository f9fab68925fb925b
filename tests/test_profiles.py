"""The profile that local runs load by themselves."""

import importlib.util
import io
import sys
from pathlib import Path

import pytest
from snakemake.profiles import ProfileConfigFileParser

PROFILE = Path(__file__).parents[1] / "profiles/default/profile.yaml"


class Terminal(io.StringIO):
    """A stream on which somebody looks."""

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "is_installed", "logger"),
    [(Terminal(), True, "rich"), (Terminal(), False, None), (io.StringIO(), True, None)],
    ids=["terminal", "terminal without the plugin", "file"],
)
def test_progress_is_drawn_on_a_terminal_where_its_plugin_is_installed(
    monkeypatch, stream, is_installed, logger
):
    found = importlib.util.find_spec
    plugin = "snakemake_logger_plugin_rich"
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: is_installed if name == plugin else found(name)
    )
    monkeypatch.setattr(sys, "stderr", stream)
    with PROFILE.open() as file:
        options = ProfileConfigFileParser().parse(file)
    assert options.get("logger") == logger
    assert options["rerun-incomplete"] == "True"
