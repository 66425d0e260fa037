"""Commands as a user types them, in processes of their own."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

ROOT = Path(__file__).parents[2]
SMALL = (
    "data=lits",
    "data.size=32",
    "data.slices_per_epoch=16",
    "data.batch_size=4",
    "data.num_workers=0",
    "data.workers=0",
    "model.base_channels=4",
    "model.depth=2",
    "model.dropout=0.3",
    "report=false",
    "trainer=cpu",
    "trainer.threads=1",
    "trainer.max_epochs=2",
)


def start(app: str, *arguments: str, folder: Path, new_group: bool = False) -> subprocess.Popen[str]:
    """Start a command in `folder`, its output in one pipe; in a group of its own, as a shell does."""
    # what a shell begins with & does not hear Ctrl-C, and neither do its children
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    script = f"{heard}; from lightning_liver.apps.{app} import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "lightning_liver" / "plugins")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=new_group,
    )


def run(app: str, *arguments: str, folder: Path) -> tuple[int, str]:
    """Return the exit code and the output of a command."""
    process = start(app, *arguments, folder=folder)
    output, _ = process.communicate(timeout=240)
    return process.returncode, output


def small_run(scans: Path, folder: str, *arguments: str) -> list[str]:
    """Return the arguments of a training that takes seconds, in a folder of its own."""
    return [f"data.root={scans}", *SMALL, f"hydra.run.dir={folder}", *arguments]


def call(app: str, *arguments: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the exit code and the output of a command in this process, without the seconds of imports."""
    code = called(app, *arguments, folder=folder)
    captured = capfd.readouterr()
    return code, captured.out + captured.err


def called(app: str, *arguments: str, folder: Path) -> int:
    """Return the exit code of a command in this process."""
    GlobalHydra.instance().clear()
    main = import_module(f"lightning_liver.apps.{app}").main
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"liver-{app}", *arguments])
        patch.chdir(folder)
        patch.setenv("HYDRA_FULL_ERROR", "0")  # main sets it; afterwards it is as it was
        try:
            main()
        except SystemExit as stopped:
            return int(stopped.code or 0)
    return 0
