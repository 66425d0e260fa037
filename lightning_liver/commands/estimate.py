"""Estimate of the number of runs of a command line and of their time, before any of them starts."""

import math
import statistics
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hydra
import torch
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from lightning_liver.build import build
from lightning_liver.config import folder, job_names, sweep_dir
from lightning_liver.config import typed as as_typed
from lightning_liver.data.datamodule import SliceOptions
from lightning_liver.data.prepare import folder_of
from lightning_liver.data.store import CaseRecord, open_store
from lightning_liver.errors import LiverError
from lightning_liver.help.unread import refuse_unread
from lightning_liver.inference.predict_volume import autocast_of
from lightning_liver.machine import threads
from lightning_liver.runs.listing import is_done, is_listed
from lightning_liver.runs.timing import read_timing
from lightning_liver.sweep.contenders import fight_of, repeat_of_trials, runs_of
from lightning_liver.sweep.design import jobs as designed
from lightning_liver.sweep.fair_table import read_fair
from lightning_liver.tables import duration
from lightning_liver.training.memory_format import choose_memory_format
from lightning_liver.training.settings import TrainerOptions, limit_of, resolve_auto, shortened
from lightning_liver.training.stopwatch import seconds_of
from lightning_liver.types import STRUCTURES
from lightning_liver.types.options import Count, check

_TIMED_S = 3.0  # spent on timing one kind of step
_FEWEST_STEPS = 3


class Trials(NamedTuple):
    """Trials of a fair comparison before its runs: all, those that have ended, and those that run at once."""

    total: int
    ended: int
    at_once: int


class Plan(NamedTuple):
    """The configs of a command's runs, with Hydra's own part, the number of them that run at once, and trials."""

    runs: Sequence[DictConfig]
    at_once: int
    trials: Trials | None = None


def estimate(arguments: Sequence[str]) -> str:
    """Describe the runs of a command: their number, how many are done, and about how long the others take.

    Args:
        arguments: of liver-train, without `estimate=`.
    """
    plan = plan_of(arguments)
    remaining = [cfg for cfg in plan.runs if not is_done(run_folder(cfg), cfg.results, cfg.trainer)]
    count = f"{len(plan.runs)} run{'s' * (len(plan.runs) > 1)}, {len(plan.runs) - len(remaining)} of them done"
    listed = sum(is_listed(run_folder(cfg).name, cfg.results, cfg.trainer) for cfg in plan.runs)
    if listed:
        count += f", {listed} in {plan.runs[0].results} (results=null runs them here)"
    if not remaining:
        return f"{count}."
    seconds, how = _seconds_a_run(plan, remaining[0])
    total = math.ceil(len(remaining) / plan.at_once) * seconds
    if plan.trials:
        total += math.ceil((plan.trials.total - plan.trials.ended) / plan.trials.at_once) * seconds
        return (
            f"{plan.trials.total} trials, {plan.trials.ended} of them ended, then {count}; {plan.at_once} at a time.\n"
            f"About {seconds:.0f} s each ({how}): at most {duration(total)} for the rest, as hopeless trials end early "
            "and a run whose setting was chosen by its own trial is only tested."
        )
    return (
        f"{count}; {plan.at_once} at a time.\n"
        f"About {seconds:.0f} s a run ({how}): {duration(total)} for the remaining {len(remaining)}."
    )


def plan_of(arguments: Sequence[str]) -> Plan:
    """Compose the runs as Hydra will, from the experiment's own sweep and the arguments.

    Raises:
        HydraException: an error of Hydra itself.
        LiverError: the sweep chooses its runs as it goes, so they cannot be listed.
    """
    flags = ArgumentParser(add_help=False, allow_abbrev=False)
    flags.add_argument("-cd", "--config-dir")
    own, others = flags.parse_known_args(arguments)
    typed = [argument for argument in others if not argument.startswith("-")]
    if own.config_dir:
        typed.append(f"hydra.searchpath=[{as_typed(f'file://{Path(own.config_dir).resolve()}')}]")
    parser = OverridesParser.create()
    fixed = [
        override.input_line or "" for override in parser.parse_overrides(typed) if not override.is_sweep_override()
    ]
    with hydra.initialize_config_dir(str(folder()), version_base="1.3"):
        whole = hydra.compose("train", fixed, return_hydra_config=True)
        if whole.hydra.mode != RunMode.MULTIRUN and not {"-m", "--multirun"} & set(arguments):
            refuse_unread("train", whole, whole.hydra.runtime.choices)
            return Plan([whole], 1)
        parsed = parser.parse_overrides(typed)
        task = [override.input_line or "" for override in parsed if not override.is_hydra_override()]
        names = job_names(task, sweep_dir(whole, task))
        sweeper = whole.hydra.sweeper
        if "trials" in sweeper:
            return _plan_of_fair(whole, typed, names)
        is_design = "factors" in sweeper
        if not is_design and not sweeper._target_.endswith(BasicSweeper.__name__):
            raise LiverError(
                "estimate=true: expected a plain sweep, a design or a fair comparison; "
                f"hydra/sweeper={whole.hydra.runtime.choices['hydra/sweeper']} chooses its runs as it goes"
            )
        swept = [f"{name}={value}" for name, value in (sweeper.params or {}).items()]
        (jobs,) = BasicSweeper.split_arguments(parser.parse_overrides([*swept, *typed]), None)
        jobs = list(designed(sweeper.factors or {}, jobs)) if is_design else jobs
        runs = [hydra.compose("train", [*job, *names], return_hydra_config=True) for job in jobs]
        refuse_unread("train", runs[0], runs[0].hydra.runtime.choices)
    return Plan(runs, min(len(runs), _jobs_at_once(whole)))


