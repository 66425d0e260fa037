"""A training run from its config to metrics.json, to be read from top to bottom."""

import json
import logging
import time
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from lightning_liver.build import build, prepared
from lightning_liver.commands.report import finish, wants_report
from lightning_liver.config import folder as conf
from lightning_liver.config import identity, read_config
from lightning_liver.data.datamodule import SliceDataModule
from lightning_liver.data.splits import Split
from lightning_liver.errors import LiverError, Pruned, Unfinished
from lightning_liver.inference import thresholds
from lightning_liver.inference.decision import Gain, post_process_of, thresholds_of, write_decision
from lightning_liver.report.cases import data_rows, draw_cases, loss_rows, result_table, run_figures, write_scores
from lightning_liver.runs.done import is_listed
from lightning_liver.tables import or_none, write_csv, write_json_whole
from lightning_liver.training.assembly import assemble, split_of
from lightning_liver.training.callbacks import Budget, EpochSeeds, Throughput
from lightning_liver.training.compiling import compiled, is_wanted
from lightning_liver.training.forgetting import forgetting
from lightning_liver.training.memory_format import choose_memory_format
from lightning_liver.training.panels import ValidationPanels
from lightning_liver.training.pruning import Pruning
from lightning_liver.training.run_state import budget_of, chosen_for, is_fitted, locked, pruned_for, record
from lightning_liver.training.settings import TrainerOptions
from lightning_liver.training.start import SCRATCH, begin, needs_target, target_store
from lightning_liver.training.task import SegmentationTask
from lightning_liver.training.trainer import log_hyperparameters, quieten, trainer
from lightning_liver.training.volume_scores import PostprocessGains, VolumeScores
from lightning_liver.types import Metrics

log = logging.getLogger(__name__)


def train(cfg: DictConfig, folder: Path) -> Metrics:
    """Prepare, train, test and draw into a run folder; the metrics are also in its metrics.json, written last.

    A folder that already holds a part of this run is gone on with, one that holds all of it is left alone, and what a
    study's results.csv has is not run at all.

    Raises:
        LiverError: something that the user can mend.
        Pruned: the trial that it is was given up.
    """
    if is_listed(folder.name, cfg.results, cfg.trainer):
        log.info(f"{folder.name} is in {cfg.results}: not run again. With results=null it would be.")
        return {}
    with locked(folder):
        quieten()
        before = _complete(folder)
        options, steps = chosen_for(build(cfg.trainer), folder, identity(cfg))
        if before is not None and is_fitted(folder):
            log.info(f"{folder} is complete. To train on, give it a longer trainer.max_epochs or trainer.max_minutes.")
            return before
        if cfg.trial:
            _stop_if_pruned(folder)
        began = time.perf_counter()
        with_report = wants_report(cfg)
        parts = assemble(cfg, folder)
        strategy, slices = parts.strategy, parts.slices
        shape = (slices.batch_size, slices.channels, *slices.size_yx)
        compiles = is_wanted(options, looked_into=bool(strategy and strategy.terms))
        options = replace(options, compile=compiles, channels_last=choose_memory_format(parts.network, options, shape))
        record(folder, compile=compiles, channels_last=options.channels_last)
        in_training = compiled(parts.network, options)
        store = prepared(cfg.data)
        split = split_of(cfg.data, store, folder)
        target = target_store(strategy, cfg.data) if strategy and needs_target(strategy) else None
        data = SliceDataModule(store, split, parts.augment, slices, seed=cfg.seed, target=target)
        start = begin(strategy, parts.network, parts.copied, data, options, folder) if strategy else SCRATCH
        task = parts.task(terms=start.terms, groups=start.groups)
        task.in_training = in_training

        throughput = Throughput()
        callbacks = [EpochSeeds(cfg.seed), throughput, ValidationPanels(data, count=4), *start.callbacks]
        if options.max_minutes is not None:
            fix = partial(_fix_steps, folder)
            callbacks.append(Budget(minutes=options.max_minutes, steps=steps, record=fix))
        if cfg.trial:
            callbacks.append(Pruning(build(cfg.trial), record=partial(_record_pruned, folder)))
        logger: Logger | None = build(cfg.logger, save_dir=folder) if cfg.logger else None
        lightning = trainer(options, folder, callbacks=callbacks, logger=logger or False)
        _say(options, split, folder)
        prepared_s = time.perf_counter() - began

        (folder / "metrics.json").unlink(missing_ok=True)
        _fit(lightning, task, data, folder)
        if cfg.trial:
            _stop_if_pruned(folder)
        record(folder, fitted=True)
        fitted_s = time.perf_counter() - began - prepared_s
        kept = forgetting(strategy, task, folder / "checkpoints" / "best.ckpt", options) if strategy else {}
        volumes = VolumeScores(data, post_process_of(cfg.inference.get("postprocess")), **cfg.scores)
        metrics = _evaluate(lightning, task, data, folder, cfg.inference, volumes) | kept
        tested_s = time.perf_counter() - began - prepared_s - fitted_s

        write_csv(folder / "data.csv", data_rows(store, split))
        rows = write_scores(folder, store, volumes.scores, task.calibration)
        if task.test_losses:
            write_csv(folder / "losses.csv", loss_rows(store, split.test, task.losses_per_case()))
        draw_cases(folder / "pictures", store, rows, volumes.kept, data.normalization.window_hu)
        timing: Metrics = {"prepare_s": prepared_s, "fit_s": fitted_s, "test_s": tested_s}
        write_json_whole(folder / "timing.json", timing | throughput.summary())
        log_hyperparameters(logger, cfg, metrics)
        finish(folder, metrics, with_report=with_report)
        write_json_whole(folder / "metrics.json", metrics)
        log.info(f"{result_table(rows)}\n\nPictures: {folder / 'pictures'}")
        return metrics


