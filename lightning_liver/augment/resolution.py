"""Policies that take detail away."""

from typing import Any

import cv2
from pydantic import validate_call

from lightning_liver.augment.policy import Amount, Policy, Probability, Size
from lightning_liver.augment.transforms import HuTransform, Image, by_channels, in_pixels


@validate_call
def blur(*, sigma_mm: Amount, probability: Probability) -> Policy:
    """A Gaussian filter.

    Args:
        sigma_mm: largest standard deviation; every sample draws its own, uniformly up to this.
    """
    return Policy([Blur(sigma_mm=sigma_mm, p=probability)])


@validate_call
def low_resolution(*, pixel_mm: Size, probability: Probability) -> Policy:
    """Pixels as large as a coarser scan's, brought back to the grid by linear interpolation.

    Args:
        pixel_mm: largest pixel; every sample draws its own, from the slice's own to this. A slice with larger ones
            stays as it is.
    """
    return Policy([LowResolution(pixel_mm=pixel_mm, p=probability)])


class Blur(HuTransform):
    """A Gaussian whose standard deviation is uniform in [0, sigma_mm]."""

    def __init__(self, *, sigma_mm: float, p: float) -> None:
        super().__init__(p=p)
        self.sigma_mm = sigma_mm

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        return {"sigma": in_pixels(self.uniform(0, self.sigma_mm), spacing_mm)}

    def apply(self, img: Image, sigma: tuple[float, float], **params: Any) -> Image:
        y, x = (max(s, 1e-3) for s in sigma)  # OpenCV takes an axis whose sigma is 0 from the other one
        return by_channels(img, lambda part: cv2.GaussianBlur(part, (0, 0), sigmaX=x, sigmaY=y))


class LowResolution(HuTransform):
    """Means over pixels whose size is uniform between the slice's and pixel_mm, then linear interpolation."""

    def __init__(self, *, pixel_mm: float, p: float) -> None:
        super().__init__(p=p)
        self.pixel_mm = pixel_mm

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
