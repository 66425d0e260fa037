"""A trained network and how it sees a scan."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from lightning_liver.data.resample import grid_shape, resample_hu
from lightning_liver.data.slices import Normalization
from lightning_liver.data.store import HU_RANGE
from lightning_liver.types.tensors import Images
from lightning_liver.volume import Volume


@dataclass(frozen=True)
class TrainedNetwork:
    """A network in evaluation mode and how it sees a scan.

    Args:
        normalization: how HU become its input.
        spacing_mm: in plane; None is the scan's own.
        multiple: height and width are padded to multiples of this.
        config: of the run that trained it; None without a run.
        statistics: batch-norm statistics of a run with two domains, training or target; None for other runs.
    """

    network: nn.Module
    normalization: Normalization
    spacing_mm: float | None
    multiple: int
    config: Any = None
    statistics: str | None = None

    def images(self, volume: Volume, places: Sequence[int]) -> Images:
        """Return slices with neighbours as in training: clipped and resampled as in the store, then normalized."""
        context, last = self.normalization.context, len(volume.hu) - 1
        height, width = grid_shape(volume.hu.shape, volume.spacing_mm, self.spacing_mm)[1:]
        stacks = [[min(max(z, 0), last) for z in range(place - context, place + context + 1)] for place in places]
        needed = sorted({z for stack in stacks for z in stack})
        slices = {z: resample_hu(volume.hu[z].clip(*HU_RANGE), (height, width)) for z in needed}
        channels = (np.stack([slices[z] for z in stack], axis=-1).astype(np.float32) for stack in stacks)
        return torch.stack([self.normalization.tensor(image) for image in channels])
