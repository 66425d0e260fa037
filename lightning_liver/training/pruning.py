"""Pruning of a run that is a trial of a study: it reports its scores, and ends when it is given up."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.trainer.states import TrainerFn

from lightning_liver.errors import LiverError


@runtime_checkable
class Reports(Protocol):
    """Takes (step, score) of the metric that it names and says whether to give up."""

    metric: str

    def __call__(self, step: int, value: float, /) -> bool: ...


class Pruning(Callback):
    """Reports the metric after every validation; the step is the epoch, from 0.

    Args:
        reports: receives the metric, and returns True to give up.
        record: called with the reason when the run is given up, before it stops.
    """

    def __init__(self, reports: Reports, *, record: Callable[[str], None]) -> None:
        self.reports, self.record = reports, record

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        metric, known = self.reports.metric, trainer.callback_metrics
        if metric not in known:
            validated = ", ".join(sorted(name for name in known if name.startswith("val/")))
            raise LiverError(f"hydra.sweeper.metric={metric}: a validation gives {validated}")
        value = float(known[metric])
        gives_up = self.reports(trainer.current_epoch, value) if trainer.is_global_zero else False
        if trainer.strategy.broadcast(gives_up):
            self.record(f"{metric} {value:.4f} in epoch {trainer.current_epoch}")
            trainer.should_stop = True
