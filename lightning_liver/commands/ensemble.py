"""Networks of one or several runs that predict together, and their options."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from omegaconf import DictConfig
from pydantic.dataclasses import dataclass

from lightning_liver.build import build
from lightning_liver.errors import LiverError
from lightning_liver.inference.fusion import fuse
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.predict_volume import AUTOCAST, VolumeOptions
from lightning_liver.inference.tta import flips_for
from lightning_liver.inference.uncertainty import Kind, check_uncertainty, has_dropout
from lightning_liver.runs.trained import decision_of, read_run, trusted
from lightning_liver.training.settings import TrainerOptions, resolve_auto
from lightning_liver.types.options import BelowOne, Closed, Count, Natural, Positive, Side


@dataclass(frozen=True, config=Closed)
class PredictOptions:
    """Options of conf/predict.yaml, checked before anything is read.

    Args:
        batch_size: slices at once.
        coarse_mm: see inference.predict_volume.VolumeOptions.
        tile: edge in pixels of the tiles that larger slices are cut into; None takes them whole.
        overlap: fraction of a tile that its neighbour covers, too.
        uncertainty: the map that is written beside each mask, see inference.uncertainty.
        passes: with dropout, for the map of uncertainty.
        probabilities: write maps of them, too.
        dicom_seg: of a DICOM series, write a segmentation object, too.
        skip_done: skip scans that have a mask.
        preview: draw a picture of each scan.
        report: write report.html about the scans of the output folder.
    """

    batch_size: Count
    coarse_mm: Positive | None
    tile: Side | None
    overlap: BelowOne
    uncertainty: Kind | None
    passes: Natural
    probabilities: bool
    dicom_seg: bool
    skip_done: bool
    preview: bool
    report: bool


def ensemble_of(
    cfg: DictConfig, asked: PredictOptions, folders: Sequence[Path], *, elsewhere: bool | Path
) -> tuple[list[TrainedNetwork], VolumeOptions]:
    """Return the networks of runs, on their device, and how they predict together.

    Args:
        cfg: the groups `inference` and `trainer`, and `statistics`, of conf/predict.yaml.
        folders: of the runs.
        elsewhere: as in read_run.

    Raises:
        LiverError: a folder is no run, the runs post-process differently, or an option is invalid.
    """
    if not folders:
        raise LiverError("run=[]: expected a run folder, or several; give run=RUN_FOLDER")
    trainer = resolve_auto(build(cfg.trainer))
    if trainer.threads is not None:
        torch.set_num_threads(trainer.threads)
    read = partial(read_run, statistics=cfg.statistics, elsewhere=elsewhere, trust=trusted(cfg))
    networks = [_made_ready(read(folder), trainer) for folder in folders]
    decisions = [decision_of(cfg.inference, run, folder) for run, folder in zip(networks, folders, strict=True)]
    liver, tumour = (sum(values) / len(decisions) for values in zip(*(one[0] for one in decisions), strict=True))
    if len({one[1] for one in decisions}) > 1:
        raise LiverError(
            "run: these runs post-process differently; choose how, as in inference.postprocess.largest_liver=true"
        )
    flips = cfg.inference.flips if cfg.inference.flips is not None else networks[0].config.inference.get("flips")
    options = VolumeOptions(
        thresholds=(liver, tumour),
        post_process=decisions[0][1],
        batch_size=asked.batch_size,
        coarse_mm=asked.coarse_mm,
        flips=flips_for(flips),
        tile=asked.tile,
        overlap=asked.overlap,
        uncertainty=asked.uncertainty,
        passes=asked.passes,
        probabilities=asked.probabilities,
        autocast=_autocast(trainer),
        device=torch.device(trainer.accelerator),
    )
    views = len(networks) * (options.passes or len(options.flips))
    dropout = all(has_dropout(trained.network) for trained in networks)
    check_uncertainty(options.uncertainty, options.passes, views=views, dropout=dropout)
    return networks, options


def _made_ready(trained: TrainedNetwork, trainer: TrainerOptions) -> TrainedNetwork:
    """Fuse the network in place and move it to the device."""
    network = fuse(trained.network)
    if trainer.channels_last is not False:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.to(trainer.accelerator)
    return trained


def _autocast(trainer: TrainerOptions) -> torch.dtype | None:
    if trainer.precision not in AUTOCAST:
        raise LiverError(f"trainer.precision={trainer.precision}: expected one of {', '.join(AUTOCAST)}")
    return AUTOCAST[trainer.precision]
