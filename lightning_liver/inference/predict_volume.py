"""Label maps of scans: one network or several, batch by batch, on the scan's own grid."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from lightning_liver.inference.coarse import coarse_places, places_between, shows_liver
from lightning_liver.inference.label_maps import label_maps
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.postprocess import PostProcess
from lightning_liver.inference.thresholds import Thresholds
from lightning_liver.inference.tiles import tiled_logits
from lightning_liver.inference.tta import Axes
from lightning_liver.inference.uncertainty import Kind, Map, Members
from lightning_liver.inference.views import logits_of_mean, predict_logits
from lightning_liver.types import STRUCTURES
from lightning_liver.types.tensors import Images, Masks
from lightning_liver.volume import Volume

AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16, "32-true": None}  # by trainer.precision
SCALE = {
    "entropy": 1.0,
    "margin": 1.0,
    "mutual_information": 1.0,
    "variance": 0.25,
}  # the largest value of each uncertainty

Bytes = UInt8[np.ndarray, "z y x"]


@dataclass(frozen=True)
class VolumeOptions:
    """Settings of the prediction of scans.

    Args:
        thresholds: probabilities above which a voxel is liver, is tumour.
        post_process: applied to the label map of the whole scan.
        batch_size: slices at once.
        coarse_mm: spacing of the coarse pass; slices between two coarse slices without liver are skipped. None, or any
            map, processes all.
        flips: mirrored views over whose logits the mean is taken.
        tile, overlap: see tiles.tiled_logits; a tile of None takes whole slices.
        uncertainty: kind of the map made beside the labels; None makes none.
        passes: with dropout, for the uncertainty alone.
        probabilities: make maps of them, too.
        autocast: precision of the network's arithmetic; None computes in float32.
    """

    thresholds: Thresholds
    post_process: PostProcess
    batch_size: int
    coarse_mm: float | None
    flips: Sequence[Axes]
    tile: int | None
    overlap: float
    uncertainty: Kind | None
    passes: int
    probabilities: bool
    autocast: torch.dtype | None
    device: torch.device

    @classmethod
    def masks_alone(
        cls,
        *,
        thresholds: Thresholds,
        post_process: PostProcess,
        batch_size: int,
        flips: Sequence[Axes],
        autocast: torch.dtype | None,
        device: torch.device,
    ) -> "VolumeOptions":
        """Return options for masks of all slices, each of them whole, without maps."""
        return cls(
            thresholds=thresholds,
            post_process=post_process,
            batch_size=batch_size,
            coarse_mm=None,
            flips=flips,
            tile=None,
            overlap=0.0,
            uncertainty=None,
            passes=0,
            probabilities=False,
            autocast=autocast,
            device=device,
        )

    @property
    def step_mm(self) -> float:
        """Spacing of the coarse pass; 0 processes every slice."""
        return 0.0 if self.coarse_mm is None or self.uncertainty or self.probabilities else self.coarse_mm


class Prediction(NamedTuple):
    """Labels and maps of a scan, all on its own grid (z, y, x).

    Args:
        labels: 0, 1, 2, post-processed.
        probabilities: of each structure, a byte for 0 to 1; empty unless asked for.
        uncertainty: a byte for 0 to SCALE; None unless asked for.
    """

    labels: Bytes
    probabilities: dict[str, Bytes]
    uncertainty: Bytes | None

    def mean_uncertainty(self, kind: Kind | None) -> float | None:
        """Return the mean over liver and tumour; None without a map or a label."""
        if self.uncertainty is None or kind is None or not self.labels.any():
            return None
        return float(self.uncertainty[self.labels > 0].mean()) / 255 * SCALE[kind]


def predict_volume(
    volume: Volume,
    networks: Sequence[TrainedNetwork],
    options: VolumeOptions,
    *,
    progress: Callable[[int], object] = lambda slices: None,
) -> Prediction:
    """Label a scan by the mean probability of one or several networks.

    Args:
        progress: called with the number of slices done since the last call.
    """
    shape = volume.hu.shape
    made = Prediction(
        np.zeros(shape, np.uint8),
        {name: np.empty(shape, np.uint8) for name in STRUCTURES if options.probabilities},
        np.empty(shape, np.uint8) if options.uncertainty else None,
    )

    def predict_slices(chosen: Sequence[int]) -> None:
        for start in range(0, len(chosen), options.batch_size):
            places = chosen[start : start + options.batch_size]
            logits, uncertainty = _predict_batch(volume, places, networks, options)
            made.labels[places] = label_maps(logits, options.thresholds).cpu().numpy()
            for c, kept in enumerate(made.probabilities.values()):
                kept[places] = _bytes(logits[:, c].sigmoid())
            if made.uncertainty is not None and uncertainty is not None and options.uncertainty:
                made.uncertainty[places] = _bytes(uncertainty / SCALE[options.uncertainty])
            progress(len(places))

    first = coarse_places(shape[0], volume.spacing_mm[0], options.step_mm)
    predict_slices(first)
    near = places_between(first, np.array([shows_liver(made.labels[z], volume.spacing_mm) for z in first]))
    predict_slices(near)
    progress(shape[0] - len(first) - len(near))
    return made._replace(labels=options.post_process(made.labels, volume.spacing_mm))


def slice_uncertainty(
    volume: Volume, networks: Sequence[TrainedNetwork], options: VolumeOptions
) -> Float[np.ndarray, " z"]:
    """Return the mean uncertainty of each slice of a scan, of the kind that the options name; all slices are processed.

    The mean is of the exact map: the bytes of Prediction.uncertainty are too coarse for small values.
    """
    assert options.uncertainty is not None, "name an uncertainty"
    means = []
    for start in range(0, len(volume.hu), options.batch_size):
        places = range(start, min(start + options.batch_size, len(volume.hu)))
        _, uncertainty = _predict_batch(volume, places, networks, options)
        assert uncertainty is not None
        means.append(uncertainty.double().mean(dim=(1, 2)).cpu().numpy())
    return np.concatenate(means)


def _predict_batch(
    volume: Volume, places: Sequence[int], networks: Sequence[TrainedNetwork], options: VolumeOptions
) -> tuple[Masks, Map | None]:
    """Return the logits of some slices on the scan's grid, and their uncertainty."""
    grid = (volume.hu.shape[1], volume.hu.shape[2])
    members = Members() if options.uncertainty else None
    of_networks = []
    with torch.inference_mode():
        for trained in networks:
            images = trained.images(volume, places).to(options.device)
            apply = partial(_apply, multiple=trained.multiple, options=options)
            of_networks.append(
                predict_logits(
                    trained.network,
                    apply,
                    images,
                    grid,
                    flips=options.flips,
                    members=members,
                    passes=options.passes,
                )
            )
    return logits_of_mean(of_networks), members.uncertainty(
        options.uncertainty
    ) if members and options.uncertainty else None


def _apply(network: nn.Module, images: Images, *, multiple: int, options: VolumeOptions) -> Masks:
    tile = options.tile or max(images.shape[-2:])
    with _autocast(options):
        return tiled_logits(network, images, tile=tile, overlap=options.overlap, multiple=multiple)


def autocast_of(device: str, precision: str) -> torch.autocast:
    """Return the autocast of a mixed trainer.precision on a kind of device; it does nothing for others."""
    half = AUTOCAST.get(precision)
    return torch.autocast(device, dtype=half, enabled=half is not None)


def _autocast(options: VolumeOptions) -> AbstractContextManager[object]:
    if options.autocast is None:
        return nullcontext()
    return torch.autocast(options.device.type, dtype=options.autocast)


def _bytes(fraction: Float[Tensor, "batch y x"]) -> Bytes:
    """Round 0 to 1 to a byte."""
    return (fraction.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
