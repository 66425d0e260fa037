"""python train.py -m hydra/sweeper=design"""

from pathlib import Path

import pytest

from lightning_liver.comparison.runs import read_runs
from tests.apps.commands import call
from tests.apps.test_sweep import sweep

DESIGN = ("hydra/sweeper=design", "hydra.sweeper.factors={loss:[bce,dice],data.context:[0,1]}")


@pytest.mark.slow
def test_runs_the_design_for_each_seed_and_tells_the_effects(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = sweep(scans, *DESIGN, "trainer.max_epochs=1", "seed=0,1")
    code, output = call("train", *arguments, "estimate=true", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert "8 runs, 0 of them done" in output
    code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    runs = read_runs([tmp_path / "multirun"])
    made = [(run.settings["loss._target_"], run.settings["data.context"], run.seed) for run in runs]
    assert len(set(made)) == 8
    code, output = call("compare", "multirun", "--effects", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    for text in ("Effects on tumour Dice", "\ndata.context", "\nloss ", "Of 4 configurations"):
        assert text in output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("hydra.sweeper.factors={}",), "hydra.sweeper.factors"),
        (("hydra.sweeper.factors={loss:[bce]}",), "loss has the levels bce"),
        (("hydra.sweeper.factors={loss:[bce,nothing]}",), "nothing"),
        (("hydra.sweeper.factors={loss:[bce,dice]}", "loss=focal"), "cannot be set beside it"),
        (("hydra.sweeper.factor={loss:[bce,dice]}",), "factor"),
    ],
)
def test_a_wrong_design_is_reported(
    scans: Path, tmp_path: Path, arguments: tuple[str, ...], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *sweep(scans, "hydra/sweeper=design", *arguments), folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert told in output
    assert "Traceback" not in output
