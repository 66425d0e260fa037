"""Set of MONAI's dictionary transforms. Metadata are not tracked, which is quicker."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.data import set_track_meta
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandSimulateLowResolutiond,
)

from experiments.speed.augmentation.contender import (
    COARSE,
    COARSEST,
    FLIP,
    FLIPS,
    GAMMA,
    GAMMA_RANGE,
    MOVE,
    NOISE,
    NOISE_STD,
    ROTATION,
    SCALE,
    Contender,
)
from experiments.speed.augmentation.scans import Scan
from experiments.speed.rounds import Work

BOTH = ("image", "labels")


def contender(given: Scan) -> Contender:
    """Return the set on float tensors (1, y, x), as LoadImaged gives them."""
    set_track_meta(False)
    sample = given.sample()
    tensors = {"image": sample["image"], "labels": sample["labels"][None].float()}

    def pipeline(names: Sequence[str]) -> Work:
        parts = _parts(given.image.labels.shape)
        compose = Compose([transform for name in names for transform in parts[name]])
        compose.set_random_state(0)
        return lambda _: compose(tensors)

    def arrays(made: dict[str, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        return made["image"][0].numpy(), made["labels"][0].numpy()

    return Contender("MONAI", pipeline, arrays)


def _parts(shape: tuple[int, int]) -> dict[str, list[Any]]:
    affine = RandAffined(
        BOTH,
        prob=1,
        rotate_range=ROTATION,
        scale_range=(SCALE, SCALE),
        mode=("bilinear", "nearest"),
        padding_mode="zeros",
        spatial_size=shape,
        cache_grid=True,
    )
    return {
        MOVE: [affine],
        NOISE: [RandGaussianNoised("image", prob=1, std=NOISE_STD)],
        GAMMA: [RandAdjustContrastd("image", prob=1, gamma=(1 / (1 + GAMMA_RANGE), 1 + GAMMA_RANGE))],
        COARSE: [RandSimulateLowResolutiond("image", prob=1, upsample_mode="bilinear", zoom_range=(1 / COARSEST, 1))],
        FLIP: [RandFlipd(BOTH, prob=FLIPS, spatial_axis=axis) for axis in (0, 1)],
    }
