"""Lightning's Trainer, its checkpoints and progress bars."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, ProgressBar, TQDMProgressBar, WeightAveraging
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.utilities.model_summary.model_summary import ModelSummary

from lightning_liver.errors import LiverError
from lightning_liver.files import replacing
from lightning_liver.metrics.case.dice import MONITORED
from lightning_liver.run_folder import RunFolder
from lightning_liver.training.processes import Place
from lightning_liver.training.settings import TrainerOptions


def trainer(
    options: TrainerOptions,
    folder: Path,
    *,
    callbacks: Sequence[Callback],
    loggers: Sequence[Logger],
    place: Place | None = None,
) -> pl.Trainer:
    """Make a Trainer that keeps best.ckpt and last.ckpt in folder/checkpoints, from options without any auto.

    Args:
        place: of this process among those that train together; None trains, validates and tests alone.

    Raises:
        LiverError: Lightning refuses the combination.
    """
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    open_ended = options.budget != "max_epochs"
    try:
        made = pl.Trainer(
            default_root_dir=folder,
            accelerator=options.accelerator,
            **_spread(options, place),
            precision=None if options.precision == "auto" else options.precision,
            max_epochs=-1 if open_ended else options.max_epochs,  # a callback ends it
            min_epochs=options.min_epochs,
            min_steps=options.min_steps,
            limit_train_batches=options.limit_train_batches,  # of whole cases, the data module limits the others
            accumulate_grad_batches=options.accumulate_grad_batches,
            gradient_clip_val=options.gradient_clip_val,
            gradient_clip_algorithm=options.gradient_clip_algorithm,
            # at least once, however short the run
            check_val_every_n_epoch=options.check_val_every_n_epoch
            if open_ended
            else min(options.check_val_every_n_epoch, options.max_epochs),
            num_sanity_val_steps=-1  # a budget in minutes wants to know what a validation costs
            if options.max_minutes is not None
            else options.num_sanity_val_steps or 0,
            log_every_n_steps=options.log_every_n_steps,
            deterministic=options.deterministic,
            benchmark=options.benchmark,
            detect_anomaly=options.detect_anomaly,
            inference_mode=options.inference_mode,
            profiler=_profiler(options.profiler, folder),
            use_distributed_sampler=False,  # ours shard
            enable_model_summary=options.enable_model_summary,  # the run folder has a longer one
            enable_progress_bar=options.enable_progress_bar,
            logger=list(loggers),
            plugins=[WholeCheckpoints()],
            callbacks=[*_keeping(folder), *callbacks, *_progress_bar(options, callbacks)],
        )
    except (MisconfigurationException, ValueError, RuntimeError, TypeError) as error:
        raise LiverError(f"trainer: {error}") from error
    # deterministic algorithms also fill all fresh memory, which changes no result and costs a write of every activation
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return made


def _spread(options: TrainerOptions, place: Place | None) -> dict[str, Any]:
    """Return the arguments of Lightning's Trainer that say on which devices it runs."""
    if place is None:
        return _alone(options)
    return {
        "devices": options.devices,
        "num_nodes": options.num_nodes,
        "sync_batchnorm": options.sync_batchnorm,
        "strategy": "ddp" if options.strategy == "auto" else options.strategy,
    }


def _alone(options: TrainerOptions) -> dict[str, Any]:
    """Return the same for this process alone, also where torchrun or srun started it: the first of the devices."""
    given = options.devices
    first = given[0] if isinstance(given, list) else 0
    where = torch.device(options.accelerator, first) if options.accelerator != "cpu" else torch.device("cpu")
    return {"devices": [first] if options.accelerator == "cuda" else 1, "strategy": SingleDeviceStrategy(where)}


def keep_weights(trainer: pl.Trainer) -> None:
    """Remove callbacks that replace weights by their average before a validation: a checkpoint has the averages."""
    trainer.callbacks = [each for each in trainer.callbacks if not isinstance(each, WeightAveraging)]  # type: ignore[attr-defined]


