"""Policies that change how HU appear."""

from typing import Any

import cv2
import numpy as np
from pydantic import validate_call

from lightning_liver.augment.policy import Amount, Finite, Policy, Probability, Share
from lightning_liver.augment.transforms import HuTransform, Image
from lightning_liver.errors import LiverError


@validate_call
def intensity(
    *,
    shift_hu: Amount,
    width: Share,
    contrast: Share,
    gamma: Share,
    window_hu: tuple[Finite, Finite],
    probability: Probability,
) -> Policy:
    """Another window, contrast and gamma, see Intensity.

    Args:
        window_hu: the window of training.
    """
    if not window_hu[0] < window_hu[1]:
        raise LiverError(f"augment: window_hu={list(window_hu)}: the first must be below the second, as in [-160, 240]")
    jitter = Intensity(
        shift_hu=shift_hu, width=width, contrast=contrast, gamma=gamma, window_hu=window_hu, p=probability
    )
    return Policy([jitter])


class Intensity(HuTransform):
    """What is seen through another window, at another contrast and gamma, in HU of the window of training.

    The window's level moves by up to shift_hu and its width is divided by 1 - width to 1 + width: what comes into view
    is what the scan has there. Contrast multiplies the distance from the mean of what is in view by 1 - contrast to
    1 + contrast. Gamma raises [0, 1] to a power of 1 / (1 + gamma) to 1 + gamma, as often below 1 as above. All are
    drawn for each sample.
    """

    def __init__(
        self,
        *,
        shift_hu: float,
        width: float,
        contrast: float,
        gamma: float,
        window_hu: tuple[float, float],
        p: float,
    ) -> None:
        super().__init__(p=p)
        self.shift_hu, self.width, self.contrast, self.gamma, self.window_hu = (
            shift_hu,
            width,
            contrast,
            gamma,
            window_hu,
        )

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        power = (1 + self.gamma) ** self.uniform(-1, 1)
        return {
            "shift_hu": self.uniform(-self.shift_hu, self.shift_hu),
            "zoom": 1 + self.uniform(-self.width, self.width),
            "contrast": 1 + self.uniform(-self.contrast, self.contrast),
            "power": power,
        }

    def apply(self, img: Image, shift_hu: float, zoom: float, contrast: float, power: float, **params: Any) -> Image:
        low, high = self.window_hu
        extent, middle = high - low, (high + low) / 2
        seen = _clipped((img - np.float32(middle + shift_hu)) * np.float32(zoom / extent) + np.float32(0.5))
        mean = np.float32(cv2.mean(seen.reshape(-1, 1))[0])
        seen -= mean
        seen *= np.float32(contrast)
        seen += mean
        return _power(seen, power).reshape(img.shape) * np.float32(extent) + np.float32(low)


def _power(seen: Image, power: float) -> np.ndarray:
    """[0, 1] to a power. OpenCV's logarithm and exponential take a ninth of the time of its power."""
    np.clip(seen, np.float32(1e-12), 1, out=seen)  # the logarithm of 0 is not finite, and tiny results are slow
    return np.asarray(cv2.exp(cv2.log(seen) * np.float32(power)))


def _clipped(seen: Image) -> Image:
    return np.clip(seen, 0, 1, out=seen)
