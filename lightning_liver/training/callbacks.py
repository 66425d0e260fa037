"""Callbacks around the training steps: seeds, throughput, weights of a loss, a wall-clock budget."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import validate_call
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from lightning_liver.losses.weighted import sums_in
from lightning_liver.run_folder import RunFolder
from lightning_liver.training.stopwatch import now
from lightning_liver.types.options import Count

log = logging.getLogger(__name__)


class EpochSeeds(Callback):
    """Seeds torch at the start of every epoch from (seed, epoch, process).

    Dropout then depends on nothing else, and a run resumed at an epoch's end is equal to one that never stopped.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        sequence = np.random.SeedSequence([self.seed, trainer.current_epoch, trainer.global_rank])
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))


class LastEpochs(ModelCheckpoint):
    """Keeps the weights after each of the last epochs, in checkpoints/epochs of the run folder."""

    @validate_call
    def __init__(self, count: Count) -> None:
        super().__init__(
            filename="{epoch}",
            monitor="epoch",
            mode="max",
            save_top_k=count,
            save_weights_only=True,
            save_on_train_epoch_end=True,
        )

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.dirpath = str(RunFolder(Path(trainer.default_root_dir)).epochs)
        super().setup(trainer, pl_module, stage)


class Throughput(Callback):
    """Logs slices per second and the fraction of training time spent waiting for data, and sums both over the run."""

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

    @property
    def slices_per_s(self) -> float | None:
        """Slices per second over this process's part of the run; None before its first step."""
        return self.slices / self.training_s if self.slices else None

    @property
    def wait_share(self) -> float | None:
        """Fraction of the time spent waiting over this process's part of the run; None before its first step."""
        return self.waiting_s / self.training_s if self.slices else None


@dataclass
class StepPlan:
    """Optimizer steps of the whole run; None until a budget in minutes fixes them, and always with one in epochs."""

    steps: int | None

    def planned(self) -> int | None:
        return self.steps


class LossWeights(Callback):
    """Tells a sum of losses how far training is before every step, and logs its weights and terms after every epoch.

    `train/weight/NAME` is the weight at the epoch's last step, `train/loss/NAME` the mean of the term without it.

    Args:
        planned: number of steps of the whole run where a budget in steps or minutes has fixed it, else None.
    """

    def __init__(self, planned: Callable[[], int | None]) -> None:
        self.planned = planned

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for each in sums_in(pl_module.loss):
            each.begin_epoch()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        for each in sums_in(pl_module.loss):
            each.at(trainer.current_epoch, self._fraction(trainer))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for each in sums_in(pl_module.loss):
            each.end_epoch(lambda sums: trainer.strategy.reduce(sums, reduce_op="sum"))  # type: ignore[arg-type, return-value]
            for name, weight in each.weights.items():
                pl_module.log(f"train/weight/{name}", weight)
                pl_module.log(f"train/loss/{name}", each.means[name])

    def _fraction(self, trainer: pl.Trainer) -> float:
        steps = self.planned() or trainer.estimated_stepping_batches
        last = steps - 1 if math.isfinite(steps) else 0
        return min(trainer.global_step / last, 1.0) if last > 0 else 0.0


class StepBudget(Callback):
    """Ends a run with the planned number of optimizer steps; its last epoch may be a short one, and is validated.

    Not by Lightning's max_steps: with it a run resumes at a step, no longer at the end of an epoch.
    """

    def __init__(self, plan: StepPlan) -> None:
        self.plan = plan

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.plan.steps is not None and self.plan.steps - trainer.global_step <= steps_of_epoch(trainer):
            end_after(trainer, self.plan.steps - trainer.global_step)


def steps_of_epoch(trainer: pl.Trainer) -> int:
    """Return the optimizer steps of a whole epoch: the last one may have fewer batches than the others."""
    return math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)


def end_after(trainer: pl.Trainer, steps: int) -> int:
    """End the run with this epoch, after so many optimizer steps of it; return their number of batches."""
    batches = min(steps * trainer.accumulate_grad_batches, int(trainer.num_training_batches))
    trainer.fit_loop.max_batches = trainer.val_check_batch = batches
    trainer.fit_loop.max_epochs = trainer.current_epoch + 1
    trainer.check_val_every_n_epoch = 1
    return batches


