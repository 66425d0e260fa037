"""From a scan to its labels: one network or several, batch by batch, on the scan's own grid."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int16, UInt8
from torch import Tensor, nn

from lightning_liver.data.resample import grid_shape, resample_hu
from lightning_liver.data.slices import Normalization
from lightning_liver.data.store import HU_RANGE
from lightning_liver.inference.coarse import coarse_places, places_between, shows_liver
from lightning_liver.inference.label_maps import label_maps, to_grid
from lightning_liver.inference.thresholds import Thresholds
from lightning_liver.inference.tiles import tiled_logits
from lightning_liver.inference.tta import Axes, flipped_views
from lightning_liver.inference.uncertainty import Kind, Members, dropping_out
from lightning_liver.types import STRUCTURES, Images, Masks
from lightning_liver.volume import Volume

AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16, "32-true": None}  # by trainer.precision
SCALE = {"entropy": 1.0, "mutual_information": 1.0, "variance": 0.25}  # the largest value of each uncertainty

Bytes = UInt8[np.ndarray, "z y x"]


class Member(NamedTuple):
    """A network, in evaluation mode on its device, and how it wants to see a scan.

    Args:
        spacing_mm: in plane; None is the scan's own.
        multiple: height and width are padded to multiples of it.
    """

    network: nn.Module
    normalization: Normalization
    spacing_mm: float | None
    multiple: int


@dataclass(frozen=True)
class Options:
    """How scans are gone through.

    Args:
        batch_size: slices at once.
        coarse_mm: a first pass looks at a slice in so many millimetres, and between two without liver none is looked
            at; None looks at all. So do maps, which are of all slices.
        flips: views over whose logits the mean is taken.
        tile, overlap: see tiles.tiled_logits; a tile of None takes whole slices.
        uncertainty: which map is made beside the labels.
        passes: with dropout, for the uncertainty alone.
        probabilities: whether maps of them are kept.
        autocast: of the network's arithmetic; None computes in float32.
    """

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
        cls, *, batch_size: int, flips: Sequence[Axes], autocast: torch.dtype | None, device: torch.device
    ) -> "Options":
        """Of all slices, each of them whole, and no maps."""
        return cls(
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
        """From a slice of the first pass to the next one."""
        return 0.0 if self.coarse_mm is None or self.uncertainty or self.probabilities else self.coarse_mm


class Prediction(NamedTuple):
    """Of a scan, all on its own grid (z, y, x).

    Args:
        labels: 0, 1, 2.
        probabilities: of each structure, a byte for 0 to 1; empty unless asked for.
        uncertainty: a byte for 0 to SCALE; None unless asked for.
    """

    labels: Bytes
    probabilities: dict[str, Bytes]
    uncertainty: Bytes | None

    def mean_uncertainty(self, labels: Bytes, kind: Kind | None) -> float | None:
        """Over all that was labelled: one figure for the case; None without a map or a label."""
        if self.uncertainty is None or kind is None or not labels.any():
            return None
        return float(self.uncertainty[labels > 0].mean()) / 255 * SCALE[kind]


def predict_volume(
    volume: Volume,
    members: Sequence[Member],
    thresholds: Thresholds,
    options: Options,
    *,
    tell: Callable[[int], object] = lambda slices: None,
) -> Prediction:
    """Label a scan; several networks give the mean of their probabilities.

    Args:
        tell: called with the number of slices that were done.
    """
    shape = volume.hu.shape
    made = Prediction(
        np.zeros(shape, np.uint8),
        {name: np.empty(shape, np.uint8) for name in STRUCTURES if options.probabilities},
        np.empty(shape, np.uint8) if options.uncertainty else None,
    )

    def look_at(chosen: Sequence[int]) -> None:
        for start in range(0, len(chosen), options.batch_size):
            places = chosen[start : start + options.batch_size]
            logits, unsure = _of_batch(volume, places, members, options)
            made.labels[places] = label_maps(logits, thresholds).cpu().numpy()
            for c, kept in enumerate(made.probabilities.values()):
                kept[places] = _bytes(logits[:, c].sigmoid())
            if made.uncertainty is not None and unsure is not None and options.uncertainty:
                made.uncertainty[places] = _bytes(unsure / SCALE[options.uncertainty])
            tell(len(places))

    first = coarse_places(shape[0], volume.spacing_mm[0], options.step_mm)
    look_at(first)
    near = places_between(first, np.array([shows_liver(made.labels[z], volume.spacing_mm) for z in first]))
    look_at(near)
    tell(shape[0] - len(first) - len(near))
    return made


def _of_batch(
    volume: Volume, places: Sequence[int], members: Sequence[Member], options: Options
) -> tuple[Masks, Float[Tensor, "batch y x"] | None]:
    """Logits of some slices on the scan's grid, and how unsure they are."""
    views = Members() if options.uncertainty else None
    of_members = []
    with torch.inference_mode():
        for member in members:
            images = _images(volume, places, member).to(options.device)
            of_members.append(_mean_over_views(member, images, volume.hu.shape[1:], options, views))
    if len(of_members) == 1:
        logits = of_members[0]
    else:
        logits = torch.stack([one.sigmoid() for one in of_members]).mean(dim=0).logit()
    return logits, views.uncertainty(options.uncertainty) if views and options.uncertainty else None


def _mean_over_views(
    member: Member, images: Images, grid: tuple[int, ...], options: Options, unsure: Members | None
) -> Float[Tensor, "batch cls grid_height grid_width"]:
    """Logits on the scan's grid; `unsure` is told each view or, where there are passes, each of them."""
    height, width = grid
    network = partial(_logits, member, options=options)
    views = flipped_views(network, images, flips=options.flips)
    if unsure is not None and not options.passes:
        for view in views:
            unsure.add(to_grid(view, (height, width)))
    if unsure is not None and options.passes:
        with dropping_out(member.network):
            for _ in range(options.passes):
                unsure.add(to_grid(network(images), (height, width)))
    return to_grid(views.mean(dim=0), (height, width))


def _logits(member: Member, images: Images, *, options: Options) -> Masks:
    tile = options.tile or max(images.shape[-2:])
    with _autocast(options):
        return tiled_logits(member.network, images, tile=tile, overlap=options.overlap, multiple=member.multiple)


def _autocast(options: Options) -> AbstractContextManager[object]:
    if options.autocast is None:
        return nullcontext()
    return torch.autocast(options.device.type, dtype=options.autocast)


def _images(volume: Volume, places: Sequence[int], member: Member) -> Images:
    """Slices with their neighbours, clipped and resampled as in the store, windowed and standardised as in training."""
    context, last = member.normalization.context, len(volume.hu) - 1
    height, width = grid_shape(volume.hu.shape, volume.spacing_mm, member.spacing_mm)[1:]
    stacks = [[min(max(z, 0), last) for z in range(place - context, place + context + 1)] for place in places]
    needed = sorted({z for stack in stacks for z in stack})
    slices = {z: resample_hu(volume.hu[z].clip(*HU_RANGE), (height, width)) for z in needed}
    return torch.stack([_tensor([slices[z] for z in stack], member.normalization) for stack in stacks])


def _tensor(slices: Sequence[Int16[np.ndarray, "y x"]], normalization: Normalization) -> Float[Tensor, "channel y x"]:
    return normalization.tensor(np.stack(slices, axis=-1).astype(np.float32))


def _bytes(share: Float[Tensor, "batch y x"]) -> Bytes:
    """A byte for 0 to 1, rounded."""
    return (share.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
