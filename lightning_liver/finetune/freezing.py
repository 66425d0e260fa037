"""Freezing of parts of a network: for good, for some epochs, or until they unfreeze from the logits downwards.

A schedule is a function of the epoch alone, so that a resumed run is in the phase in which it was.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lightning_liver.errors import LiverError
from lightning_liver.finetune.parts import Named, parts, select

UnfreezeEpochs = Mapping[str, float]  # part, from the image on -> the epoch from which it trains; infinity is never


def frozen_for(names: Sequence[str], frozen: Named, *, epochs: int | None) -> UnfreezeEpochs:
    """Freeze some parts for the first epochs, or for good where `epochs` is None."""
    chosen = select(names, frozen, option="finetune.frozen")
    if len(chosen) == len(names) and epochs is None:
        raise LiverError(f"finetune.frozen={frozen}: freezes every part for good; name fewer, or give frozen_epochs")
    return {name: (float("inf") if epochs is None else epochs) if name in chosen else 0 for name in names}


def from_the_top(names: Sequence[str], *, every: int, at_once: int) -> UnfreezeEpochs:
    """Train the last `at_once` parts, next to the logits, and unfreeze as many more every `every` epochs.

    Source: gradual unfreezing of Howard and Ruder 2018, arXiv:1801.06146, section 3.3.
    """
    return {name: ((len(names) - 1 - place) // at_once) * every for place, name in enumerate(names)}


class Freezing(Callback):
    """Keeps parts frozen until their epoch: no gradient, no optimizer group, no new batch-norm statistics.

    Args:
        epochs: the epoch from which each part trains.
        group: (part, name) -> its optimizer group, once it trains.
    """

    def __init__(self, epochs: UnfreezeEpochs, group: Callable[[nn.Module, str], dict[str, Any]]) -> None:
        self.epochs, self.group = dict(epochs), group

    def frozen(self, epoch: int) -> set[str]:
        """Return the parts that do not train in an epoch."""
        return {name for name, first in self.epochs.items() if epoch < first}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            freeze(pl_module.network, self.frozen(0))  # type: ignore[arg-type]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Freeze as when the checkpoint was written, before the optimizer is made, so that its groups are the same."""
        freeze(pl_module.network, self.frozen(checkpoint["epoch"]))  # type: ignore[arg-type]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        network: Any = pl_module.network
        before = {name for name, part in parts(network).items() if is_frozen(part)}
        freeze(network, self.frozen(trainer.current_epoch))
        unfrozen = [
            name for name in by_unfreeze_epoch(self.epochs) if name in before - self.frozen(trainer.current_epoch)
        ]
        for optimizer, scheduler in zip(trainer.optimizers, trainer.lr_scheduler_configs, strict=True):
            for name in unfrozen:
                add_group(optimizer, scheduler.scheduler, self.group(parts(network)[name], name))  # type: ignore[arg-type]


def freeze(network: nn.Module, frozen: set[str]) -> None:
    """Freeze these parts and no others. A frozen part is in evaluation mode: its batch norm stands still, too."""
    for name, part in parts(network).items():
        part.requires_grad_(name not in frozen)
        if network.training:
            part.train(name not in frozen)


def is_frozen(part: nn.Module) -> bool:
    """Return True if no parameter of a part trains."""
    return not any(parameter.requires_grad for parameter in part.parameters())


def by_unfreeze_epoch(epochs: UnfreezeEpochs) -> list[str]:
    """Return the parts in the order in which their groups join the optimizer: by epoch, then from logits to image."""
    upwards = list(epochs)[::-1]
    return sorted(upwards, key=lambda name: epochs[name])  # a stable sort


def add_group(optimizer: Optimizer, scheduler: LambdaLR, group: dict[str, Any]) -> None:
    """Add a group to an optimizer in mid-training; it follows the schedule from where that is."""
    rate = optimizer.defaults["lr"] * group["scale"]
    optimizer.add_param_group(group | {"initial_lr": rate})
    factor = scheduler.lr_lambdas[0]
    optimizer.param_groups[-1]["lr"] = rate * factor(scheduler.last_epoch)
    scheduler.base_lrs.append(rate)
    scheduler.lr_lambdas.append(factor)
