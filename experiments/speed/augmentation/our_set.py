"""Set as a policy of ours: HU in, HU out, each sample by its own seed."""

from collections.abc import Sequence

import numpy as np
import torch

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
    ROTATION_DEGREES,
    SCALE,
    Contender,
)
from experiments.speed.augmentation.scans import Scan
from experiments.speed.rounds import Work
from lightning_liver.augment.compound import sequence
from lightning_liver.augment.geometric import Affine, flip
from lightning_liver.augment.intensity import intensity
from lightning_liver.augment.noise import gaussian
from lightning_liver.augment.policy import Policy
from lightning_liver.augment.resolution import low_resolution
from lightning_liver.volume import Slice


def contender(given: Scan) -> Contender:
    """Return the set whose result is the augmented slice."""
    parts = _parts(given)

    def pipeline(names: Sequence[str]) -> Work:
        policy = sequence(**{name: parts[name] for name in names})
        return lambda seed: policy(given.image, seed, given.donor)

    def arrays(made: Slice) -> tuple[np.ndarray, np.ndarray]:
        return given.normalization.window(made.hu)[..., 0], made.labels

    return Contender("ours", pipeline, arrays)


def to_tensor(given: Scan) -> Contender:
    """Return the set whose result is windowed and converted to tensors, as the network needs it."""
    policies = contender(given)

    def pipeline(names: Sequence[str]) -> Work:
        augment = policies.pipeline(names)

        def work(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
            made = augment(seed)
            assert isinstance(made, Slice)
            return given.normalization.tensor(made.hu), torch.from_numpy(made.labels)

        return work

    return Contender("ours, to tensor", pipeline, lambda made: (made[0][0].numpy(), made[1].numpy()))


def _parts(given: Scan) -> dict[str, Policy]:
    low, high = given.normalization.window_hu
    return {
        MOVE: Policy([Affine(rotation_degrees=ROTATION_DEGREES, scale=SCALE, shift_mm=0, probability=1)]),
        NOISE: gaussian(std_hu=NOISE_STD * (high - low), probability=1),
        GAMMA: intensity(
            shift_hu=0, width=0, contrast=0, gamma=GAMMA_RANGE, window_hu=given.normalization.window_hu, probability=1
        ),
        COARSE: low_resolution(pixel_mm=COARSEST * max(given.image.spacing_mm), probability=1),
        FLIP: flip(left_right=FLIPS, up_down=FLIPS),
    }
