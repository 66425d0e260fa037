"""Batch-norm statistics of two domains: of the labelled scans, and of finetune.target_root."""

import logging
from collections.abc import Collection, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import nn

from lightning_liver.data.datamodule import SliceDataModule
from lightning_liver.data.splits import Split
from lightning_liver.data.store import Store
from lightning_liver.files import replacing, write_whole
from lightning_liver.finetune.statistics import Statistics, estimate, norms, statistics_of, use_statistics
from lightning_liver.readers import read_text
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.checkpoints import load_weights, read_checkpoint
from lightning_liver.runs.trained import STATISTICS, Domain, DomainStatistics, network_weights
from lightning_liver.training.task import SegmentationTask

log = logging.getLogger(__name__)

_MARK = "Batch-norm statistics"  # begins the line in transfer.txt


class StatisticsByDomain(Callback):
    """Validates and tests cases of the target with its statistics, once they are known, and all others as they are.

    Args:
        cases: names of the target's cases.
        target: the target's statistics; empty while they are not known.
    """

    def __init__(self, cases: Collection[str], target: Statistics | None = None) -> None:
        self.cases, self.target = frozenset(cases), target or {}
        self._own: Statistics = {}

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._own = statistics_of(_network(pl_module))

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._own = statistics_of(_network(pl_module))

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any
    ) -> None:
        self._switch(trainer.val_dataloaders, pl_module, batch)

    def on_test_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any) -> None:
        self._switch(trainer.test_dataloaders, pl_module, batch)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restore(pl_module)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restore(pl_module)

    def _switch(self, loader: Any, pl_module: pl.LightningModule, batch: Any) -> None:
        if self.cases and self.target:
            is_target = loader.dataset.cases[int(batch["case"][0])] in self.cases  # a batch is of one case
            use_statistics(_network(pl_module), self.target if is_target else self._own)

    def _restore(self, pl_module: pl.LightningModule) -> None:
        if self.cases and self.target:
            use_statistics(_network(pl_module), self._own)


def target_statistics(network: nn.Module, data: SliceDataModule, device: str | torch.device) -> Statistics:
    """Return the statistics of a network on slices of the target; the network stays as it is."""
    copy = deepcopy(network).to(device)
    return estimate(copy, (images.to(device) for images in data.target_batches()))


def cases_of_target(store: Store, split: Split, root: str) -> list[str]:
    """Return the validation and test cases whose scans lie below finetune.target_root.

    There are none if training cases lie there, too: then both domains are one.
    """
    folder = Path(root).expanduser().resolve()

    def is_below(name: str) -> bool:
        return Path(store.cases[name].volume).resolve().is_relative_to(folder)

    return [] if any(map(is_below, split.train)) else [name for name in (*split.val, *split.test) if is_below(name)]


def remember_target(
    task: SegmentationTask, data: SliceDataModule, by_domain: StatisticsByDomain, files: RunFolder, root: str
) -> None:
    """Estimate the target's statistics for the weights of best.ckpt and add them to it; say which ones the test uses.

    Args:
        by_domain: is given the statistics, for the test.
        root: finetune.target_root.
    """
    network = deepcopy(task.network)
    load_weights(network, network_weights(read_checkpoint(files.best)["state_dict"]), files.best)
    if not norms(network):
        _say(files, "none, the network has no batch normalisation: both domains are treated alike")
        return
    by_domain.target = target_statistics(network, data, task.device)
    kept = DomainStatistics(
        training=statistics_of(network),
        target=by_domain.target,
        used="training",
        folder=root,
        slices=data.options.slices_per_epoch,
        cases=sorted(by_domain.cases),
    )
    _add(files.best, kept)
    _say(files, _test_line(kept, data.split.test))


def adapt(trainer: pl.Trainer, task: SegmentationTask, data: SliceDataModule, files: RunFolder, root: str) -> None:
    """Replace the network's statistics by the target's, without training, and write best.ckpt and last.ckpt.

    Source: AdaBN of Li et al. 2016, arXiv:1603.04779.
    """
    source = statistics_of(task.network)
    target = target_statistics(task.network, data, trainer.strategy.root_device)
    use_statistics(task.network, target)
    trainer.validate(task, data, verbose=False)  # a Trainer writes checkpoints of a module only after it ran it
    kept = DomainStatistics(
        training=source,
        target=target,
        used="target",
        folder=root,
        slices=data.options.slices_per_epoch,
        cases=[],
    )
    for path in (files.last, files.best):
        trainer.save_checkpoint(path)
        _add(path, kept)


def say_adapted(files: RunFolder) -> None:
    """Say that all cases are tested with the target's statistics."""
    kept = DomainStatistics.of(read_checkpoint(files.best))
    assert kept is not None, "written by adapt"
    _say(files, f"all cases are tested with those of the target, {kept.source_of('target')}")


def _test_line(kept: DomainStatistics, tested: Sequence[str]) -> str:
    of_target = [name for name in tested if name in kept.cases]
    parts: list[tuple[int, Domain]] = [(len(tested) - len(of_target), "training"), (len(of_target), "target")]
    said = [f"{count} test cases use those of {which}, {kept.source_of(which)}" for count, which in parts if count]
    if not of_target:
        said.append(f"those of the target, {kept.source_of('target')}, are kept for prediction elsewhere")
    return "; ".join(said)


def _say(files: RunFolder, text: str) -> None:
    """Log the statistics that are used, and write them to transfer.txt in place of an earlier line."""
    line, path = f"{_MARK}: {text}", files.transfer
    log.info(line)
    lines = read_text(path).splitlines() if path.exists() else []
    write_whole(path, "\n".join([*(each for each in lines if not each.startswith(_MARK)), line]) + "\n")


def _add(path: Path, kept: DomainStatistics) -> None:
    checkpoint = read_checkpoint(path)
    with replacing(path) as partial, partial.open("wb") as file:
        torch.save(checkpoint | {STATISTICS: kept.as_entry()}, file)


def _network(pl_module: pl.LightningModule) -> nn.Module:
    network: nn.Module = pl_module.network  # type: ignore[assignment]
    return network
