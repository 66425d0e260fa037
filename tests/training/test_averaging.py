"""Averages of the weights, with a weight that falls by one a step, and callbacks that cannot work."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, GradientAccumulationScheduler, StochasticWeightAveraging
from pytorch_lightning.callbacks import RichProgressBar as Bar
from torch import nn

from lightning_liver.build import build
from lightning_liver.config import compose
from lightning_liver.errors import LiverError
from lightning_liver.training.averaging import EpochAveraging
from lightning_liver.training.checks import check_callbacks
from lightning_liver.training.trainer import keep_weights
from tests.training.test_run_state import OPTIONS


class Falling(pl.LightningModule):
    """After n steps its weight is -n; it notes the weight that each validation has."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.validated: list[float] = []

    def planned_steps(self) -> None:
        return None

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.weight.clone()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.validated.append(self.weight.item())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def fitted(callback: pl.Callback, folder: Path) -> tuple[pl.Trainer, Falling]:
    trainer = pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=4,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback],
    )
    task = Falling()
    loader: Any = torch.utils.data.DataLoader([0, 1])  # type: ignore[arg-type]
    trainer.fit(task, loader, loader)
    return trainer, task


def test_ends_of_the_last_epochs_are_averaged_and_validated(tmp_path: Path) -> None:
    """Epochs end after 2, 4, 6 and 8 steps; with start=0.5 the last two are averaged."""
    _, task = fitted(EpochAveraging(0.5), tmp_path)
    assert task.validated[::2] == [-2, -4, -6, -7]
    assert task.weight.item() == -7


def test_average_of_all_epochs(tmp_path: Path) -> None:
    assert fitted(EpochAveraging(0.0), tmp_path)[1].validated[::2] == [-2, -3, -4, -5]


def test_validation_after_training_has_the_weights_of_the_checkpoint(tmp_path: Path) -> None:
    trainer, task = fitted(build(compose("train", ["callbacks=ema"]).callbacks.ema), tmp_path)
    keep_weights(trainer)
    with torch.no_grad():
        task.weight.fill_(5.0)  # as if it were read from a checkpoint
    loader: Any = torch.utils.data.DataLoader([0])  # type: ignore[arg-type]
    trainer.validate(task, loader, verbose=False)
    assert task.validated[-1] == 5


@pytest.mark.parametrize("start", [-0.1, 1.5])
def test_start_is_a_fraction(start: float) -> None:
    with pytest.raises(LiverError, match=r"callbacks\.swa\.start"):
        build(compose("train", ["callbacks=swa", f"callbacks.swa.start={start}"]).callbacks.swa)


def test_callbacks_that_cannot_work_say_why() -> None:
    check_callbacks([EarlyStopping("a"), EpochAveraging(0.5)], OPTIONS)
    with pytest.raises(LiverError, match="use callbacks=swa"):
        check_callbacks([StochasticWeightAveraging(0.1)], OPTIONS)
    with pytest.raises(LiverError, match=r"trainer\.max_steps counts"):
        check_callbacks([GradientAccumulationScheduler({0: 2})], replace(OPTIONS, max_steps=5))
    check_callbacks([GradientAccumulationScheduler({0: 2})], OPTIONS)
    with pytest.raises(LiverError, match=r"trainer\.enable_progress_bar=false"):
        check_callbacks([Bar()], replace(OPTIONS, enable_progress_bar=False))
    with pytest.raises(LiverError, match="expected objects of"):
        check_callbacks([{"a": 1}], OPTIONS)
