"""Reading a folder in one format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.formats import read_records


@pytest.fixture
def read(source) -> Callable[..., list]:
    """All records of the source; UserError with all its problems."""

    def run(source_format: str, root: Path = source.root, **options: Any) -> list:
        problems = Problems()
        records = list(read_records(source_format, root, options, problems))
        problems.raise_any()
        return records

    return run
