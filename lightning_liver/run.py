"""A training run from its config to metrics.json, to be read from top to bottom."""

import json
import logging
import math
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from lightning_liver.build import build, prepared
from lightning_liver.data.datamodule import SliceDataModule, SliceOptions
from lightning_liver.data.splits import Split
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError
from lightning_liver.report.cases import case_rows, draw_cases, result_table
from lightning_liver.report.tables import write_cases_csv, write_json_whole
from lightning_liver.task import SegmentationTask
from lightning_liver.training.callbacks import Budget, EpochSeeds, Throughput
from lightning_liver.training.checks import check_network_and_loss
from lightning_liver.training.chosen import chosen_for, record_epochs
from lightning_liver.training.panels import PredictionKeeper, ValidationPanels
from lightning_liver.training.trainer import TrainerOptions, summary_table, trainer

log = logging.getLogger(__name__)

Metrics = dict[str, float | None]


def train(cfg: DictConfig, folder: Path) -> Metrics:
    """Prepare, train, test and draw into a run folder; the metrics are also in its metrics.json, written last.

    A folder that already holds a part of this run is gone on with, one that holds all of it is left alone.

    Raises:
        LiverError: something that the user can mend.
    """
    _quieten()
    begin = time.perf_counter()
    options, epochs = chosen_for(build(cfg.trainer), folder)
    if (folder / "metrics.json").exists():
        log.info(f"{folder} is complete. To train on, give it a longer trainer.max_epochs or trainer.max_minutes.")
        done: Metrics = json.loads((folder / "metrics.json").read_text())
        return done

    pl.seed_everything(cfg.seed, verbose=False)
    slices: SliceOptions = build(cfg.data.slices)
    network, loss, augment = build(cfg.model), build(cfg.loss), build(cfg.augment)
    check_network_and_loss(network, loss, slices.channels, slices.size_yx)
    (folder / "model.txt").write_text(summary_table(network, slices.channels, slices.size_yx) + "\n")

    store = prepared(cfg.data)
    split = _split(cfg.data, store, folder)
    data = SliceDataModule(store, split, augment, slices, seed=cfg.seed)
    task = SegmentationTask(
        network,
        loss,
        terms={},
        optimizer=build(cfg.optimizer),
        scheduler=build(cfg.scheduler),
        multiple=cfg.inference.multiple,
    )
    throughput, predictions = Throughput(), PredictionKeeper(data)
    callbacks = [EpochSeeds(cfg.seed), throughput, ValidationPanels(data, count=4), predictions]
    if options.max_minutes is not None:
        callbacks.append(Budget(minutes=options.max_minutes, epochs=epochs, record=partial(record_epochs, folder)))
    logger: Logger | None = build(cfg.logger, save_dir=folder) if cfg.logger else None
    lightning = trainer(options, folder, callbacks=callbacks, logger=logger or False)
    _say(options, split, folder)
    prepared_s = time.perf_counter() - begin

    last = folder / "checkpoints" / "last.ckpt"
    lightning.fit(task, data, ckpt_path=last if last.exists() else None, weights_only=True)
    if lightning.interrupted:
        raise LiverError(f"Interrupted. Go on with: python train.py resume={folder}")
    fitted_s = time.perf_counter() - begin - prepared_s
    metrics = _evaluate(lightning, task, data, last.with_name("best.ckpt"))
    tested_s = time.perf_counter() - begin - prepared_s - fitted_s

    rows = case_rows(store, split.test, task.counts)
    write_cases_csv(folder / "cases.csv", rows)
    draw_cases(folder / "pictures", store, rows, predictions.kept, data.look.window_hu)
    timing = {"prepare_s": prepared_s, "fit_s": fitted_s, "test_s": tested_s, **throughput.summary()}
    write_json_whole(folder / "timing.json", timing)
    if logger:
        logger.log_hyperparams(
            _hyperparameters(cfg), {name: value for name, value in metrics.items() if value is not None}
        )
        logger.finalize("success")
    write_json_whole(folder / "metrics.json", metrics)
    log.info(f"{result_table(rows)}\n\nPictures: {folder / 'pictures'}")
    return metrics


def summarise(cfg: DictConfig, folder: Path) -> None:
    """Print the layer table of the model and write it to <folder>/<model>.txt."""
    path = folder / f"{HydraConfig.get().runtime.choices['model']}.txt"
    slices: SliceOptions = build(cfg.data.slices)
    table = summary_table(build(cfg.model), slices.channels, slices.size_yx)
    path.write_text(table + "\n")
    log.info(f"{table}\n{path}")


def _quieten() -> None:
    """Leave out what Lightning says of itself and advice that does not fit here."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*exists and is not empty.*",
        ".*mid-epoch.*",
        ".*log_every_n_steps.*",
    ):
        warnings.filterwarnings("ignore", text)


def _split(data: DictConfig, store: Store, folder: Path) -> Split:
    """The split that the run began with, else a new one; either way the lists are in split.json."""
    path = folder / "split.json"
    if path.exists():
        kept = Split(**{part: tuple(names) for part, names in json.loads(path.read_text()).items()})
        gone = [name for name in (*kept.train, *kept.val, *kept.test) if name not in store.cases]
        if gone:
            raise LiverError(f"{path} names cases that data.root no longer has: {', '.join(gone)}")
        return kept
    patients = {name: store.cases[name].patient for name in store.labelled()}
    with_tumour = [name for name in patients if store.cases[name].has_tumour]
    split: Split = build(data.splitting, patients, with_tumour)
    path.write_text(json.dumps(split.to_dict(), indent=1) + "\n")
    return split


def _say(options: TrainerOptions, split: Split, folder: Path) -> None:
    threads = f", {options.threads} threads" if options.threads else ""
    log.info(
        f"Training on {options.accelerator} in {options.precision}{threads}; "
        f"{len(split.train)} cases train, {len(split.val)} validate, {len(split.test)} test; run folder {folder}"
    )


def _evaluate(lightning: pl.Trainer, task: SegmentationTask, data: SliceDataModule, best: Path) -> Metrics:
    """Scores of the best weights: of the validation cases as training saw them, and of the test cases."""
    steps, epochs = lightning.global_step, lightning.current_epoch
    logged = dict(lightning.validate(task, data, ckpt_path=best, weights_only=True, verbose=False)[0])
    if data.split.test:
        logged |= lightning.test(task, data, ckpt_path=best, weights_only=True, verbose=False)[0]
    scores = {name: value if math.isfinite(value) else None for name, value in sorted(logged.items())}
    return {**scores, "steps": steps, "epochs": epochs}


def _hyperparameters(cfg: DictConfig) -> dict[str, Any]:
    """What TensorBoard's table of runs compares: the choices, not the paths."""
    groups = ("loss", "model", "augment", "optimizer", "scheduler")
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    chosen = {f"{group}.{name}": value for group in groups for name, value in plain[group].items()}
    chosen |= {f"data.{name}": plain["data"][name] for name in ("fold", "spacing_mm", "size", "context", "window_hu")}
    return {
        name.replace("._target_", ""): _short(value) for name, value in chosen.items() if name[-9:] != "_partial_"
    } | {"seed": plain["seed"]}


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value.removeprefix("lightning_liver.")
    return value if isinstance(value, int | float | bool) else str(value)
