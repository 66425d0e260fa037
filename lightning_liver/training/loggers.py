"""Loggers of a run: built from conf/logger, and given its options, pictures and tags, each as far as it takes them."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from jaxtyping import UInt8
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from lightning_liver.build import build, named_nodes
from lightning_liver.errors import LiverError, first_line
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.scalars import append_scalars
from lightning_liver.runs.settings import flat
from lightning_liver.training.run_state import RunState
from lightning_liver.types import Metrics
from lightning_liver.types.options import check

_GROUPS = ("loss", "model", "augment", "finetune", "optimizer", "scheduler")
_OF_DATA = ("fold", "spacing_mm", "size", "context", "window_hu", "batch_size", "slices_per_epoch")


@dataclass(frozen=True)
class LoggedRun:
    """What a tracking service has to know of a run.

    Args:
        folder: of the run.
        tags: names that the user gave it.
        known: its identifier there, if it was begun earlier.
    """

    folder: Path
    tags: Sequence[str]
    known: str | None

    @property
    def name(self) -> str:
        """The last two folders of its path, as in 2026-01-31/12-00-00 or STUDY/JOB."""
        return "/".join(self.folder.resolve().parts[-2:])


def build_loggers(cfg: DictConfig, state: RunState) -> list[Logger]:
    """Build the loggers of a config; they get its hyper-parameters, and continue what the run logged before.

    The last one writes scalars.csv, of which report.html draws its curves, whatever the others are.

    Raises:
        LiverError: a package is not installed, or a service refuses the run.
    """
    node: Any = cfg.get("logger") or {}
    # in earlier runs there was one, without a name
    nodes = {"logger": node} if "_target_" in node else named_nodes("logger", node or None)
    known, tags = state.loggers, _tags(cfg.get("tags"))
    loggers = [_logger(each, LoggedRun(state.folder, tags, known.get(name))) for name, each in nodes.items()]
    options = hyperparameters(cfg)
    for name, logger in zip(nodes, loggers, strict=True):
        has_options = name in known  # MLflow refuses another value, as an earlier version may have written
        if isinstance(logger, WandbLogger | MLFlowLogger):
            known[name] = str(logger.version if isinstance(logger, WandbLogger) else logger.run_id)
        if not has_options and not isinstance(logger, TensorBoardLogger):  # whose table has options beside the metrics
            logger.log_hyperparams(options)  # type: ignore[arg-type]
    if known:
        state.record(loggers=known)
    return [*loggers, ScalarRecord(state.files)]


def _tags(given: Any) -> list[str]:
    plain = OmegaConf.to_container(given) if OmegaConf.is_list(given) else given
    return check("tags", plain, list[str] | None) or []


def _logger(node: DictConfig, run: LoggedRun) -> Logger:
    made: Any = build(node)
    if not callable(made):
        raise LiverError(f"{node._get_full_key('')}: expected a logger with _target_ and _partial_: true; correct it")
    if "run" in signature(made).parameters:
        return made(run=run)
    logger = made(save_dir=run.folder)
    place = getattr(logger, "log_dir", None)
    if place and not Path(place).resolve().is_relative_to(run.folder.resolve()):
        raise LiverError(f"{node._get_full_key('')}: expected a folder in {run.folder}, not {place}; correct its name")
    return logger


def wandb(*, project: str, group: str | None, offline: bool, run: LoggedRun) -> WandbLogger:
    """Begin a run of Weights & Biases, or continue it; its files are in the run folder.

    Raises:
        LiverError: the package is not installed, or there is no account.
    """
    package = _package("wandb")
    if package.run is not None:  # of an earlier job of a sweep, in this process
        package.finish()
    try:
        logger = WandbLogger(
            name=run.name,
            save_dir=run.folder,
            project=project,
            group=group,
            offline=offline,
            id=run.known or uuid4().hex[:8],
            tags=list(run.tags) or None,
        )
        _ = logger.experiment
    except package.Error as error:
        raise LiverError(
            f"logger=wandb: {first_line(error)}; type wandb login, or set logger.wandb.offline=true"
        ) from error
    return logger


def mlflow(*, experiment_name: str, tracking_uri: str | None, run: LoggedRun) -> MLFlowLogger:
    """Begin a run of MLflow, or continue it.

    Raises:
        LiverError: the package is not installed, or the store or server refuses the run.
    """
    package = _package("mlflow")
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if uri is None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a folder is all that its small package can write
    try:
        logger = MLFlowLogger(
            experiment_name=experiment_name,
            run_name=run.name,
            tracking_uri=uri,
            tags=dict.fromkeys(run.tags, "true"),
            save_dir="mlruns",
            run_id=run.known,
        )
        _ = logger.run_id
    except package.exceptions.MlflowException as error:
        raise LiverError(f"logger=mlflow: {first_line(error)}; set logger.mlflow.tracking_uri") from error
    return logger


def _package(name: str) -> Any:
    if find_spec(name) is None:
        raise LiverError(f"logger={name} needs the package {name}, which is not installed: pip install {name}")
    return import_module(name)


class ScalarRecord(Logger):
    """Appends every scalar to scalars.csv in the run folder."""

    def __init__(self, files: RunFolder) -> None:
        super().__init__()
        self.path = files.scalars

    @property
    def name(self) -> str:
        return "scalars"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run folder has its config."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        append_scalars(self.path, metrics, step or 0)


def log_picture(loggers: Sequence[Logger], tag: str, picture: UInt8[np.ndarray, "y x 3"], step: int) -> None:
    """Log a picture to every logger that takes one."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(tag, picture, step, dataformats="HWC")
        elif isinstance(logger, MLFlowLogger):
            key = re.sub(r"[^\w./ -]", "", tag)
            square = np.concatenate(np.array_split(picture, 2, axis=1))  # its page shrinks pictures to 256 pixels
            logger.experiment.log_image(logger.run_id, square, key=key, step=step)  # type: ignore[arg-type]
        elif hasattr(logger, "log_image"):  # as of W&B, and of others in its likeness
            logger.log_image(key=tag, images=[picture], step=step)


def finish_loggers(loggers: Sequence[Logger], cfg: DictConfig, metrics: Metrics) -> None:
    """Log options and final metrics for the tables of runs, and close every logger."""
    known = {name: value for name, value in metrics.items() if value is not None and "/" in name}
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(hyperparameters(cfg), known)
        elif not isinstance(logger, ScalarRecord):  # whose folder has metrics.json
            logger.log_metrics(known, int(metrics.get("steps") or 0))
        logger.finalize("success")
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()


def hyperparameters(cfg: DictConfig) -> dict[str, Any]:
    """Return the options that define a run, by dotted names, as plain values."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    chosen = flat({group: plain.get(group) or {} for group in _GROUPS})
    chosen |= {f"data.{name}": plain["data"].get(name) for name in _OF_DATA}
    chosen["seed"] = plain["seed"]
    return {
        name.removesuffix("._target_"): _short(value)
        for name, value in chosen.items()
        if not name.endswith("._partial_")
    }


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value.removeprefix("lightning_liver.")
    return value if isinstance(value, int | float | bool) else str(value)
