"""One whole run for the tests that only read it, and copies for those that take something away."""

import shutil
from pathlib import Path

import pytest

from tests.report.html.whole_run import write_whole_run


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """To be read only."""
    return write_whole_run(tmp_path_factory.mktemp("runs") / "focal")


@pytest.fixture
def run(whole_run: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(whole_run, tmp_path / "focal"))
