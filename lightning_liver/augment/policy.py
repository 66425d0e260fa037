"""Augmentation policies: albumentations' transforms in sequence, and blends of a batch.

Slices are in HU, before the window: amplitudes are HU of the scan, and a shifted window shows real values. A policy's
draws depend on the sample's seed alone: albumentations' own generators repeat one stream in every forked worker.
"""

import random
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import albumentations
import numpy as np
from pydantic import Field

from lightning_liver.types.options import Count
from lightning_liver.volume import Slice

Number = Annotated[Count, Field(le=1000)]  # of objects that are drawn
Degrees = Annotated[float, Field(ge=0, le=180)]

Donor = Callable[[np.random.Generator], Slice | None]  # another training slice with tumour, where there is one

AIR_HU = -1024.0
ATTEMPTS = 8


class Policy:
    """Sequence of transforms, reseeded for every sample.

    A policy never removes a structure: the sample is drawn again if liver or tumour would vanish, and stays unchanged
    after ATTEMPTS draws.

    Args:
        transforms: albumentations' or ours; they get image (HU), mask, spacing_mm and donor.
        mixup: applied to batches, see lightning_liver.augment.mixing.Mixup; None blends none.
    """

    def __init__(
        self, transforms: Sequence[albumentations.BasicTransform], *, mixup: Callable[..., Any] | None = None
    ) -> None:
        self.transforms, self.mixup = tuple(transforms), mixup
        self._compose = albumentations.Compose(self.transforms)

    def __call__(self, image: Slice, seed: int, donor: Donor) -> Slice:
        """Return a changed copy of a slice; the slice itself stays as it is."""
        if not self.transforms:
            return image
        present = _structures(image.labels)
        for draw in np.random.SeedSequence(seed).generate_state(ATTEMPTS):
            # One stream for all transforms: set_random_seed would start the same one in each of them, and one draw
            # would decide for all of them whether they are applied.
            self._compose.set_random_state(np.random.default_rng(draw), random.Random(int(draw)))
            changed = self._compose(image=image.hu, mask=image.labels, spacing_mm=image.spacing_mm, donor=donor)
            if present <= _structures(changed["mask"]):
                return Slice(changed["image"], changed["mask"], image.spacing_mm)
        return image


def none() -> Policy:
    """Leave slices as they are."""
    return Policy([])


def policy_of(transform: Callable[..., albumentations.BasicTransform]) -> Callable[..., Policy]:
    """Return a function that builds the policy of one transform from its options: a yaml's `_target_`."""

    def policy(**options: Any) -> Policy:
        return Policy([transform(**options)])

    policy.__doc__ = transform.__doc__
    return policy


def _structures(labels: np.ndarray) -> set[int]:
    """Return the labels of the structures in a slice: 1 for liver (tumour included), 2 for tumour."""
    highest = int(labels.max(initial=0))
    return set(range(1, highest + 1))
