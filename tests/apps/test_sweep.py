"""python train.py -m"""

import json
from pathlib import Path

import pytest

from tests.apps.commands import call, small_run


def sweep(scans: Path, *arguments: str) -> list[str]:
    plain = [a for a in small_run(scans, "unused", "trainer.max_epochs=1") if not a.startswith("hydra.run.dir")]
    return ["-m", *plain, *arguments]


def state(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")}


def test_the_same_sweep_again_skips_what_is_complete_and_runs_the_rest(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = sweep(scans, "loss=bce,focal", "seed=0,1")
    code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    (study,) = (tmp_path / "multirun").iterdir()
    runs = sorted(path.parent for path in study.glob("*/metrics.json"))
    assert len(runs) == 4
    assert not [run for run in runs if set(run.name) & set("=,/ ")]
    assert sum("loss-focal" in run.name for run in runs) == 2
    kept = json.loads((runs[0] / "metrics.json").read_text())
    (runs[0] / "metrics.json").unlink()
    before = state(study)
    code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert output.count("is complete") == 3
    assert state(study) == before
    assert json.loads((runs[0] / "metrics.json").read_text()) == kept


def test_a_failed_job_is_told_and_does_not_stop_the_others(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *sweep(scans, "model.depth=0,2"), folder=tmp_path, capfd=capfd)
    assert code == 2
    assert "FAILED: model.depth" in output
    assert len(list((tmp_path / "multirun").glob("*/*/metrics.json"))) == 1
    assert any("FAILED" in path.read_text() for path in (tmp_path / "multirun").glob("*/*/train.log"))
