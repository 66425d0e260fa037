"""One whole run for tests that only read it, and copies for tests that change it."""

import shutil
from pathlib import Path

import pytest

from tests.report.html.whole_run import write_whole_run


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that tests only read."""
    return write_whole_run(tmp_path_factory.mktemp("runs") / "focal")


@pytest.fixture
def run(whole_run: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may change."""
    return Path(shutil.copytree(whole_run, tmp_path / "focal"))
