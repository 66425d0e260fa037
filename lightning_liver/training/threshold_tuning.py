"""Tuning of thresholds on whole validation cases, after training."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.trainer.states import TrainerFn

from lightning_liver.inference import thresholds
from lightning_liver.inference.decision import Gain
from lightning_liver.inference.thresholds import Thresholds


class ThresholdTuning(Callback):
    """Finds the best thresholds on validation cases in `trainer.validate`; while training it does nothing.

    Args:
        given: thresholds for testing; None is the tuned ones.
    """

    def __init__(self, given: Thresholds | None) -> None:
        self.given = given
        self._table = thresholds.empty(0)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:
            loader: Any = trainer.val_dataloaders
            self._table = thresholds.empty(len(loader.dataset.cases))

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:
            thresholds.update(self._table, batch["case"], outputs["logits"], batch["labels"])

    def tuned(self) -> Thresholds:
        """Return the best thresholds; one half without validation cases."""
        return thresholds.best(self._table)

    def used(self) -> Thresholds:
        """Return the thresholds for testing."""
        return self.tuned() if self.given is None else self.given

    def rows(self) -> list[Gain]:
        """Return the mean Dice of validation cases at one half and at the tuned thresholds; nothing without cases."""
        tried = {"thresholds one half": thresholds.HALF, "tuned thresholds": self.tuned()}
        return [
            {"what": name, **thresholds.mean_dice(self._table, at)}  # type: ignore[typeddict-item]
            for name, at in tried.items()
            if len(self._table)
        ]
