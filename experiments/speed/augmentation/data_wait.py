"""Fraction of training time spent waiting for data, from timing.json of runs of train.py."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.speed import phantoms
from experiments.speed.command import ROOT
from experiments.speed.rounds import judged, median_and_range
from lightning_liver.runs.timing import Timing, read_timing
from lightning_liver.tables import Row

ONE_THREAD = "OPENBLAS_NUM_THREADS"  # applies to the benchmark, not to training
TARGET = 0.03
POLICIES = ("none", "all")  # reference, policy under test

OPTIONS = (
    *phantoms.options(256, cases=8),
    "data.size=256",
    "data.folds=8",
    "data.batch_size=8",
    "data.num_workers=1",
    "model=unet_small",
    "logger=none",
    "trainer.enable_progress_bar=false",
)


def timing(policy: str, options: Sequence[str]) -> Timing:
    """Return timing.json of a training run in a process of its own."""
    with TemporaryDirectory() as folder:
        overrides = [f"augment={policy}", *OPTIONS, *options, f"hydra.run.dir={folder}/run"]
        environment = {name: value for name, value in os.environ.items() if name != ONE_THREAD}
        subprocess.run([sys.executable, "train.py", *overrides], cwd=ROOT, env=environment, check=True)
        return read_timing(Path(folder) / "run")


def wait_rows(*, epochs: int, steps: int, runs: int) -> list[Row]:
    """Return a row per policy: fraction of training time and slices a second; median over runs and range."""
    options = [
        f"trainer.max_epochs={epochs}",
        f"trainer.check_val_every_n_epoch={epochs}",
        f"data.slices_per_epoch={8 * steps}",
    ]
    taken: dict[str, list[Timing]] = {policy: [] for policy in POLICIES}
    for _ in range(runs):
        for policy in POLICIES:
            taken[policy].append(timing(policy, options))
    return [_row(policy, timings) for policy, timings in taken.items()]


def verdict(rows: Sequence[Row]) -> str:
    """Judge the policy under test."""
    share = float(rows[-1]["waits, %"] or 0) / 100
    return judged(f"augment={rows[-1]['augment']}: waits {share:.2%}", share, "<", TARGET, "{:.0%}")


def _row(policy: str, timings: Sequence[Timing]) -> Row:
    share, spread = median_and_range([100 * one.wait_share for one in timings if one.wait_share is not None], 2)
    speed, speeds = median_and_range([one.slices_per_s for one in timings if one.slices_per_s is not None], 1)
    return {"augment": policy, "waits, %": share, "range": spread, "slices/s": speed, "its range": speeds}