class Budget(StepBudget):
    """Trains for a wall-clock budget: times the first steps and a validation, then fixes the number of steps.

    From then on the clock no longer counts, so schedule, checkpoints and a resumed run agree on where the end is. The
    last epoch may be a short one, and is always followed by a validation.

    Args:
        minutes: for training and validating, not for testing.
        plan: holds the number fixed by an earlier part of this run; else it is written there.
        record: called with the number of steps once it is fixed.
    """

    SETTLING_STEPS = 5  # the first steps pay for compilation, caches and starting the workers
    TIMED_STEPS = 200  # the processor is shared, and a second of it is not like the next
    TIMED_SHARE = 0.1  # of the budget, for machines on which so many steps would take too long

    def __init__(self, *, minutes: float, plan: StepPlan, record: Callable[[int], None]) -> None:
        super().__init__(plan)
        self.minutes, self.record = minutes, record
        self._begin = time.perf_counter()
        self._marks: list[float] = []  # when the first batch began and when each batch ended
        self._validation_s = 0.0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._begin = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validation_begin = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validation_s = now(pl_module.device) - self._validation_begin

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._marks = [time.perf_counter()]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.plan.steps is not None:
            return
        self._marks.append(now(pl_module.device))
        timed_s = self._marks[-1] - self._marks[min(self.SETTLING_STEPS, len(self._marks) - 1)]
        enough = len(self._marks) > self.SETTLING_STEPS + self.TIMED_STEPS
        slow = len(self._marks) > self.SETTLING_STEPS + 1 and timed_s > self.TIMED_SHARE * self.minutes * 60
        # processes that train together follow the clock of the first
        if trainer.strategy.broadcast(enough or slow) or batch_idx + 1 == trainer.num_training_batches:
            self._fix(trainer, batch_idx + 1)

    def _fix(self, trainer: pl.Trainer, batches: int) -> None:
        """Fix the number of steps, after so many batches of this epoch."""
        timed = self._marks[min(self.SETTLING_STEPS, len(self._marks) - 2) :]
        batch_s = (timed[-1] - timed[0]) / (len(timed) - 1)
        step_s, full = batch_s * trainer.accumulate_grad_batches, steps_of_epoch(trainer)
        begun = batches % trainer.accumulate_grad_batches > 0 and batches < trainer.num_training_batches
        affordable = affordable_steps(
            left_s(self._begin, self._marks, self.minutes * 60, batch_s),
            step_s=step_s,
            validation_s=self._validation_s,
            validate_every=full * (trainer.check_val_every_n_epoch or 1),
        )
        steps = self.plan.steps = max(trainer.strategy.broadcast(affordable), trainer.global_step + begun)
        if steps <= full:  # this epoch is the last, and its loader has been asked for all of it
            last, fetcher = end_after(trainer, steps), trainer.fit_loop._data_fetcher
            if fetcher is not None:
                fetcher.length = last
                fetcher.done = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch = fetcher.fetched >= last
        self.record(steps)
        log.info(
            f"{step_s * 1000:.0f} ms a step and {self._validation_s:.1f} s a validation: {steps} steps, "
            f"{steps / full:.1f} epochs, for {self.minutes:g} minutes"
        )


def left_s(begin: float, marks: Sequence[float], budget_s: float, batch_s: float) -> float:
    """Return the seconds of the budget available for steps, including those already done.

    The time of a first validation, of a compiler and of starting the workers is taken off.

    Args:
        begin: when the budget began to count.
        marks: when the first batch began and when each batch ended.
    """
    return budget_s - (marks[-1] - begin) + (len(marks) - 1) * batch_s


def affordable_steps(seconds: float, *, step_s: float, validation_s: float, validate_every: int) -> int:
    """Return the most steps that fit, at least one, with a validation every `validate_every` steps and at the end."""
    cycles, rest = divmod(seconds, validate_every * step_s + validation_s)
    return max(int(cycles) * validate_every + max(int((rest - validation_s) / step_s), 0), 1)
