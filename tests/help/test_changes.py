"""trainer=gpu was a recipe and is a device: said once."""

from pathlib import Path

import pytest

from lightning_liver.help.changes import told_once


def test_old_use_of_trainer_gpu_is_answered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert told_once(["experiment=full_resolution", "trainer=gpu"]) is None
    assert told_once(["trainer=cpu"]) is None
    first = told_once(["loss=focal", "trainer=gpu"])
    assert first is not None
    assert "experiment=full_resolution trainer=gpu" in first
    assert told_once(["trainer=gpu"]) is None


def test_home_that_cannot_be_written_to_hears_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert told_once(["trainer=gpu"])
    assert told_once(["trainer=gpu"])
