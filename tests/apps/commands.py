"""Commands as a user types them, in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = (
    "data=lits",
    "data.size=32",
    "data.slices_per_epoch=16",
    "data.batch_size=4",
    "data.loaders=0",
    "data.workers=0",
    "model.base_channels=4",
    "model.depth=2",
    "model.dropout=0.3",
    "trainer=cpu",
    "trainer.threads=1",
    "trainer.max_epochs=2",
)


def start(app: str, *arguments: str, folder: Path) -> subprocess.Popen[str]:
    """A command that runs in `folder`, its output in one pipe."""
    script = f"from lightning_liver.apps.{app} import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(app: str, *arguments: str, folder: Path) -> tuple[int, str]:
    """Exit code and output of a command."""
    process = start(app, *arguments, folder=folder)
    output, _ = process.communicate(timeout=240)
    return process.returncode, output


def small_run(scans: Path, folder: str, *arguments: str) -> list[str]:
    """Arguments of a training that takes seconds, in a folder of its own."""
    return [f"data.root={scans}", *SMALL, f"hydra.run.dir={folder}", *arguments]
