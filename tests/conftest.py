"""Fixtures that every test may use."""

from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder shared with developers and CI; tests that need it skip, saying so, where it is absent."""
    folder = _ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"the shared test data {folder.name}/ is not beside the project")
    return folder


@pytest.fixture(scope="session")
def parity(shared: Path) -> Path:
    """The parity cases: the official code's results on a very small model."""
    return shared / "parity" / "internvl_qwen2"
