"""Averages of the weights, on top of Lightning's WeightAveraging."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging

from lightning_liver.types.options import Fraction, check


class EpochAveraging(WeightAveraging):
    """Averages the weights at the ends of the last epochs, with equal weights; before that it follows the training.

    Unlike Lightning's StochasticWeightAveraging, the average is what is validated and what a checkpoint holds, and the
    schedule of the learning rate stays as it is.

    Args:
        start: fraction of the training after which weights are averaged.

    Source: Izmailov et al. 2018, arXiv:1803.05407.
    """

    def __init__(self, start: float) -> None:
        super().__init__()
        self.start = check("callbacks.swa.start", start, Fraction)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Return False: an epoch ends for Lightning after its validation, which is too late."""
        return False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch or self._average_model is None:
            return
        self._average_model.update_parameters(pl_module)
        planned: Any = pl_module.planned_steps
        if trainer.global_step <= self.start * (planned() or trainer.estimated_stepping_batches):
            self._average_model.n_averaged.zero_()  # the next update copies the weights
