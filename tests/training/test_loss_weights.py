"""Weights of a sum of losses in a training run."""

from pathlib import Path

import pytest
import torch

from lightning_liver.runs.scalars import read_scalars
from tests.apps.commands import call, small_run


def curve(folder: Path, name: str) -> list[float]:
    return [point.value for point in read_scalars(folder / "tensorboard")[name]]


def test_weights_move_by_epoch_and_are_logged_with_their_terms(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *small_run(scans, "run", "loss=dice_boundary"), folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert curve(tmp_path / "run", "train/weight/region") == pytest.approx([1.0, 0.99])
    assert curve(tmp_path / "run", "train/weight/boundary") == pytest.approx([0.0, 0.01])
    assert all(value > 0 for name in ("region", "boundary") for value in curve(tmp_path / "run", f"train/loss/{name}"))


@pytest.mark.slow
def test_resumed_run_goes_on_with_the_weights_of_the_whole_one(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One weight needs the means of the epoch before, the other the fraction of the planned steps."""
    schedules = ("+loss/weight@loss.terms.second.weight=linear", "loss.terms.second.weight.start=0.5")
    schedules += ("loss/weight@loss.terms.dice.weight=ratio", "+loss@loss.terms.second.loss=bce")
    options = ("loss=dice_hausdorff", *schedules, "scheduler=constant")
    for name, epochs in (("whole", 3), ("part", 2)):
        arguments = small_run(scans, name, *options, f"trainer.max_epochs={epochs}")
        code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
        assert code == 0, output
    code, output = call("train", "resume=part", "trainer.max_epochs=3", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    whole, part = (curve(tmp_path / name, "train/weight/second") for name in ("whole", "part"))
    steps = [3 / 11, 7 / 11, 1.0]  # of four an epoch, the last of each
    assert whole == pytest.approx([0.5 + 0.5 * fraction for fraction in steps], rel=1e-5)
    assert part[-1] == pytest.approx(1.0)
    for name in ("whole", "part"):
        ratios = [
            far / overlap
            for far, overlap in zip(
                *(curve(tmp_path / name, f"train/loss/{term}") for term in ("hausdorff", "dice")), strict=True
            )
        ]
        assert curve(tmp_path / name, "train/weight/dice") == pytest.approx([1.0, *ratios[:-1]], rel=1e-4)


@pytest.mark.slow
def test_best_checkpoint_has_the_weights_of_its_epoch(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *small_run(scans, "run", "loss=dice_hausdorff"), folder=tmp_path, capfd=capfd)
    assert code == 0, output
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert saved["loss._extra_state"]["weights"]["dice"] == pytest.approx(
        curve(tmp_path / "run", "train/weight/dice")[-1], rel=1e-5
    )
