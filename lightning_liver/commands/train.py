"""liver-train: a training run from its config to metrics.json, to be read from top to bottom."""

import logging
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lightning_liver.build import build
from lightning_liver.commands.report import finish, wants_report
from lightning_liver.config import folder as conf
from lightning_liver.config import identity, refuse_other_code, values_of
from lightning_liver.errors import Interrupted, LiverError, cannot_write
from lightning_liver.files import write_whole
from lightning_liver.inference.decision import write_decision
from lightning_liver.readers import AGAIN
from lightning_liver.report.cases import result_table, run_figures, write_cases
from lightning_liver.report.numbers import number_text
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.checkpoints import read_training
from lightning_liver.runs.listing import is_listed, replaced_row
from lightning_liver.runs.timing import Timing, read_timing, write_timing
from lightning_liver.runs.trained import read_run_config, trusted
from lightning_liver.runs.warning_log import keeping_warnings
from lightning_liver.tables import Row, or_none
from lightning_liver.training.assembly import TrainingRun, assemble, reopen_loggers
from lightning_liver.training.domain_statistics import adapt, remember_target, say_adapted
from lightning_liver.training.forgetting import forgetting
from lightning_liver.training.loggers import finish_loggers
from lightning_liver.training.processes import Place, from_first, joined, processes_of
from lightning_liver.training.run_state import RunState, locked
from lightning_liver.training.settings import TrainerOptions, check_trainer, shortened
from lightning_liver.training.start import learning_from_target
from lightning_liver.training.stopwatch import Stopwatch
from lightning_liver.training.together import Speed, agree, fit_here, fit_on_node, fit_together, place_of
from lightning_liver.training.trainer import keep_weights, quieten
from lightning_liver.types import Metrics

log = logging.getLogger(__name__)

_OF_EVERY_RUN = (
    "data",
    "augment",
    "model",
    "loss",
    "optimizer",
    "scheduler",
    "inference",
    "trainer",
    "seed",
    "results",
)

_ONE_PIXEL = "Expected more than 1 value per channel"  # in the message of torch.nn.functional.batch_norm


def train(cfg: DictConfig, folder: Path) -> Metrics:
    """Prepare, train, test and draw into a run folder; the metrics are also in its metrics.json, written last.

    A folder that holds a part of this run is continued, a complete one is returned as it is, and a run that a study's
    results.csv lists is skipped, unless it is a trial, whose score is needed. A trial with `tested: false` ends with
    its validation; the same run that is no trial continues it with its test.

    Raises:
        LiverError: a mistake that the user can fix.
        Pruned: the run is a trial that was given up.
    """
    options = _trainer_options(cfg)
    place = place_of(options)
    if place is None:
        return _train(cfg, folder, options)
    with joined(place):
        folder = agree(folder, identity(cfg))
        if place.is_first:
            return _train(cfg, folder, options, place)
        _follow(cfg, folder, place)
        return {}


def _train(cfg: DictConfig, folder: Path, options: TrainerOptions, place: Place | None = None) -> Metrics:
    """Do all of a run but for its training by further processes, which `place` says are there or not."""
    if not cfg.trial and is_listed(folder.name, cfg.results, cfg.trainer):
        log.info(f"{folder.name} is skipped: {cfg.results} lists it. results=null repeats it.")
        return {}
    if other := replaced_row(folder.name, cfg.results):
        log.info(f"{folder.name} runs again: {cfg.results} lists {other}, of an earlier version of its options.")
    with _releasing(place) as release, locked(folder) as state, keeping_warnings(folder), _resumable(folder):
        quieten()
        options = state.bind(options, identity(cfg))
        _keep_config(cfg, state.files)
        if state.is_complete:
            log.info(f"{folder} is complete. To train on, give it a longer trainer.{options.budget}.")
            return state.metrics()
        _raise_if_pruned(cfg, state)
        with_report, watch = wants_report(cfg), Stopwatch()
        run = assemble(cfg, options, state)
        prepare_s = watch.lap()
        timing = _fit(run, state, prepare_s, partial(_train_on, run, cfg, state, place, release))
        if processes_of(options) * options.num_nodes > 1:
            run = reopen_loggers(run, cfg, state)
        _raise_if_pruned(cfg, state)
        state.record(fitted=True, validated=None)
        watch.lap()
        metrics = _validate(run, folder, trusted(cfg))
        if cfg.trial and not cfg.trial.tested:
            state.record(validated=f"{cfg.trial.metric} {number_text(metrics.get(cfg.trial.metric), 4)}")
            return metrics
        metrics |= _test(run, folder)
        rows = _write_cases(run, folder)
        write_timing(folder, replace(timing, test_s=watch.lap()))
        finish_loggers(run.loggers, cfg, metrics)
        finish(folder, metrics, with_report=with_report)
        state.complete(metrics)
        log.info(f"{result_table(rows)}\n\nPictures: {state.files.pictures}")
        return metrics


