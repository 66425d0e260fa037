"""Window, contrast and gamma."""

from typing import Any

import cv2
import numpy as np

from lightning_liver.augment.policy import policy_of
from lightning_liver.augment.transforms import HuTransform, Image
from lightning_liver.types.options import BelowOne, NonNegative, Window


class Intensity(HuTransform):
    """Another window, contrast and gamma, in HU of the window of training. Every sample draws its own.

    Args:
        shift_hu: the window's level moves by up to this, either way, and shows the scan's own values there.
        width: the window's width is divided by 1 - width to 1 + width.
        contrast: the distance from the mean of the window's values is multiplied by 1 - contrast to 1 + contrast.
        gamma: [0, 1] is raised to a power of 1 / (1 + gamma) to 1 + gamma, as often below 1 as above.
        window_hu: the window of training.
    """

    shift_hu: NonNegative
    width: BelowOne
    contrast: BelowOne
    gamma: BelowOne
    window_hu: Window

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


intensity = policy_of(Intensity)


def _power(seen: Image, power: float) -> np.ndarray:
    """Raise [0, 1] to a power. OpenCV's logarithm and exponential take a ninth of the time of its power."""
    np.clip(seen, np.float32(1e-12), 1, out=seen)  # the logarithm of 0 is not finite, and tiny results are slow
    return np.asarray(cv2.exp(cv2.log(seen) * np.float32(power)))


def _clipped(seen: Image) -> Image:
    return np.clip(seen, 0, 1, out=seen)
