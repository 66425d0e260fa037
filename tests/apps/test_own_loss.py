"""A config folder of the user's own, given by --config-dir."""

import csv
from pathlib import Path

import pytest

from tests.apps.commands import run, small_run
from tests.losses.test_own_loss import FUNCTION, YAML


@pytest.mark.slow
def test_own_loss_trains_and_is_measured_beside_all_others(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "own_losses.py").write_text(FUNCTION)
    (tmp_path / "own" / "loss").mkdir(parents=True)
    (tmp_path / "own" / "loss" / "powered.yaml").write_text(YAML)
    options = ("loss=powered", "test_losses=all", "trainer.max_epochs=1")
    code, output = run("train", "--config-dir", "own", *small_run(scans, "run", *options), folder=tmp_path)
    assert code == 0, output
    with (tmp_path / "run" / "losses.csv").open(newline="") as file:
        assert {"powered", "dice"} <= {row["loss"] for row in csv.DictReader(file)}
