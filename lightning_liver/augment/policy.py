"""Augmentation policies: albumentations' transforms in a row, and what depends on more than one slice.

Slices come in HU, before the window: amplitudes mean what they say, and what a shifted window brings into view is
really there. What a policy does depends on the sample's seed alone: albumentations' own generators repeat one stream in
every forked worker.
"""

import random
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import albumentations
import numpy as np
from pydantic import Field

from lightning_liver.volume import Slice

Probability = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1000)]
Share = Annotated[float, Field(ge=0, lt=1)]
Degrees = Annotated[float, Field(ge=0, le=180)]

Donor = Callable[[np.random.Generator], Slice | None]  # another training slice with tumour, where there is one

AIR_HU = -1024.0
ATTEMPTS = 8


class Policy:
    """Transforms in a row, reseeded for every sample.

    A structure that a slice has stays in it: a sample whose transforms moved all of its liver or all of its tumour out,
    or resampled it away, is drawn again, and after ATTEMPTS draws it is left as it was.

    Args:
        transforms: albumentations' or ours; they are given image (HU), mask, spacing_mm and donor.
        mixup: applied to batches, see lightning_liver.augment.mixing.Mixup; None mixes none.
    """

    def __init__(
        self, transforms: Sequence[albumentations.BasicTransform], *, mixup: Callable[..., Any] | None = None
    ) -> None:
        self.transforms, self.mixup = tuple(transforms), mixup
        self._compose = albumentations.Compose(self.transforms)

    def __call__(self, image: Slice, seed: int, donor: Donor) -> Slice:
        """A changed copy of a slice; what is passed in stays as it is."""
        if not self.transforms:
            return image
        present = _structures(image.labels)
        for draw in np.random.SeedSequence(seed).generate_state(ATTEMPTS):
            # one stream for all transforms: set_random_seed would start the same one in each of them, so that what
            # decides whether the first is applied would decide it for all
            self._compose.set_random_state(np.random.default_rng(draw), random.Random(int(draw)))
            changed = self._compose(image=image.hu, mask=image.labels, spacing_mm=image.spacing_mm, donor=donor)
            if present <= _structures(changed["mask"]):
                return Slice(changed["image"], changed["mask"], image.spacing_mm)
        return image


def none() -> Policy:
    """Leave slices as they are."""
    return Policy([])


def _structures(labels: np.ndarray) -> set[int]:
    """Which of liver (tumour included) and tumour a slice shows."""
    highest = int(labels.max(initial=0))
    return set(range(1, highest + 1))
