"""resume=RUN from elsewhere, under any name, with data that were moved."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from lightning_liver.commands import train as training
from lightning_liver.config import compose
from tests.apps.commands import SMALL, call


def run_folder(path: Path, root: str) -> Path:
    (path / ".hydra").mkdir(parents=True)
    OmegaConf.save(compose("train", [*SMALL, f"data.root={root}"]), path / ".hydra" / "config.yaml")
    return path


@pytest.mark.parametrize("name", ["run", "it's a run", "a = b, {c}"])
def test_a_run_is_resumed_under_any_name_and_with_moved_data(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[Any] = []

    def train(cfg: DictConfig, folder: Path) -> dict[str, float]:
        seen.append((cfg.data.root, cfg.trainer.max_epochs, folder))
        return {}

    monkeypatch.setattr(training, "train", train)
    folder = run_folder(tmp_path / name, "/gone")
    given = [f"resume={folder}", "data.root=it's moved", "trainer.max_epochs=3"]
    code, output = call("train", *given, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert seen == [(str(tmp_path / "it's moved"), 3, folder)]


def test_a_resumed_run_is_not_another_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path / "run", "/gone")
    code, output = call("train", f"resume={folder}", "loss=bce", folder=tmp_path, capfd=capfd)
    assert code == 2
    assert "where its data lie now (data.root" in output
