"""Augmentation policies, composed of albumentations' transforms.

A policy is a callable (image (y, x, channel) float32 in [0, 1], labels (y, x) uint8, seed) -> (image, labels). What it
does depends on the seed alone: albumentations' own generators repeat one stream in every forked worker.
"""

from collections.abc import Sequence
from typing import Annotated

import albumentations
import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from pydantic import Field, validate_call

Image = Float32[np.ndarray, "y x channel"]
Labels = UInt8[np.ndarray, "y x"]
Degrees = Annotated[float, Field(ge=0, le=180)]
Share = Annotated[float, Field(ge=0, lt=1)]
Hounsfield = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Policy:
    """Albumentations transforms in a row, reseeded for every sample."""

    def __init__(self, transforms: Sequence[albumentations.BasicTransform]) -> None:
        self.compose = albumentations.Compose(transforms)

    def __call__(self, image: Image, labels: Labels, seed: int) -> tuple[Image, Labels]:
        self.compose.set_random_seed(seed)
        changed = self.compose(image=image, mask=labels)
        return changed["image"], changed["mask"]


def none(image: Image, labels: Labels, seed: int) -> tuple[Image, Labels]:
    """Leave the slice as it is."""
    return image, labels


@validate_call
def basic(
    *, rotation_degrees: Degrees, scale: Share, shift: Share, noise_hu: Hounsfield, window_hu: tuple[float, float]
) -> Policy:
    """Rotation, scale and shift, then Gaussian noise. No left-right flip: the liver is on one side.

    Args:
        rotation_degrees: up to so far either way.
        scale: between 1 - scale and 1 + scale.
        shift: share of the slice's height and width, either way.
        noise_hu: largest standard deviation of the noise, in HU.
        window_hu: what [0, 1] stands for.
    """
    affine = albumentations.Affine(
        rotate=(-rotation_degrees, rotation_degrees),
        scale=(1 - scale, 1 + scale),
        translate_percent=(-shift, shift),
        interpolation=cv2.INTER_LINEAR,
        mask_interpolation=cv2.INTER_NEAREST,
        p=1,
    )
    width = window_hu[1] - window_hu[0]
    return Policy([affine, albumentations.GaussNoise(std_range=(0, min(noise_hu / width, 1)), p=1)])
