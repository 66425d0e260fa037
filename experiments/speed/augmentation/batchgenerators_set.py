"""Set of batchgeneratorsv2's transforms, with the arguments of nnU-Net's trainer where the set leaves a choice."""

from collections.abc import Sequence

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

from experiments.speed.augmentation.contender import (
    COARSE,
    COARSEST,
    FLIP,
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


def contender(given: Scan) -> Contender:
    """Return the set on a float image (1, y, x) and int16 labels, as nnU-Net's loader gives them."""
    sample = given.sample()
    image, labels = sample["image"], sample["labels"][None].short()

    def pipeline(names: Sequence[str]) -> Work:
        parts = _parts(given.image.labels.shape)
        compose = ComposeTransforms([parts[name] for name in names])
        # some transforms change the image in place; after MOVE that is a new image
        return lambda _: compose(image=image if MOVE in names else image.clone(), segmentation=labels)

    def arrays(made: dict[str, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        return made["image"][0].numpy(), made["segmentation"][0].numpy()

    return Contender("batchgeneratorsv2", pipeline, arrays)


def _parts(shape: tuple[int, int]) -> dict[str, BasicTransform]:
    spatial = SpatialTransform(
        shape,
        patch_center_dist_from_border=0,
        random_crop=False,
        p_rotation=1,
        rotation=(-ROTATION, ROTATION),
        p_scaling=1,
        scaling=(1 - SCALE, 1 + SCALE),
        p_synchronize_scaling_across_axes=1,
        mode_seg="nearest",
    )
    coarse = SimulateLowResolutionTransform(
        scale=(1 / COARSEST, 1),
        synchronize_channels=False,
        synchronize_axes=True,
        ignore_axes=None,
        allowed_channels=None,
        p_per_channel=1,
    )
    gamma = GammaTransform(
        gamma=(1 / (1 + GAMMA_RANGE), 1 + GAMMA_RANGE),
        p_invert_image=0,
        synchronize_channels=False,
        p_per_channel=1,
        p_retain_stats=0,
    )
    return {
        MOVE: spatial,
        NOISE: GaussianNoiseTransform(noise_variance=(0, NOISE_STD), p_per_channel=1, synchronize_channels=True),
        GAMMA: gamma,
        COARSE: coarse,
        FLIP: MirrorTransform(allowed_axes=(0, 1)),
    }
