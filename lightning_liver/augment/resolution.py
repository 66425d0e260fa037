"""Loss of detail."""

from typing import Any

import cv2

from lightning_liver.augment.policy import policy_of
from lightning_liver.augment.transforms import HuTransform, Image, by_channels, in_pixels
from lightning_liver.types.options import NonNegative, Positive


class Blur(HuTransform):
    """Gaussian filter whose standard deviation is uniform in [0, sigma_mm].

    Args:
        sigma_mm: largest standard deviation.
    """

    sigma_mm: NonNegative

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        return {"sigma": in_pixels(self.uniform(0, self.sigma_mm), spacing_mm)}

    def apply(self, img: Image, sigma: tuple[float, float], **params: Any) -> Image:
        y, x = (max(s, 1e-3) for s in sigma)  # OpenCV takes an axis whose sigma is 0 from the other one
        return by_channels(img, lambda part: cv2.GaussianBlur(part, (0, 0), sigmaX=x, sigmaY=y))


class LowResolution(HuTransform):
    """Means over pixels whose size is uniform between the slice's and pixel_mm, then linear interpolation.

    Args:
        pixel_mm: largest pixel, as of a coarser scan. A slice with larger ones stays as it is.
    """

    pixel_mm: Positive

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        pixel_mm = self.uniform(min(max(spacing_mm), self.pixel_mm), self.pixel_mm)
        small = [max(round(n * min(mm / pixel_mm, 1)), 1) for n, mm in zip(image.shape[:2], spacing_mm, strict=True)]
        return {"small": tuple(small)}

    def apply(self, img: Image, small: tuple[int, int], **params: Any) -> Image:
        if small == img.shape[:2]:
            return img
        size = (img.shape[1], img.shape[0])
        return by_channels(
            img,
            lambda part: cv2.resize(
                cv2.resize(part, small[::-1], interpolation=cv2.INTER_AREA), size, interpolation=cv2.INTER_LINEAR
            ),
        )


blur = policy_of(Blur)
low_resolution = policy_of(LowResolution)
