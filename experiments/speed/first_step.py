"""A logger that says when training steps are done: the run stays as `python train.py` has it."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger

TOLD = "LIVER_FIRST_STEP"  # the environment's variable that names the file


class FirstStep(TensorBoardLogger):
    """TensorBoard, and a line with the clock in a file for every step that is logged."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        super().log_metrics(metrics, step)
        if any(name.startswith("train/") for name in metrics):
            with Path(os.environ[TOLD]).open("a") as told:
                told.write(f"{time.time()}\n")