def resume(cfg: DictConfig, folder: Path) -> Metrics:
    """Go on with the run of a folder with its own config; `cfg` has the budget, if another one was typed."""
    saved = read_config(folder / ".hydra" / "config.yaml")
    typed = [override for override in HydraConfig.get().overrides.task if not override.startswith("resume=")]
    budget = OmegaConf.create({"trainer": budget_of(folder), "trial": None})  # by hand it is no trial
    scores = {"scores": OmegaConf.load(conf() / "train.yaml").scores}  # runs of earlier versions do not say
    return train(DictConfig(OmegaConf.merge(scores, saved, budget, OmegaConf.from_dotlist(typed))), folder)


def _complete(folder: Path) -> Metrics | None:
    path = folder / "metrics.json"
    return dict(json.loads(path.read_text())) if path.exists() else None


def _fix_steps(folder: Path, steps: int) -> None:
    record(folder, steps=steps)


def _record_pruned(folder: Path, reason: str) -> None:
    record(folder, pruned=reason)


def _stop_if_pruned(folder: Path) -> None:
    if reason := pruned_for(folder):
        raise Pruned(reason)


def _fit(lightning: pl.Trainer, task: SegmentationTask, data: SliceDataModule, folder: Path) -> None:
    """Train from where the folder is to the end.

    Raises:
        Unfinished: the user stopped it.
        LiverError: its last checkpoint cannot be read.
    """
    last = folder / "checkpoints" / "last.ckpt"
    if is_fitted(folder):
        return
    if last.exists() and not zipfile.is_zipfile(last):
        raise LiverError(f"{last} is damaged: copy it again, or delete it to train from the beginning")
    if last.exists():
        saved = lightning.strategy.load_checkpoint(last, weights_only=True)
        log.info(f"Going on after epoch {saved['epoch'] + 1}, step {saved['global_step']}")
    try:
        lightning.fit(task, data, ckpt_path=last if last.exists() else None, weights_only=True)
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise Unfinished(f"Interrupted. Go on with: python train.py resume={folder}") from None


def _evaluate(
    lightning: pl.Trainer,
    task: SegmentationTask,
    data: SliceDataModule,
    folder: Path,
    inference: DictConfig,
    volumes: VolumeScores,
) -> Metrics:
    """Scores of the best weights: of the validation cases as training saw them, and of the test cases as volumes.

    Between the two, decision.json says what validation found out about thresholds and post-processing.
    """
    best, last = (folder / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    progress = lightning.strategy.load_checkpoint(last, weights_only=True)
    gains, task.tuning = PostprocessGains(data), thresholds.empty(len(data.split.val))
    lightning.callbacks += [gains, volumes]  # type: ignore[attr-defined]  # not while training
    logged: dict[str, float | None] = dict(
        lightning.validate(task, data, ckpt_path=best, weights_only=True, verbose=False)[0]
    )
    _decide(folder, task, task.tuning, gains.rows(), inference)
    if data.split.test:
        logged |= lightning.test(task, data, ckpt_path=best, weights_only=True, verbose=False)[0]
        logged |= run_figures(volumes.scores)
    scores = {name: or_none(value) for name, value in sorted(logged.items())}
    return {**scores, "steps": progress["global_step"], "epochs": progress["epoch"] + 1}


def _decide(
    folder: Path, task: SegmentationTask, table: thresholds.Table, gains: list[Gain], inference: DictConfig
) -> None:
    """Tune the thresholds, take those that the config asks for, and keep both."""
    tuned = thresholds.best(table)
    given = OmegaConf.to_container(inference).get("thresholds")  # type: ignore[union-attr]
    task.thresholds = tuned if given == "tuned" else thresholds_of(given, None)
    rows: list[Gain] = [
        {"what": name, **thresholds.mean_dice(table, at)}  # type: ignore[typeddict-item]
        for name, at in (("thresholds one half", thresholds.HALF), ("tuned thresholds", tuned))
    ]
    write_decision(folder, task.thresholds, tuned, [*rows, *gains] if len(table) else [])


def _say(options: TrainerOptions, split: Split, folder: Path) -> None:
    threads = f", {options.threads} thread{'s' * (options.threads > 1)}" if options.threads else ""
    how = ", channels last" * bool(options.channels_last) + ", compiled" * bool(options.compile)
    log.info(
        f"Training on {options.accelerator} in {options.precision}{how}{threads}; "
        f"{len(split.train)} cases train, {len(split.val)} validate, {len(split.test)} test; run folder {folder}"
    )
