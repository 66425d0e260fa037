"""What happens around the steps: seeds, speed, a wall-clock budget."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

log = logging.getLogger(__name__)


class EpochSeeds(Callback):
    """Seeds torch at the start of every epoch from (seed, epoch, process).

    Dropout then depends on nothing else, and a run resumed at an epoch's end goes on as if it had never stopped.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        sequence = np.random.SeedSequence([self.seed, trainer.current_epoch, trainer.global_rank])
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))


class Throughput(Callback):
    """Logs slices a second and the share of training time spent waiting for data, and sums both over the run."""

    def __init__(self) -> None:
        self.waiting_s = self.training_s = 0.0
        self.slices = 0
        self._end = self._start = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._end = time.perf_counter()
        self._epoch = (self.waiting_s, self.training_s, self.slices)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        end = time.perf_counter()
        self.waiting_s += self._start - self._end
        self.training_s += end - self._end
        self.slices += len(batch["image"]) * trainer.world_size
        self._end = end

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        waiting, training, slices = (
            now - before
            for now, before in zip((self.waiting_s, self.training_s, self.slices), self._epoch, strict=True)
        )
        pl_module.log("train/slices_per_s", slices / max(training, 1e-9))
        pl_module.log("train/wait_share", waiting / max(training, 1e-9))

    def summary(self) -> dict[str, float | None]:
        """Over this process's part of the run; None before its first step."""
        if not self.slices:
            return {"slices_per_s": None, "wait_share": None}
        return {"slices_per_s": self.slices / self.training_s, "wait_share": self.waiting_s / self.training_s}


def _now(pl_module: pl.LightningModule) -> float:
    """Seconds, once the device has done what it was given."""
    if pl_module.device.type == "cuda":
        torch.cuda.synchronize(pl_module.device)
    return time.perf_counter()


class Budget(Callback):
    """Trains for a wall-clock budget: times the first steps and a validation, then fixes the number of steps.

    From then on the clock no longer counts, so schedule, checkpoints and a resumed run agree on where the end is. The
    last epoch may be a short one, and is always followed by a validation.

    Args:
        minutes: for training and validating, not for testing.
        steps: the number fixed by an earlier part of this run, or None.
        record: called with the number of steps once it is fixed.
    """

    SETTLING_STEPS = 5  # the first steps pay for compilation, caches and starting the workers
    TIMED_STEPS = 200  # the processor is shared, and a second of it is not like the next
    TIMED_SHARE = 0.1  # of the budget, for machines on which so many steps would take too long

    def __init__(self, *, minutes: float, steps: int | None, record: Callable[[int], None]) -> None:
        self.minutes, self.steps, self.record = minutes, steps, record
        self._begin = time.perf_counter()
        self._marks: list[float] = []  # when the first step began and when each step ended
        self._validation_s = 0.0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._begin = time.perf_counter()
        if stage == "fit" and self.steps is not None:
            self._announce(trainer, self.steps)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validation_begin = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validation_s = _now(pl_module) - self._validation_begin

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._marks = [time.perf_counter()]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.steps is not None and self.steps - trainer.global_step <= trainer.num_training_batches:
            self._end_with(trainer, self.steps - trainer.global_step)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.steps is not None:
            return
        self._marks.append(_now(pl_module))
        timed_s = self._marks[-1] - self._marks[min(self.SETTLING_STEPS, len(self._marks) - 1)]
        enough = len(self._marks) > self.SETTLING_STEPS + self.TIMED_STEPS
        slow = len(self._marks) > self.SETTLING_STEPS + 1 and timed_s > self.TIMED_SHARE * self.minutes * 60
        if enough or slow or batch_idx + 1 == trainer.num_training_batches:
            self._fix(trainer)

    def _fix(self, trainer: pl.Trainer) -> None:
        timed = self._marks[min(self.SETTLING_STEPS, len(self._marks) - 2) :]
        step_s = (timed[-1] - timed[0]) / (len(timed) - 1)
        full = int(trainer.num_training_batches)
        self.steps = max(
            affordable_steps(
                left_s(self._begin, self._marks, self.minutes * 60, step_s),
                step_s=step_s,
                validation_s=self._validation_s,
                validate_every=full * (trainer.check_val_every_n_epoch or 1),
            ),
            trainer.global_step,
        )
        self._announce(trainer, self.steps)
        if self.steps <= full:  # this epoch is the last, and its loader has been asked for all of it
            fetcher = trainer.fit_loop._data_fetcher
            if fetcher is not None:
                fetcher.length = self.steps
                fetcher.done = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch = fetcher.fetched >= self.steps
            self._end_with(trainer, self.steps)
        self.record(self.steps)
        log.info(
            f"{step_s * 1000:.0f} ms a step and {self._validation_s:.1f} s a validation: {self.steps} steps, "
            f"{self.steps / full:.1f} epochs, for {self.minutes:g} minutes"
        )

    def _announce(self, trainer: pl.Trainer, steps: int) -> None:
        # not as Lightning's max_steps: with it a run resumes at a step, no longer at the end of an epoch
        for part in (trainer.lightning_module, trainer.datamodule):  # type: ignore[attr-defined]
            part.total_steps = steps

    def _end_with(self, trainer: pl.Trainer, batches: int) -> None:
        """The run, with this epoch of so many batches."""
        trainer.fit_loop.max_batches = trainer.val_check_batch = batches
        trainer.fit_loop.max_epochs = trainer.current_epoch + 1
        trainer.check_val_every_n_epoch = 1


def left_s(begin: float, marks: Sequence[float], budget_s: float, step_s: float) -> float:
    """Of a budget, what its steps may take all in all, those that are done by now included.

    What a first validation, a compiler and the start of the workers took beyond the time of their steps is gone.

    Args:
        begin: when the budget began to count.
        marks: when the first step began and when each step ended.
    """
    return budget_s - (marks[-1] - begin) + (len(marks) - 1) * step_s


def affordable_steps(seconds: float, *, step_s: float, validation_s: float, validate_every: int) -> int:
    """The most steps that fit, at least one, with a validation after every `validate_every` steps and at the end."""
    cycles, rest = divmod(seconds, validate_every * step_s + validation_s)
    return max(int(cycles) * validate_every + max(int((rest - validation_s) / step_s), 0), 1)
