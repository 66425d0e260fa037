"""A logger that says when the first training step is done: the run stays as `python train.py` has it."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger

TOLD = "LIVER_FIRST_STEP"  # the environment's variable that names the file


class FirstStep(TensorBoardLogger):
    """TensorBoard, and the clock of the first step that is logged written to a file."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        super().log_metrics(metrics, step)
        told = Path(os.environ[TOLD])
        if any(name.startswith("train/") for name in metrics) and not told.exists():
            told.write_text(str(time.time()))