def pretraining_trainer(
    options: TrainerOptions, folder: Path, *, epochs: int, callbacks: Sequence[Callback]
) -> pl.Trainer:
    """Make a Trainer for a number of epochs without validation, which keeps last.ckpt in a folder."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    last = _Keeper(dirpath=folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
    return pl.Trainer(
        default_root_dir=folder,
        accelerator=options.accelerator,
        **_alone(options),
        precision=None if options.precision == "auto" else options.precision,
        max_epochs=epochs,
        limit_train_batches=options.limit_train_batches,
        accumulate_grad_batches=options.accumulate_grad_batches,
        gradient_clip_val=options.gradient_clip_val,
        gradient_clip_algorithm=options.gradient_clip_algorithm,
        deterministic=options.deterministic,
        benchmark=options.benchmark,
        detect_anomaly=options.detect_anomaly,
        limit_val_batches=0,
        log_every_n_steps=options.log_every_n_steps,
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=options.enable_progress_bar,
        logger=False,
        plugins=[WholeCheckpoints()],
        callbacks=[last, *_progress_bar(options), *callbacks],
    )


def bare_trainer(options: TrainerOptions, *, callbacks: Sequence[Callback] = ()) -> pl.Trainer:
    """Make a Trainer to test with, which writes nothing."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    return pl.Trainer(
        accelerator=options.accelerator,
        **_alone(options),
        precision=None if options.precision == "auto" else options.precision,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=options.enable_progress_bar,
        inference_mode=options.inference_mode,
        use_distributed_sampler=False,
        callbacks=list(callbacks),
    )


def _profiler(name: str | None, folder: Path) -> Profiler | None:
    """Return the profiler of this name, which writes fit-profile.txt and the like into the run folder."""
    kinds = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}
    return kinds[name](dirpath=folder, filename="profile") if name else None


def _keeping(folder: Path) -> list[Callback]:
    # Saved after validating, when the epoch is whole: a checkpoint in mid-epoch would repeat or lose steps. Lightning's
    # own save_last skips the epochs that were no better, so the last one is kept on its own.
    where: dict[str, Any] = {
        "dirpath": RunFolder(folder).checkpoints,
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
    }
    best = _Keeper(filename="best", monitor=MONITORED, mode="max", **where)
    last = _Keeper(filename="last", **where)
    return [best, last]


class _Keeper(ModelCheckpoint):
    """ModelCheckpoint that finds its files, and the best score, after the run folder was moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return str(Path(self.dirpath or "") / Path(path).name) if path else path

        paths = {name: here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
        scores = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state_dict | paths | {"best_k_models": scores, "dirpath": self.dirpath})


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the old checkpoint and renames; Lightning copies over it when /tmp is another file system."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # through Python's file, which says why it cannot be written
        with replacing(path) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)


def summary_table(network: torch.nn.Module, channels: int, size: tuple[int, int]) -> str:
    """Return the layers of a network with their output sizes and parameters as text."""
    summary: Any = ModelSummary(_Summarised(network, channels, size), max_depth=-1)
    return str(summary)


def _progress_bar(options: TrainerOptions, callbacks: Sequence[Callback] = ()) -> list[Callback]:
    """Return our progress bar, unless there shall be none or the callbacks have one."""
    has_one = any(isinstance(each, ProgressBar) for each in callbacks)
    return [_ProgressBar(refresh_rate=5)] if options.enable_progress_bar and not has_one else []


class _ProgressBar(TQDMProgressBar):
    """Leaves out the "version" that Lightning shows."""

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}


class _Summarised(pl.LightningModule):
    def __init__(self, network: torch.nn.Module, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        self.example_input_array = torch.zeros(1, channels, *size)

    def forward(self, images: torch.Tensor) -> Any:
        return self.network(images)


def quieten() -> None:
    """Silence Lightning's messages about itself, and advice that does not apply here."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*exists and is not empty.*",
        ".*log_every_n_steps.*",
        ".*in eval mode at the start of training.*",  # frozen parts and teachers
        ".*callbacks used to create the checkpoint need to be provided.*",  # its averages are no longer wanted
        ".*It is recommended to use `self.log.*sync_dist=True.*",  # these are equal in all processes, or of the first
        ".*ended before the epoch ended.*",  # the last epoch of a budget in minutes may be a short one
    ):
        warnings.filterwarnings("ignore", text)
    warnings.filterwarnings("ignore", category=FutureWarning, module="pytorch_lightning.*")
