"""Trained runs applied to arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.typing import ArrayLike

from lightning_liver.api.arrays import volume_of
from lightning_liver.build import build
from lightning_liver.commands.ensemble import PredictOptions, ensemble_of
from lightning_liver.config import compose
from lightning_liver.errors import LiverError
from lightning_liver.files import required_run
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.predict_volume import Prediction, VolumeOptions, predict_volume

_OF_THE_COMMAND = ("run", "input", "output", "continue", "preview", "report")


@dataclass(frozen=True)
class LoadedRun:
    """Networks of one or several runs with all that turns a scan into labels.

    Args:
        folders: of the runs.
        networks: each with its normalization; `networks[0].network` is the torch module, on its device.
        options: thresholds, post-processing, views, device and precision.
    """

    folders: tuple[Path, ...]
    networks: Sequence[TrainedNetwork]
    options: VolumeOptions

    def predict(self, volume_hu: ArrayLike, spacing_mm: Sequence[float]) -> UInt8[np.ndarray, "z y x"]:
        """Label a CT scan, as liver-predict does.

        Args:
            volume_hu: Hounsfield units (z, y, x), x to the patient's left, y to the back, z to the head (LPS).
            spacing_mm: distance between voxel centres along z, y and x.

        Returns:
            0 background, 1 liver, 2 tumour, of the scan's shape.

        Raises:
            LiverError: an array that is no scan in HU, or an invalid spacing.
        """
        return self.predict_maps(volume_hu, spacing_mm).labels

    def predict_maps(self, volume_hu: ArrayLike, spacing_mm: Sequence[float]) -> Prediction:
        """Label a CT scan as predict does, with the maps that load_run was asked for, one byte per voxel."""
        return predict_volume(volume_of(volume_hu, spacing_mm), self.networks, self.options)


def load_run(folder: str | Path | Sequence[str | Path], overrides: Sequence[str] = ()) -> LoadedRun:
    """Load the network of a run folder with the run's thresholds and post-processing.

    Args:
        folder: a run folder, or several, whose probabilities are averaged.
        overrides: options as liver-predict takes them, such as "trainer=cpu", "inference.thresholds=tuned",
            "options.probabilities=true".

    Raises:
        LiverError: no run folder, one without weights, or an invalid option.
        hydra.errors.HydraException: an option that does not exist.
    """
    if own := [each for each in overrides if each.partition("=")[0] in _OF_THE_COMMAND]:
        raise LiverError(f"{own[0]}: expected options of the prediction alone; leave it out")
    folders = tuple(required_run(each) for each in ([folder] if isinstance(folder, str | Path) else folder))
    cfg = compose("predict", list(overrides))
    asked: PredictOptions = build(cfg.options, skip_done=False, preview=False, report=False)
    networks, options = ensemble_of(cfg, asked, folders, elsewhere=True)
    return LoadedRun(folders, networks, options)
