"""Evaluation of a run or of masks, by the options given."""

from collections.abc import Callable
from pathlib import Path

from hydra.utils import get_method
from omegaconf import DictConfig

from lightning_liver.errors import LiverError

Job = Callable[[DictConfig, Path], object]


def evaluate(cfg: DictConfig, folder: Path) -> object:
    """Score a run or masks, whichever the options name; see evaluate_run.py and evaluate_masks.py.

    Raises:
        LiverError: neither or both are named; what the two raise.
    """
    of_masks = cfg.truth is not None or cfg.predictions is not None
    if of_masks and cfg.run is not None:
        raise LiverError("run: expected either run= or truth= with predictions=; give one of the two")
    if cfg.run is None and (cfg.truth is None or cfg.predictions is None):
        raise LiverError("run=null: expected a run folder or masks; type run=RUN_FOLDER, or truth=DIR predictions=DIR")
    # imported only now: masks need no Lightning
    name = "evaluate_masks.evaluate_masks" if of_masks else "evaluate_run.evaluate_run"
    job: Job = get_method(f"lightning_liver.commands.{name}")
    return job(cfg, folder)
