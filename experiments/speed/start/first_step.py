"""Logger that records when training steps end, so that the run need not change otherwise."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger

FILE = "LIVER_FIRST_STEP"  # environment variable that names the file


class FirstStep(TensorBoardLogger):
    """TensorBoard logger that also appends the time of every logged step to a file."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        super().log_metrics(metrics, step)
        if any(name.startswith("train/") for name in metrics):
            with Path(os.environ[FILE]).open("a") as file:
                file.write(f"{time.time()}\n")
