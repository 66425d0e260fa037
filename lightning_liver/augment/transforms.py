"""Base classes of our transforms: albumentations' interface with checked options, millimetres and seeded noise."""

from collections.abc import Callable
from typing import Any, dataclass_transform

import albumentations
import cv2
import numpy as np
from jaxtyping import Float32
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from lightning_liver.types.options import Fraction

Image = Float32[np.ndarray, "y x channel"]
Labels = np.ndarray  # (y, x) uint8

_RUN_IN = 16  # first values after seeding, which depend on the seed too simply: the very first is always positive


_CHECKED: Any = {"kw_only": True, "eq": False, "repr": False, "config": ConfigDict(extra="forbid")}


@dataclass_transform(kw_only_default=True)
@dataclass(**_CHECKED)
class Options:
    """Base of transforms whose annotated attributes are their options; pydantic checks them.

    Args:
        probability: of a sample to be changed.
    """

    probability: Fraction

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclass(**_CHECKED)(cls)

    def __post_init__(self) -> None:
        albumentations.BasicTransform.__init__(self, p=self.probability)


class HuTransform(Options, albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """Base of transforms of intensities alone; `parameters` draws the arguments of `apply`."""

    @property
    def targets_as_params(self) -> list[str]:
        return ["image", "spacing_mm"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        return self.parameters(data["image"], data["spacing_mm"])

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        raise NotImplementedError

    def uniform(self, low: float, high: float) -> float:
        return float(self.random_generator.uniform(low, high))

    def normal(self, shape: tuple[int, ...]) -> Float32[np.ndarray, "..."]:
        """Draw independent standard normal values. OpenCV's generator is four times as quick as numpy's."""
        return normal(shape, self.random_generator)


def normal(shape: tuple[int, ...], rng: np.random.Generator) -> Float32[np.ndarray, "..."]:
    """Draw independent standard normal values of OpenCV's generator, which is seeded from `rng`."""
    cv2.setRNGSeed(int(rng.integers(2**31)))
    cv2.randn(np.empty((1, _RUN_IN), np.float32), np.zeros(1), np.ones(1))
    values = np.empty((shape[0], int(np.prod(shape[1:]))), np.float32)
    cv2.randn(values, np.zeros(1), np.ones(1))
    return values.reshape(shape)


def by_channels(image: Image, change: Callable[[np.ndarray], np.ndarray]) -> Image:
    """Apply an OpenCV function to each channel: it takes four at most, and interpolates two less exactly."""
    if image.shape[2] == 1:
        return change(np.ascontiguousarray(image[..., 0]))[..., None]  # which copies nothing
    return np.stack([change(np.ascontiguousarray(image[..., c])) for c in range(image.shape[2])], axis=-1)


def in_pixels(length_mm: float, spacing_mm: tuple[float, float]) -> tuple[float, float]:
    """Return a length in pixels along y and x."""
    return length_mm / spacing_mm[0], length_mm / spacing_mm[1]
