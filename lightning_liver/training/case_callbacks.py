"""Callbacks that measure test cases beside their Dice: losses, calibration, uncertainty against mistakes."""

import math
from collections.abc import Mapping
from inspect import signature
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lightning_liver.inference.label_maps import multi_hot
from lightning_liver.losses.distance import signed_distance
from lightning_liver.metrics import calibration
from lightning_liver.metrics import uncertainty as agreement
from lightning_liver.training.task import Loss
from lightning_liver.types import STRUCTURES
from lightning_liver.types.tensors import Masks

CALIBRATION_BINS = 15  # as Guo et al. 2017

_LIKELY = 0.01  # most of a scan is below: confident and correct background


class LossesOfCases(Callback):
    """Measures losses of each test case by name, whatever the network was trained with; logs their means."""

    def __init__(self, losses: Mapping[str, Loss]) -> None:
        self.losses = dict(losses)
        self._takers = {name for name, loss in losses.items() if "distance" in signature(loss).parameters}
        self._sums = torch.zeros(0, len(losses) + 1, dtype=torch.float64)  # over slices; their number last

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loader: Any = trainer.test_dataloaders
        self._sums = torch.zeros(len(loader.dataset.cases), len(self.losses) + 1, dtype=torch.float64)

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Measure a batch, whose slices are of one case; its distance maps are shared by all losses that take them."""
        logits, target = outputs["logits"], multi_hot(batch["labels"])
        maps = {"distance": signed_distance(target)} if self._takers else {}
        values = [
            loss(logits, target, **(maps if name in self._takers else {})).item() for name, loss in self.losses.items()
        ]
        self._sums[batch["case"][0]] += len(logits) * torch.tensor([*values, 1.0], dtype=torch.float64)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._sums = _summed(trainer, self._sums)
        for name, values in self.per_case().items():
            pl_module.log(f"test/loss/{name}", torch.tensor(values).mean())

    def per_case(self) -> dict[str, list[float]]:
        """Return each loss of each test case: the mean over its batches, weighted by their slices."""
        means = self._sums[:, :-1] / self._sums[:, -1:]
        return {name: means[:, n].tolist() for n, name in enumerate(self.losses)}


class Calibration(Callback):
    """Counts the probabilities of test cases in bins wherever liver or tumour is at all likely; logs their error."""

    def __init__(self) -> None:
        self.bins = calibration.empty(CALIBRATION_BINS)

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.bins = calibration.empty(CALIBRATION_BINS)

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        logits, where = outputs["logits"], _is_likely(outputs["logits"])
        pair = (logits.sigmoid(), multi_hot(batch["labels"]).bool())
        calibration.update(self.bins, *(each.movedim(1, -1)[where].T[None] for each in pair))

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.bins = _summed(trainer, self.bins)
        for c, error in enumerate(calibration.expected_calibration_error(self.bins).tolist()):
            pl_module.log(f"test/{STRUCTURES[c]}/ece", error)


class UncertaintyAgainstMistakes(Callback):
    """Logs whether the uncertainty of the task's test predictions points at their mistakes, in the same places."""

    def __init__(self) -> None:
        self.counts = agreement.empty()

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.counts = agreement.empty()

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        if (unsure := outputs["uncertainty"]) is not None:
            where = _is_likely(outputs["logits"])
            agreement.update(self.counts, unsure[where], (outputs["labels"] != batch["labels"])[where])

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if pl_module.uncertainty is None:
            return
        self.counts = _summed(trainer, self.counts)
        for figure in (agreement.auroc, agreement.aurc, agreement.best_aurc):
            value = figure(self.counts)
            pl_module.log(f"test/uncertainty/{figure.__name__}", math.nan if value is None else value)


def _is_likely(logits: Masks) -> Tensor:
    return (logits.sigmoid() > _LIKELY).any(dim=1)


def _summed(trainer: pl.Trainer, sums: Tensor) -> Tensor:
    return trainer.strategy.reduce(sums, reduce_op="sum")  # type: ignore[return-value]