def _plan_of_fair(whole: DictConfig, arguments: Sequence[str], names: Sequence[str]) -> Plan:
    """Compose the tested runs with what their contenders have chosen, as far as they have, and count the trials."""
    sweeper = whole.hydra.sweeper
    check("hydra.sweeper.trials", sweeper.trials, Count)
    fight = fight_of(sweeper.params, arguments, OverridesParser.create())
    repeat_of_trials(fight.repeats, whole.data)
    known = read_fair(Path(whole.hydra.sweep.dir))
    runs = [
        hydra.compose("train", [*overrides, *names], return_hydra_config=True)
        for _, overrides in runs_of(fight, known.chosen if known else {})
    ]
    contenders, at_once = {each.name for each in fight.contenders}, _jobs_at_once(whole)
    ended = sum(each.trials for each in known.contenders if each.contender in contenders) if known else 0
    trials = Trials(sweeper.trials * len(fight.contenders), ended, min(len(fight.contenders), at_once))
    return Plan(runs, min(len(runs), at_once), trials)


def _jobs_at_once(whole: DictConfig) -> int:
    wanted: int = OmegaConf.select(whole, "hydra.launcher.n_jobs", default=1)
    return wanted if wanted > 0 else threads()


def run_folder(cfg: DictConfig) -> Path:
    """Return the folder of a run of a sweep."""
    return Path(cfg.hydra.sweep.dir) / cfg.hydra.sweep.subdir


def _seconds_a_run(plan: Plan, cfg: DictConfig) -> tuple[float, str]:
    """Return the mean time of the study's complete runs, else a measured one, and its source."""
    timings = [read_timing(run_folder(run)).total_s(with_preparation=True) for run in plan.runs]
    known = [seconds for seconds in timings if seconds is not None]
    if known:
        return statistics.mean(known), f"mean of {len(known)} complete"
    return _measured(cfg, plan.at_once)


def _measured(cfg: DictConfig, at_once: int) -> tuple[float, str]:
    """Time a few steps of training and of evaluation, and multiply by their number."""
    options = resolve_auto(shortened(build(cfg.trainer)))
    torch.set_num_threads(cfg.trainer.threads or max(threads() // at_once, 1))
    slices: SliceOptions = build(cfg.data.slices)
    step = _Step(build(cfg.model), build(cfg.loss), build(cfg.optimizer), options)
    choose_memory_format(step.network, options, (slices.batch_size, slices.channels, *slices.size_yx))
    step_s = _seconds(lambda: step.train(*_batch(slices, slices.batch_size, slices.size_yx)), step.device)
    batches = limit_of(max(slices.slices_per_epoch // slices.batch_size, 1), options.limit_train_batches)
    steps = options.max_epochs * batches
    if options.max_steps is not None:
        steps = options.max_steps * options.accumulate_grad_batches
    fit_s = 60 * options.max_minutes if options.max_minutes else steps * step_s
    records = _records(cfg.data)
    if not records:
        return fit_s, f"{step_s * 1000:.0f} ms a step; preparing and testing not included"
    slice_s = _seconds(lambda: step.predict(*_batch(slices, 1, records[0].shape[1:])), step.device)
    validations = 0 if options.max_minutes else max(steps // batches // options.check_val_every_n_epoch, 1)
    fold = sum(record.shape[0] for record in records) / cfg.data.folds
    # the best weights evaluate the whole fold and about as many test slices
    evaluated = validations * min(fold, slices.val_slices or math.inf) + 2 * fold
    return fit_s + slice_s * evaluated, f"{step_s * 1000:.0f} ms a step, {slice_s * 1000:.0f} ms a slice to evaluate"


def _records(data: DictConfig) -> list[CaseRecord]:
    """Return the prepared cases, none if they are not prepared."""
    try:
        return list(open_store(folder_of(str(data.store), data.spacing_mm)).cases.values())
    except LiverError:
        return []


class _Step:
    """A network that takes steps on synthetic slices, as the trainer would."""

    def __init__(
        self, network: nn.Module, loss: Callable[..., Tensor], optimizer: Any, options: TrainerOptions
    ) -> None:
        self.device = torch.device("cpu" if options.accelerator == "cpu" else options.accelerator)
        self.network, self.loss = network.to(self.device), loss
        self.optimizer = optimizer(self.network.parameters())
        self.autocast = autocast_of(self.device.type, options.precision)

    def train(self, images: Tensor, target: Tensor) -> None:
        self.network.train()
        self._loss(images, target).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.no_grad()
    def predict(self, images: Tensor, target: Tensor) -> None:
        self.network.eval()
        self._loss(images, target)

    def _loss(self, images: Tensor, target: Tensor) -> Tensor:
        with self.autocast:
            logits: Any = self.network(images.to(self.device))
        levels = [logits.float()] if isinstance(logits, Tensor) else [level.float() for level in logits]
        loss = self.loss(levels[0] if isinstance(logits, Tensor) else levels, target.to(self.device))
        loss.item()  # waits for the device
        return loss


def _batch(slices: SliceOptions, count: int, size_yx: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    height, width = (side + -side % 32 for side in size_yx)
    target = torch.zeros(count, len(STRUCTURES), height, width)
    target[..., : height // 2, : width // 3] = 1
    return torch.randn(count, slices.channels, height, width), target


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    """Return the median time of a few steps, after one to warm up."""
    step()
    times: list[float] = []
    while len(times) < _FEWEST_STEPS or sum(times) < _TIMED_S:
        times.append(seconds_of(step, device))
    return statistics.median(times)
