"""Seconds of a training step: the framework's and a bare PyTorch loop's, fed from memory and from the store."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from experiments.speed import phantoms
from lightning_liver.build import build, prepared
from lightning_liver.config import compose
from lightning_liver.data.datamodule import SliceDataModule, SliceOptions
from lightning_liver.data.slices import Augment
from lightning_liver.data.splits import Split
from lightning_liver.data.store import Store
from lightning_liver.inference.label_maps import multi_hot
from lightning_liver.inference.predict_volume import AUTOCAST
from lightning_liver.training.callbacks import EpochSeeds, Throughput
from lightning_liver.training.compiling import compiled
from lightning_liver.training.memory_format import choose_memory_format
from lightning_liver.training.panels import ValidationPanels
from lightning_liver.training.settings import TrainerOptions, resolve_auto
from lightning_liver.training.stopwatch import now
from lightning_liver.training.task import SegmentationTask
from lightning_liver.training.trainer import trainer
from lightning_liver.types.tensors import Batch

WARM_UP = 10  # steps that pay for filling caches, choosing kernels, starting workers


@dataclass(frozen=True)
class Setup:
    """Training config and the phantoms that it names.

    Args:
        steps: number of steps timed in one round.
    """

    cfg: DictConfig
    store: Store
    options: TrainerOptions
    steps: int

    @classmethod
    def of(cls, *overrides: str, matrix: int, cases: int, steps: int) -> "Setup":
        """Use phantoms on their own grid and an epoch as long as warm-up and a round."""
        data = phantoms.options(matrix, cases)
        small = ["trainer.enable_progress_bar=false", f"data.size={matrix}"]
        cfg = compose("train", [*data, *small, *overrides])
        cfg.data.slices_per_epoch = cfg.data.batch_size * (steps + WARM_UP)
        cfg.trainer.max_epochs = 1
        return cls(cfg, prepared(cfg.data), resolve_auto(build(cfg.trainer)), steps)

    @property
    def device(self) -> torch.device:
        return torch.device(self.options.accelerator)

    def data(self, batch: Batch | None = None) -> SliceDataModule:
        """Return a data module that trains on all cases except two, or on one batch."""
        names = tuple(self.store.labelled())
        split = Split(names[2:], names[:1], names[1:2])
        augment, options = build(self.cfg.augment), build(self.cfg.data.slices)
        if batch is not None:
            return _InMemory(self.store, split, augment, options, batch)
        return SliceDataModule(self.store, split, augment, options, seed=0)

    def batch(self) -> Batch:
        """Return one training batch on the device."""
        batch: Batch = next(iter(self.data().train_dataloader()))
        return {name: value.to(self.device) for name, value in batch.items() if isinstance(value, Tensor)}

    def network(self) -> nn.Module:
        """Return the network with the same weights in each call."""
        pl.seed_everything(0, verbose=False)
        network: nn.Module = build(self.cfg.model)
        return network

    def task(self, network: nn.Module, compiled: Callable[[Tensor], Any] | None = None) -> SegmentationTask:
        """Return the task of a network; compiled: the same network for training steps, as the task takes it."""
        cfg = self.cfg
        return SegmentationTask(
            network,
            build(cfg.loss),
            terms={},
            optimizer=build(cfg.optimizer),
            scheduler=build(cfg.scheduler),
            multiple=16,
            compiled=compiled,
        )


def bare(setup: Setup, batch: Batch, *, memory_format: bool) -> float:
    """Return seconds a step of a plain loop with the same network, loss, optimizer, schedule and precision.

    Args:
        memory_format: use the framework's memory format instead of PyTorch's default.
    """
    torch.use_deterministic_algorithms(False)  # the framework leaves it switched on
    task, options, device = setup.task(setup.network()).to(setup.device).train(), setup.options, setup.device
    if memory_format:
        choose_memory_format(task.network, options, tuple(batch["image"].shape))
    if options.threads:
        torch.set_num_threads(options.threads)
    optimizer = task.optimizer(task.network.parameters())
    scheduler = task.scheduler(optimizer, lambda: WARM_UP + setup.steps)
    kind = AUTOCAST.get(options.precision)
    scaler = torch.amp.GradScaler(device.type, enabled=options.precision == "16-mixed")
    target = multi_hot(batch["labels"])
    began = 0.0
    for step in range(WARM_UP + setup.steps):
        if step == WARM_UP:
            began = now(device)
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=kind, enabled=kind is not None):
            logits = task.network(batch["image"])
        loss: Any = task.loss(logits.float(), target)
        scaler.scale(loss).backward()
        if options.gradient_clip_val:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(task.network.parameters(), options.gradient_clip_val)
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
    return (now(device) - began) / setup.steps


class _Marks(Callback):
    """Times of the end of the warm-up and of the last step."""

    def __init__(self, last: int) -> None:
        self.last, self.began, self.ended = last, 0.0, 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if trainer.global_step == WARM_UP:
            self.began = now(pl_module.device)
        if trainer.global_step == self.last:
            self.ended = now(pl_module.device)


class _Repeated:
    """Loader that repeats one batch."""

    def __init__(self, batch: Batch, times: int) -> None:
        self.batch, self.times = batch, times

    def __len__(self) -> int:
        return self.times

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self.times):
            yield self.batch


class _InMemory(SliceDataModule):
    """Same data, but each training batch is the same one in memory."""

    def __init__(self, store: Store, split: Split, augment: Augment, options: SliceOptions, batch: Batch) -> None:
        super().__init__(store, split, augment, options, seed=0)
        self.batch = batch

    def train_dataloader(self) -> Any:
        return _Repeated(self.batch, self.options.slices_per_epoch // self.options.batch_size)


def framework(setup: Setup, batch: Batch | None) -> float:
    """Return seconds a step of `python train.py` with logging and callbacks, on one batch or (None) from the store."""
    data, network = setup.data(batch), setup.network()
    marks = _Marks(WARM_UP + setup.steps)
    callbacks = [EpochSeeds(0), Throughput(), ValidationPanels(data, count=4), marks]
    with TemporaryDirectory() as folder:
        loggers = [build(each, save_dir=folder) for each in setup.cfg.logger.values()]
        lightning = trainer(setup.options, Path(folder), callbacks=callbacks, loggers=loggers)
        choose_memory_format(network, setup.options, tuple(setup.batch()["image"].shape))
        lightning.fit(setup.task(network, compiled(network, setup.options)), data)
    return (marks.ended - marks.began) / setup.steps


def with_options(setup: Setup, **options: Any) -> Setup:
    """Return the setup with other options of the trainer."""
    return replace(setup, options=replace(setup.options, **options))
