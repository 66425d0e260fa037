"""What a config names, made and tried before anything is prepared, so that a mistake shows at once."""

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError
from torch import nn

from lightning_liver.build import build
from lightning_liver.data.datamodule import SliceOptions
from lightning_liver.data.slices import Augment
from lightning_liver.data.splits import Split
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError, explain
from lightning_liver.finetune.strategy import Strategy
from lightning_liver.inference.decision import post_process_of, thresholds_of
from lightning_liver.inference.tta import flips_for
from lightning_liver.training.checks import check_network_and_loss, check_optimizer_and_scheduler
from lightning_liver.training.start import chosen_strategy, copy_source, try_strategy
from lightning_liver.training.task import SegmentationTask
from lightning_liver.training.trainer import summary_table
from lightning_liver.training.volume_scores import check_scoring


class Parts(NamedTuple):
    """What a config names, made and tried; `task` waits for its terms and groups."""

    network: nn.Module
    task: Callable[..., SegmentationTask]
    slices: SliceOptions
    augment: Augment
    strategy: Strategy | None
    copied: frozenset[str]


def assemble(cfg: DictConfig, folder: Path) -> Parts:
    """Make all that needs no scan, and the seed's; the layer table goes to model.txt.

    Raises:
        LiverError: an option, or two together, that cannot work.
    """
    if not isinstance(cfg.seed, int) or not 0 <= cfg.seed < 2**32:
        raise LiverError(f"seed={cfg.seed!r}: it must be a whole number from 0 to {2**32 - 1}")
    pl.seed_everything(cfg.seed, verbose=False)
    slices: SliceOptions = build(cfg.data.slices)
    network, loss, augment = build(cfg.model), build(cfg.loss), build(cfg.augment)
    if augment.mixup is not None and (few := min(slices.batch_size, slices.slices_per_epoch)) < 2:
        raise LiverError(
            f"data.batch_size={slices.batch_size} makes batches of {few}: mixup blends slices, and needs two"
        )
    multiple = _multiple(cfg.inference, network)
    _check_decision(cfg)
    check_network_and_loss(network, loss, slices.channels, slices.size_yx, multiple)
    optimizer, scheduler = build(cfg.optimizer), build(cfg.scheduler)
    try:
        check_optimizer_and_scheduler(optimizer, scheduler)
    except ValidationError as error:
        raise LiverError(explain(error, "scheduler")) from error
    (folder / "model.txt").write_text(summary_table(network, slices.channels, slices.size_yx) + "\n")
    task = partial(
        SegmentationTask,
        network,
        loss,
        test_losses={name: build(cfg.test_losses[name]) for name in cfg.test_losses or ()},
        optimizer=optimizer,
        scheduler=scheduler,
        multiple=multiple,
        flips=flips_for(cfg.inference.flips),
    )
    strategy = chosen_strategy(cfg.get("finetune"))
    if strategy:
        if strategy.terms and cfg.trainer.compile not in (None, False, "auto"):
            names = ", ".join(strategy.terms)
            raise LiverError(f"trainer.compile=true does without what looks into the network, as {names} may")
        try_strategy(strategy, network, slices)
    copied = copy_source(strategy, network, folder) if strategy else frozenset()
    return Parts(network, task, slices, augment, strategy, copied)


def _multiple(inference: DictConfig, network: nn.Module) -> int:
    if not isinstance(inference.multiple, int) or inference.multiple < 1:
        raise LiverError(f"inference.multiple={inference.multiple!r}: it must be a whole number of at least 1")
    if inference.flips not in (None, True, False):
        raise LiverError(f"inference.flips={inference.flips!r}: it is true or false")
    own: Any = getattr(network, "multiple", 1)
    return math.lcm(inference.multiple, own)


def _check_decision(cfg: DictConfig) -> None:
    """What comes after the network, before anything is trained."""
    given: Any = OmegaConf.to_container(cfg.inference)
    post_process_of(given.get("postprocess"))
    if given.get("thresholds") != "tuned":
        thresholds_of(given.get("thresholds"), None)
    check_scoring(**cfg.scores)


def split_of(data: DictConfig, store: Store, folder: Path) -> Split:
    """The split that the run began with, else a new one; either way the lists are in split.json."""
    path = folder / "split.json"
    if path.exists():
        kept = Split.read(path)
        gone = [name for name in (*kept.train, *kept.val, *kept.test) if name not in store.cases]
        if gone:
            raise LiverError(f"{path} names cases that data.root no longer has: {', '.join(gone)}")
        return kept
    patients = {name: store.cases[name].patient for name in store.labelled()}
    with_tumour = [name for name in patients if store.cases[name].has_tumour]
    split: Split = build(data.splitting, patients, with_tumour)
    path.write_text(json.dumps(split.to_dict(), indent=1) + "\n")
    return split
