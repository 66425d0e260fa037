"""How much of training is spent waiting for data: runs of train.py and what their timing.json says."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.speed.rounds import middle_and_range
from lightning_liver.tables import Row

ROOT = Path(__file__).parents[2]
ONE_THREAD = "OPENBLAS_NUM_THREADS"  # of the process that measures, not of training
TARGET = 0.03
POLICIES = ("none", "all")  # the reference, and what is asked about

OPTIONS = (
    "data=phantom",
    "data.matrix=256",
    "data.size=256",
    "data.spacing_mm=null",
    "data.cases=8",
    "data.folds=8",
    "data.batch_size=8",
    "data.num_workers=1",
    "model=unet_small",
    "logger=none",
    "trainer.progress=false",
)


def wait_share(policy: str, options: Sequence[str]) -> Mapping[str, float]:
    """timing.json of a training run of its own process."""
    with TemporaryDirectory() as folder:
        typed = [f"augment={policy}", *OPTIONS, *options, f"hydra.run.dir={folder}/run"]
        environment = {name: value for name, value in os.environ.items() if name != ONE_THREAD}
        subprocess.run([sys.executable, "train.py", *typed], cwd=ROOT, env=environment, check=True)
        timing: Mapping[str, float] = json.loads((Path(folder) / "run" / "timing.json").read_text())
        return timing


def wait_rows(*, epochs: int, steps: int, runs: int) -> list[Row]:
    """A row a policy: the share of training time, and slices a second; median over runs and range."""
    options = [f"trainer.max_epochs={epochs}", f"trainer.validate_every={epochs}", f"data.slices_per_epoch={8 * steps}"]
    taken: dict[str, list[Mapping[str, float]]] = {policy: [] for policy in POLICIES}
    for _ in range(runs):
        for policy in POLICIES:
            taken[policy].append(wait_share(policy, options))
    return [_row(policy, timings) for policy, timings in taken.items()]


def verdict(rows: Sequence[Row]) -> str:
    """Whether the policy that is asked about lets training wait too long."""
    share = float(rows[-1]["waits, %"] or 0) / 100
    word = "pass" if share < TARGET else "FAIL"
    return f"augment={rows[-1]['augment']}: waits {share:.2%}, target < {TARGET:.0%}: {word}"


def _row(policy: str, timings: Sequence[Mapping[str, float]]) -> Row:
    share, spread = middle_and_range([100 * timing["wait_share"] for timing in timings], 2)
    speed, speeds = middle_and_range([timing["slices_per_s"] for timing in timings], 1)
    return {"augment": policy, "waits, %": share, "range": spread, "slices/s": speed, "its range": speeds}
