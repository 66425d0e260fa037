"""Last words of a sweep: its table, its best run and the commands that go on from it; after Ctrl-C how to continue."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from lightning_liver.errors import LiverError

_sweep: list[Path] = []  # folder of the sweep that this process runs


class SweepEnd(Callback):
    """Notes the folder of a sweep as it begins, and has joblib's workers end with this process."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _sweep[:] = [Path(str(OmegaConf.select(config, "hydra.sweep.dir")))]
        if "joblib" in str(OmegaConf.select(config, "hydra.launcher._target_")):
            from lightning_liver.commands.sweep_workers import end_with_the_sweep  # here: other sweeps need no joblib

            end_with_the_sweep()


def print_sweep_end() -> None:
    """Print what the sweep came to, failed or not; nothing after a single run."""
    if _sweep:
        from lightning_liver.commands.runs import sweep_end  # here, so that commands start quickly

        with suppress(LiverError):  # it was refused before it had a folder
            print(f"\n{sweep_end(_sweep.pop())}", flush=True)


def how_to_continue() -> str:
    """Return what continues an interrupted sweep; empty for a single run."""
    if not _sweep:
        return ""
    return f"The same command continues the sweep and skips its complete runs; liver-runs {_sweep.pop()} lists them."