def resume(cfg: DictConfig, folder: Path) -> Metrics:
    """Continue the run of a folder with its own config; `cfg` has the budget, if another one was typed.

    Raises:
        LiverError: its config is damaged, or as `train`.
    """
    saved = read_run_config(folder, trusted(cfg))
    if missing := [name for name in _OF_EVERY_RUN if name not in saved]:
        raise LiverError(f"{RunFolder(folder).config}: damaged (no {missing[0]}); {AGAIN}")
    typed = values_of([override for override in HydraConfig.get().overrides.task if not override.startswith("resume=")])
    budget = OmegaConf.create({"trainer": RunState(folder).budget, "trial": None})  # resumed by hand it is no trial
    scores = {"scores": OmegaConf.load(conf() / "train.yaml").scores}  # runs of earlier versions have none
    whole = DictConfig(OmegaConf.merge(scores, saved, budget))
    for option, value in typed.items():
        OmegaConf.update(whole, option, value)
    refuse_other_code(whole)
    return train(whole, folder)


def _keep_config(cfg: DictConfig, files: RunFolder) -> None:
    """Write the config into the run folder if Hydra did not, as where this is called from Python."""
    if not files.config.exists():
        files.hydra.mkdir(parents=True, exist_ok=True)
        write_whole(files.config, OmegaConf.to_yaml(cfg))


def _trainer_options(cfg: DictConfig) -> TrainerOptions:
    options: TrainerOptions = build(cfg.trainer)
    check_trainer(options)
    return shortened(options)


def _raise_if_pruned(cfg: DictConfig, state: RunState) -> None:
    if cfg.trial:
        state.raise_if_pruned()


def _fit(run: TrainingRun, state: RunState, prepare_s: float, train_on: Callable[[], Speed]) -> Timing:
    """Train from the last checkpoint of the folder, if there is one, to the end; the run is incomplete from now on.

    Args:
        train_on: trains, if the strategy does.

    Returns:
        What is also in timing.json: the seconds so far; those of the earlier process if it had trained to the end.

    Raises:
        SystemExit: the user stopped it.
        LiverError: the last checkpoint is damaged.
    """
    state.reopen()
    if state.is_fitted:
        return read_timing(state.folder)
    watch = Stopwatch()
    speed = Speed(None, None)
    if run.strategy.trains:
        speed = train_on()
    else:
        adapt(run.trainer, run.task, run.data, state.files, str(run.strategy.target_root))
    timing = Timing(
        prepare_s=prepare_s, fit_s=watch.lap(), slices_per_s=speed.slices_per_s, wait_share=speed.wait_share
    )
    write_timing(state.folder, timing)
    return timing


def _train_on(
    run: TrainingRun, cfg: DictConfig, state: RunState, place: Place | None, release: Callable[..., None]
) -> Speed:
    """Train by this process, by new ones beside it, or with those that torchrun or srun started."""
    last = state.files.last
    if last.exists():
        saved = read_training(last, run.task)
        log.info(f"Continuing after epoch {saved['epoch'] + 1}, step {saved['global_step']}")
    if place is None and processes_of(run.options) == 1:
        return fit_here(run, last)
    if place is None:
        speed = fit_on_node(cfg, run.options, state.folder)
    else:
        release(run.options)
        speed = fit_together(place, cfg, run.options, state.folder)
    state.read_again()
    return speed


