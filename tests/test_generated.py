"""What is made from the settings is not stale, and every setting is told in it."""

from pathlib import Path

import generate
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("path", generate.generated())
def test_a_generated_file_says_what_the_settings_say(path):
    assert (ROOT / path).read_text("utf-8") == generate.generated()[path], "run `make generate`"


def test_comments_change_no_value():
    values = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    assert yaml.safe_load(generate.commented(values)) == values
