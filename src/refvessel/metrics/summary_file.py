"""Reading `summary.json` without the list of its cases, which may be a million."""

from pathlib import Path
from typing import Any

from refvessel.files import read_json
from refvessel.long_json import ReadWholeError, ignored, read_around_lists

METRIC_PER_CASE = "metric_per_case"  # nnU-Net's name for the list of the cases


def read_summary(path: Path) -> Any:
    """What the file says of all cases; raises UserError where it is missing or is not JSON."""
    try:
        return read_around_lists(path, {METRIC_PER_CASE: ignored})
    except ReadWholeError:
        return read_json(path)
