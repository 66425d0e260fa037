"""Training from Python: a whole run, or its data module and task for a plain pytorch_lightning.Trainer."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from lightning_liver.build import build, prepared
from lightning_liver.commands import train as command
from lightning_liver.data.datamodule import SliceDataModule
from lightning_liver.errors import LiverError
from lightning_liver.finetune.strategy import Scratch
from lightning_liver.inference.decision import thresholds_of
from lightning_liver.inference.tta import flips_for
from lightning_liver.training.assembly import multiple_of, new_split
from lightning_liver.training.start import build_strategy
from lightning_liver.training.task import SegmentationTask
from lightning_liver.types import Metrics
from lightning_liver.types.options import Seed, check


def train(cfg: DictConfig, folder: str | Path) -> Metrics:
    """Train, test and draw into a run folder, as `python train.py` does, and return its metrics.

    The folder is one that every command accepts. A complete run is not repeated, a part of it is continued.

    Args:
        cfg: of compose("train", [...]).

    Raises:
        LiverError: an invalid option, or the folder holds another run.
    """
    return command.train(cfg, Path(folder).expanduser())


def build_data(cfg: DictConfig) -> SliceDataModule:
    """Prepare the scans of a training config and return its data module.

    Args:
        cfg: of compose("train", [...]).

    Raises:
        LiverError: an invalid option; what preparing raises.
    """
    augment, slices = build(cfg.augment), build(cfg.data.slices)
    store = prepared(cfg.data)
    return SliceDataModule(store, new_split(cfg.data, store), augment, slices, seed=check("seed", cfg.seed, Seed))


def build_task(cfg: DictConfig) -> SegmentationTask:
    """Return the task of a training config, with weights drawn by its seed.

    Network, loss, optimizer and schedule are the config's. Post-processing, tuned thresholds, pictures and tables
    belong to a whole run: see train.

    Args:
        cfg: of compose("train", [...]).

    Raises:
        LiverError: an invalid option, or one that only a run can use: a strategy of fine-tuning, tuned thresholds.
    """
    if not isinstance(build_strategy(cfg.get("finetune")), Scratch):
        raise LiverError("finetune: expected scratch for a plain Trainer; call lightning_liver.train(cfg, folder)")
    thresholds: Any = OmegaConf.to_container(cfg.inference)["thresholds"]  # type: ignore[index, call-overload]
    if thresholds == "tuned":
        raise LiverError(
            "inference.thresholds=tuned: expected null or two probabilities for a plain Trainer, which tunes none; "
            "call lightning_liver.train(cfg, folder)"
        )
    pl.seed_everything(check("seed", cfg.seed, Seed), verbose=False)
    network, chosen = build(cfg.model), thresholds_of(thresholds, None)
    return SegmentationTask(
        network,
        build(cfg.loss),
        terms={},
        optimizer=build(cfg.optimizer),
        scheduler=build(cfg.scheduler),
        multiple=multiple_of(cfg.inference, network),
        flips=flips_for(cfg.inference.flips),
        thresholds=lambda: chosen,
    )
