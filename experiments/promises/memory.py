"""python -m experiments.promises.memory [--epochs 500] [--folder FOLDER]

Train a tiny network on phantoms for many epochs, and print the resident memory and the open files of the process as it
goes, for README.md.
"""

import argparse
import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pytorch_lightning as pl

from lightning_liver.commands.train import train
from lightning_liver.config import compose
from lightning_liver.tables import text_table

_TINY = (
    "data.matrix=64",
    "data.cases=5",
    "data.size=32",
    "data.slices_per_epoch=16",
    "data.val_slices=16",
    "data.num_workers=0",
    "data.workers=1",
    "model.base_channels=2",
    "model.depth=2",
    "logger=[tensorboard,csv]",
    "trainer=cpu",
    "trainer.threads=1",
    "trainer.precision=32-true",
    "trainer.enable_progress_bar=false",
    "report=false",
)
_WARM = 0.1  # fraction of the epochs in which caches and pools still fill


class Usage(pl.Callback):
    """Writes a row after each epoch: resident memory, number of open files, and number of threads."""

    def __init__(self, table: str) -> None:
        self.table, self.process = Path(table), psutil.Process()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        used = self.process.memory_info().rss / 2**20, self.process.num_fds(), self.process.num_threads()
        with self.table.open("a", newline="") as file:
            csv.writer(file).writerow([trainer.current_epoch + 1, *used])


def measure(folder: Path, epochs: int) -> list[dict[str, str]]:
    """Train in a folder and return what the process used: levels, and the rise after the first tenth."""
    table = folder / "usage.csv"
    watch = [f"+callbacks.usage={{_target_: experiments.promises.memory.Usage, table: '{table}'}}"]
    train(compose("train", [*_TINY, f"trainer.max_epochs={epochs}", *watch]), folder / "run")
    rows = np.atleast_2d(np.loadtxt(table, delimiter=","))
    warm = rows[int(len(rows) * _WARM) :]
    return [
        {
            "what": name,
            "epoch 1": f"{rows[0, column]:.0f}",
            f"epoch {warm[0, 0]:.0f}": f"{warm[0, column]:.0f}",
            f"epoch {rows[-1, 0]:.0f}": f"{rows[-1, column]:.0f}",
            "highest": f"{rows[:, column].max():.0f}",
            "per 100 epochs": f"{100 * np.polyfit(warm[:, 0], warm[:, column], 1)[0]:+.2f}",
        }
        for column, name in enumerate(["resident memory, MiB", "open files", "threads"], start=1)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.promises.memory", description=__doc__)
    parser.add_argument("--epochs", type=int, default=500, help="number of epochs")
    parser.add_argument("--folder", type=Path, help="of the run, kept; a temporary one by default")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(text_table(measure(folder, given.epochs)))


if __name__ == "__main__":
    main()
