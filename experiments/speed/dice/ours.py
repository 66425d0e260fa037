"""Ours: `python train.py` in this process, with one more callback that saves weights at minutes.

The framework needs a patient for validation: the one with the fewest slices.
"""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

import lightning_liver.commands.train
from experiments.speed.dice.job import Job, Progress, run
from lightning_liver.apps.train import main as train_py
from lightning_liver.build import build, prepared
from lightning_liver.config import compose
from lightning_liver.imageio.nifti import read_header, read_volume, write_labels
from lightning_liver.inference.decision import post_process_of
from lightning_liver.inference.fusion import fuse
from lightning_liver.inference.predict_volume import AUTOCAST, VolumeOptions, predict_volume
from lightning_liver.inference.thresholds import HALF
from lightning_liver.inference.tta import flips_for
from lightning_liver.runs.trained import read_run
from lightning_liver.training.settings import resolve_auto
from lightning_liver.training.trainer import trainer


class Minutes(Callback):
    """Counts steps on a clock that starts with the framework's own budget."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            network: Any = pl_module.network
            self.clock = self.progress.start(network)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.clock.tick()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.clock.finish()


def arguments(job: Job) -> list[str]:
    """Return the options of `python train.py`."""
    fewest = validating(job)
    training = sorted({scan.patient for scan in job.train} - {fewest})
    held = sorted({scan.patient for scan in job.held})
    split = f"{{train:[{','.join(training)}],val:[{fewest}],test:[{','.join(held)}]}}"
    paths = {"root": job.root, "patients": job.patients, "store": str(job.folder / "store")}
    data = ["data=lits", *(f"data.{name}='{path}'" for name, path in paths.items()), f"data.split={split}"]
    return [*data, "model=unet_small", f"trainer.max_minutes={job.minutes:g}", f"seed={job.seed}", *job.overrides]


def validating(job: Job) -> str:
    """Return the patient for validation."""
    slices: Counter[str] = Counter()
    for scan in job.train:
        slices[scan.patient] += read_header(Path(scan.volume)).shape[0]
    return min(slices, key=lambda patient: (slices[patient], patient))


def train(job: Job, progress: Progress) -> None:
    folder, overrides = job.folder / "run", arguments(job)
    for left in (folder, job.folder / "store"):
        shutil.rmtree(left, ignore_errors=True)
    began = time.perf_counter()
    prepared(compose("train", overrides).data)
    progress.preparation_s = time.perf_counter() - began
    precision = resolve_auto(build(compose("train", overrides).trainer)).precision
    progress.notes |= {"validates": validating(job), "precision": precision}
    sys.argv = ["train.py", *overrides, "trainer.enable_progress_bar=false", f"hydra.run.dir='{folder}'"]
    with patch.object(lightning_liver.commands.train, "trainer", partial(_watched, Minutes(progress))):
        train_py()


def _watched(minutes: Minutes, *given: Any, callbacks: Sequence[Callback], **options: Any) -> pl.Trainer:
    return trainer(*given, callbacks=[*callbacks, minutes], **options)


def predict(job: Job, weights: Path, target: Path) -> None:
    """Predict as liver-predict does, with the weights of that minute instead of the best ones."""
    trained = read_run(job.folder / "run")
    trained.network.load_state_dict(torch.load(weights, weights_only=True))
    fuse(trained.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    options = VolumeOptions.masks_alone(
        thresholds=HALF,
        post_process=post_process_of(trained.config.inference.get("postprocess")),
        batch_size=8,
        flips=flips_for(None),
        autocast=AUTOCAST[resolve_auto(build(trained.config.trainer)).precision],
        device=torch.device("cpu"),
    )
    for scan in job.held:
        volume = read_volume(Path(scan.volume))
        write_labels(target / scan.mask, predict_volume(volume, [trained], options).labels, volume.affine)


if __name__ == "__main__":
    run(train, predict, {name: version(name) for name in ("torch", "pytorch-lightning")})
