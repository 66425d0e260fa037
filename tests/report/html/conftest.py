"""Copies of the whole run for tests that change it."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def run(whole_run: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may change."""
    return Path(shutil.copytree(whole_run, tmp_path / "focal"))