@contextmanager
def _releasing(place: Place | None) -> Iterator[Callable[..., None]]:
    """Yield what tells the waiting processes to train; those that were not told by the end are told to leave."""
    told = []

    def release(options: TrainerOptions | None) -> None:
        told.append(options)
        from_first(options)

    try:
        yield release
    finally:
        if place is not None and not told:
            release(None)


def _follow(cfg: DictConfig, folder: Path, place: Place) -> None:
    """Wait until the first process has prepared the run, train with it, and leave the rest to it."""
    options: TrainerOptions | None = from_first(None)
    if options is not None:
        with _resumable(folder):
            fit_together(place, cfg, options, folder)


@contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Say how to continue after Ctrl-C, another signal that ends the run, or a full disk.

    Raises:
        Interrupted: in place of KeyboardInterrupt, and of Lightning's SystemExit.
        LiverError: a file does not fit, the folder is read-only, or a batch is too small for batch norm.
    """
    command = f"python train.py {shlex.quote(f'resume={folder}')}"
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        raise Interrupted(f"Interrupted. Continue with: {command}") from None
    except Exception as error:
        if _ONE_PIXEL in str(error):
            raise LiverError(
                "data.batch_size=1: expected at least 2 here, since batch norm sees one pixel of a slice; "
                "set data.batch_size=2, a larger data.size, a smaller model.depth, or model.norm=none"
            ) from error
        if not (told := cannot_write(error, folder, f"continue with: {command}")):
            raise
        raise LiverError(told) from error


def _validate(run: TrainingRun, folder: Path, trust: Sequence[str]) -> Metrics:
    """Return the scores of the best weights on validation cases, as training saw them, and the length of the training.

    Thresholds and post-processing are measured, too, and written to decision.json.
    """
    files = RunFolder(folder)
    keep_weights(run.trainer)
    _remember_target(run, files)
    progress = read_training(files.last, run.task)
    read_training(files.best, run.task)
    forgotten = forgetting(run.strategy, run.task, files.best, run.options, trust)
    [logged] = run.trainer.validate(run.task, run.data, ckpt_path=files.best, weights_only=True, verbose=False)
    tuning = run.measures.tuning
    write_decision(folder, tuning.used(), tuning.tuned(), [*tuning.rows(), *run.measures.gains.rows()])
    steps = progress["global_step"]
    return _finite(logged) | {"steps": steps, "epochs": progress["epoch"] + 1 if steps else 0} | forgotten


def _remember_target(run: TrainingRun, files: RunFolder) -> None:
    if not run.strategy.trains:
        say_adapted(files)
    elif learning_from_target(run.strategy):
        remember_target(run.task, run.data, run.by_domain, files, str(run.strategy.target_root))


def _test(run: TrainingRun, folder: Path) -> Metrics:
    """Return the scores of the best weights on test cases, as volumes; none without a test case."""
    if not run.data.split.test:
        return {}
    [logged] = run.trainer.test(run.task, run.data, ckpt_path=RunFolder(folder).best, weights_only=True, verbose=False)
    return _finite({**logged, **run_figures(run.measures.volumes.scores)})


def _finite(scores: Mapping[str, Any]) -> dict[str, Any]:
    return {name: or_none(value) for name, value in scores.items()}


def _write_cases(run: TrainingRun, folder: Path) -> list[Row]:
    """Write the tables and pictures of the tested cases; return the rows of cases.csv."""
    measures = run.measures
    return write_cases(
        folder,
        run.data.store,
        run.data.split,
        scores=measures.volumes.scores,
        calibration=measures.calibration.bins,
        losses=measures.losses.per_case(),
        shown=measures.volumes.shown,
        window_hu=run.data.normalization.window_hu,
    )
