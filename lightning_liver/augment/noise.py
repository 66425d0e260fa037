"""Policies that add noise, in HU. Every sample draws its own strength, uniformly up to the option."""

from typing import Any

import cv2
import numpy as np
from pydantic import validate_call

from lightning_liver.augment.policy import Amount, Finite, Policy, Probability, Share, Size
from lightning_liver.augment.transforms import HuTransform, Image, by_channels, in_pixels
from lightning_liver.errors import LiverError

FINEST_GRAIN = 1.0  # pixels: a finer grain cannot be drawn
WATER_HU = 1000.0  # HU + 1000 is attenuation in thousandths of water's


@validate_call
def gaussian(*, std_hu: Amount, probability: Probability) -> Policy:
    """Independent normal noise, alike everywhere.

    Args:
        std_hu: largest standard deviation.
    """
    return Policy([GaussianNoise(std_hu=std_hu, p=probability)])


@validate_call
def poisson(*, std_hu: Amount, probability: Probability) -> Policy:
    """Noise of counted photons: its variance is proportional to the attenuation, so that air has none and bone most.

    Args:
        std_hu: largest standard deviation in water.
    """
    return Policy([PoissonNoise(std_hu=std_hu, p=probability)])


@validate_call
def speckle(*, std: Share, probability: Probability) -> Policy:
    """Multiplicative noise of the attenuation.

    Args:
        std: largest standard deviation, as a share of the attenuation; in water 0.01 is 10 HU.
    """
    return Policy([Speckle(std=std, p=probability)])


@validate_call
def salt_and_pepper(*, share: Share, range_hu: tuple[Finite, Finite], probability: Probability) -> Policy:
    """Single pixels at the ends of a range.

    Args:
        share: largest share of pixels, half of them salt.
        range_hu: of pepper and of salt.
    """
    if not range_hu[0] < range_hu[1]:
        raise LiverError(f"augment: range_hu={list(range_hu)}: pepper must lie below salt, as in [-160, 240]")
    return Policy([SaltAndPepper(share=share, range_hu=range_hu, p=probability)])


@validate_call
def ct_noise(*, std_hu: Amount, grain_mm: Size, probability: Probability) -> Policy:
    """Noise as filtered backprojection leaves it: grains of one size, without slow changes.

    Args:
        std_hu: largest standard deviation.
        grain_mm: width of a grain at half its height; a pixel at least.
    """
    return Policy([CorrelatedNoise(std_hu=std_hu, grain_mm=grain_mm, p=probability)])


class GaussianNoise(HuTransform):
    """hu + s n with n standard normal and s uniform in [0, std_hu]."""

    def __init__(self, *, std_hu: float, p: float) -> None:
        super().__init__(p=p)
        self.std_hu = std_hu

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        return {"noise": self.normal(image.shape) * np.float32(self.uniform(0, self.std_hu))}

    def apply(self, img: Image, noise: Image, **params: Any) -> Image:
        return img + noise


class PoissonNoise(GaussianNoise):
    """hu + s n sqrt(m) with m = max(hu + 1000, 0) / 1000, the attenuation as a multiple of water's.

    The normal approximation of m' = Poisson(N m) / N with N = (1000 / s)^2 counts, of which there are over a thousand
    in water when s is below 30 HU.
    """

    def apply(self, img: Image, noise: Image, **params: Any) -> Image:
        return img + noise * np.sqrt(np.maximum(img / WATER_HU + 1, 0))


class Speckle(HuTransform):
    """(hu + 1000) (1 + s n) - 1000 with n standard normal and s uniform in [0, std]."""

    def __init__(self, *, std: float, p: float) -> None:
        super().__init__(p=p)
        self.std = std

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        return {"noise": self.normal(image.shape) * np.float32(self.uniform(0, self.std))}

    def apply(self, img: Image, noise: Image, **params: Any) -> Image:
        return img + noise * (img + np.float32(WATER_HU))


class SaltAndPepper(HuTransform):
    """A share of pixels, uniform in [0, share], set to either end of range_hu in all channels."""

    def __init__(self, *, share: float, range_hu: tuple[float, float], p: float) -> None:
        super().__init__(p=p)
        self.share, self.range_hu = share, range_hu

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        pixels = image.shape[0] * image.shape[1]
        count = round(self.uniform(0, self.share) * pixels)
        places = self.random_generator.choice(pixels, size=count, replace=False)
        return {"pepper": places[: count // 2], "salt": places[count // 2 :]}

    def apply(self, img: Image, pepper: np.ndarray, salt: np.ndarray, **params: Any) -> Image:
        changed = img.copy()
        pixels = changed.reshape(-1, img.shape[2])
        pixels[pepper], pixels[salt] = self.range_hu
        return changed


class CorrelatedNoise(HuTransform):
    """White noise through a difference of two Gaussians, one twice as wide as the other, scaled to its deviation.

    Filtered backprojection's noise power rises from zero with the frequency and falls again with the kernel's cut-off
    (Kijewski and Judy 1987, doi:10.1088/0031-9155/32/5/003); the difference of Gaussians has that shape.
    """

    def __init__(self, *, std_hu: float, grain_mm: float, p: float) -> None:
        super().__init__(p=p)
        self.std_hu, self.grain_mm = std_hu, grain_mm

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        grain = [max(pixels, FINEST_GRAIN) for pixels in in_pixels(self.grain_mm, spacing_mm)]
        sigma = [pixels / 2.355 for pixels in grain]  # of a Gaussian by its width
        white = self.normal(image.shape)
        noise = by_channels(white, lambda part: _blurred(part, sigma) - _blurred(part, [2 * s for s in sigma]))
        deviation = float(cv2.meanStdDev(noise.reshape(-1, 1))[1][0, 0])
        return {"noise": noise * np.float32(self.uniform(0, self.std_hu) / max(deviation, 1e-6))}

    def apply(self, img: Image, noise: Image, **params: Any) -> Image:
        return img + noise


def _blurred(pixels: np.ndarray, sigma_yx: list[float]) -> np.ndarray:
    """OpenCV leaves an axis alone whose sigma is 0, but takes it from the other axis: so a tiny one."""
    y, x = (max(sigma, 1e-3) for sigma in sigma_yx)
    return cv2.GaussianBlur(pixels, (0, 0), sigmaX=x, sigmaY=y)
