"""The pictures of the documentation are of this report's pages, and small."""

from pathlib import Path

import pytest
from PIL import Image

screenshots = pytest.importorskip("screenshots", reason="the driver is not installed", exc_type=ImportError)
DOCS = Path(__file__).parents[3] / "docs"


def test_the_first_screen_is_taken(chromium, report, tmp_path):
    for shot in (shot for shot in screenshots.SHOTS if shot.act is None):
        screenshots.take(chromium, report.root / "report", shot, tmp_path)
        with Image.open(tmp_path / shot.name) as picture:
            assert picture.size == tuple(shot.looks["viewport"].values())
        assert (tmp_path / shot.name).stat().st_size < screenshots.LARGEST


@pytest.mark.parametrize("shot", screenshots.SHOTS, ids=lambda shot: shot.name)
def test_every_picture_is_in_the_documentation(shot):
    assert (DOCS / shot.name).stat().st_size < screenshots.LARGEST
    assert any(f"]({shot.name})" in page.read_text("utf-8") for page in DOCS.glob("*.md"))
