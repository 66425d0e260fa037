"""Slice of a phantom with liver and tumour, and what policies need beside it."""

from dataclasses import dataclass

import numpy as np
import torch
from omegaconf import DictConfig

from experiments.speed import phantoms
from lightning_liver.augment.policy import Donor, none
from lightning_liver.build import prepared
from lightning_liver.config import compose
from lightning_liver.data.sampling import Pools
from lightning_liver.data.slices import Normalization, Sample, TrainingSlices
from lightning_liver.volume import Slice

CASES = 2  # phantoms: one is augmented, both donate tumours


@dataclass(frozen=True)
class Scan:
    """Slice in memory, its donor of tumours (which reads the store), and the normalisation for the network."""

    image: Slice
    donor: Donor
    normalization: Normalization

    def sample(self) -> Sample:
        return {"image": self.normalization.tensor(self.image.hu), "labels": torch.from_numpy(self.image.labels)}


def config(matrix: int, *overrides: str) -> DictConfig:
    """Compose a training config for phantoms on their own grid of matrix x matrix pixels."""
    return compose("train", [*phantoms.options(matrix, CASES), "data.workers=0", *overrides])


def scan(matrix: int) -> Scan:
    """Return the slice of the first phantom that shows most tumour."""
    cfg = config(matrix)
    store = prepared(cfg.data)
    normalization = Normalization(tuple(cfg.data.window_hu), context=0, mean=0, std=1)
    tumours = Pools.of(list(store.cases.values())).kinds["tumour"]
    size = (matrix, matrix)
    slices = TrainingSlices(store, normalization, augment=none(), size=size, seed=0, tumours=tumours)
    name, record = next((name, record) for name, record in store.cases.items() if record.has_tumour)
    return Scan(slices.read(name, int(np.argmax(record.tumour_pixels))), slices.donor, normalization)
