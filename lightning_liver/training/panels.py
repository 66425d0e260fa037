"""Panels of fixed validation slices while training, for the loggers that take pictures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.trainer.states import TrainerFn

from lightning_liver.data.datamodule import SliceDataModule
from lightning_liver.report.cases import representative_slice
from lightning_liver.report.pictures import panel
from lightning_liver.training.loggers import log_picture
from lightning_liver.training.processes import merged


class ValidationPanels(Callback):
    """Shows a slice of the first `count` validation cases in its loggers: CT, truth, prediction, error."""

    def __init__(self, data: SliceDataModule, *, count: int) -> None:
        self.data, self.count = data, count
        self.wanted: dict[int, int] = {}
        self.kept: dict[int, np.ndarray] = {}

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose among the slices that validation reads, which may not be all."""
        slices: Any = trainer.val_dataloaders
        for c, name in enumerate(self.data.split.val[: self.count]):
            places = [z for case, z in slices.dataset.index if case == c]
            self.wanted[c] = representative_slice(self.data.store.cases[name], among=places)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self.kept |= _matching(self.wanted, outputs["labels"], batch)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for c, prediction in sorted(merged(self.kept, world=trainer.world_size).items()):
            name, z = self.data.split.val[c], self.wanted[c]
            picture = self._panel(name, z, prediction)
            tag = f"val/case {name} slice {z + 1}: CT, truth, prediction, error"
            log_picture(trainer.loggers, tag, picture, trainer.global_step)
        self.kept = {}

    def _panel(self, name: str, z: int, prediction: np.ndarray) -> np.ndarray:
        store, normalization = self.data.store, self.data.normalization
        return panel(normalization.window(store.read(name, "hu", z)), store.read(name, "labels", z), prediction)


def _matching(
    wanted: Mapping[int, int], labels: torch.Tensor, batch: Mapping[str, torch.Tensor]
) -> dict[int, np.ndarray]:
    positions = enumerate(zip(batch["case"].tolist(), batch["z"].tolist(), strict=True))
    return {case: labels[i].cpu().numpy() for i, (case, z) in positions if wanted.get(case) == z}
