"""Score the network of a finished run: on its own test cases, or on a data set that it never saw."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from lightning_liver.augment.policy import none
from lightning_liver.build import build, prepared
from lightning_liver.data.datamodule import SliceDataModule
from lightning_liver.data.splits import Split
from lightning_liver.errors import LiverError
from lightning_liver.inference.tta import FLIPS
from lightning_liver.report.cases import case_rows, draw_cases, result_table
from lightning_liver.report.tables import write_cases_csv, write_json_whole
from lightning_liver.task import SegmentationTask
from lightning_liver.training.panels import PredictionKeeper
from lightning_liver.training.trainer import bare_trainer, settle

log = logging.getLogger(__name__)

_OF_THE_WEIGHTS = ("spacing_mm", "context", "window_hu", "standardise")  # what the network wants its input to be


def evaluate(cfg: DictConfig, folder: Path) -> dict[str, float]:
    """Score the run's test cases, or every labelled case of the data that were typed, on each scan's own grid.

    Leaves cases.csv, metrics.json and pictures in a folder.

    Raises:
        LiverError: no run, or one without weights or test cases; what preparing raises.
    """
    run = _run_folder(cfg.run)
    saved = DictConfig(OmegaConf.load(run / ".hydra" / "config.yaml"))
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
    elsewhere = any(override.startswith("data") for override in HydraConfig.get().overrides.task)
    data = _for_the_weights(cfg.data, saved.data) if elsewhere else saved.data
    store = prepared(data)
    cases = tuple(store.labelled()) if elsewhere else _tested(run)
    if not cases:
        raise LiverError(f"{run} has no test cases; name a data set: data=lits data.root=DIR")
    module = SliceDataModule(store, Split((cases[0],), (), cases), none(), build(data.slices), seed=0)
    module.load_state_dict(checkpoint[SliceDataModule.__qualname__])
    task = _task(saved, checkpoint["state_dict"], flips=bool(cfg.inference.flips))
    keeper = PredictionKeeper(module)
    scores = bare_trainer(settle(build(cfg.trainer)), callbacks=[keeper]).test(task, module, verbose=False)[0]
    rows = case_rows(store, cases, task.counts)
    write_cases_csv(folder / "cases.csv", rows)
    draw_cases(folder / "pictures", store, rows, keeper.kept, module.look.window_hu)
    metrics = {name: float(value) for name, value in scores.items() if name.startswith("test/")}
    write_json_whole(folder / "metrics.json", metrics)
    log.info(f"{run} on {store.folder if elsewhere else 'its test cases'}:\n{result_table(rows)}\n\n{folder}")
    return metrics


def _run_folder(typed: Any) -> Path:
    if typed in (None, "???"):
        raise LiverError("run is needed: liver-evaluate run=RUN_FOLDER")
    run = Path(str(typed)).expanduser()
    for needed in (".hydra/config.yaml", "checkpoints/best.ckpt"):
        if not (run / needed).is_file():
            raise LiverError(f"run={run}: not the folder of a finished run, it has no {needed}")
    return run


def _for_the_weights(data: DictConfig, of_run: DictConfig) -> DictConfig:
    """The data that were typed, seen as the network was trained to see them."""
    return DictConfig(OmegaConf.merge(data, {name: of_run[name] for name in _OF_THE_WEIGHTS if name in of_run}))


def _tested(run: Path) -> tuple[str, ...]:
    path = run / "split.json"
    return tuple(json.loads(path.read_text())["test"]) if path.exists() else ()


def _task(saved: DictConfig, state: dict[str, Tensor], *, flips: bool) -> SegmentationTask:
    network = build(saved.model)
    network.load_state_dict(
        {name.removeprefix("network."): tensor for name, tensor in state.items() if name.startswith("network.")}
    )
    return SegmentationTask(
        network,
        build(saved.loss),
        terms={},
        test_losses={},
        optimizer=build(saved.optimizer),
        scheduler=build(saved.scheduler),
        multiple=max(saved.inference.multiple, getattr(network, "multiple", 1)),
        flips=FLIPS if flips else ((),),
    )
