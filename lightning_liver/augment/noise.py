"""Noise in HU. Every sample draws its strength, uniformly up to the option."""

from typing import Any

import cv2
import numpy as np

from lightning_liver.augment.policy import policy_of
from lightning_liver.augment.transforms import HuTransform, Image, by_channels, in_pixels
from lightning_liver.types.options import BelowOne, NonNegative, Positive, Window

FINEST_GRAIN = 1.0  # pixels: a finer grain cannot be drawn
WATER_HU = 1000.0  # HU + 1000 is attenuation in thousandths of water's


class GaussianNoise(HuTransform):
    """Independent normal noise, alike everywhere: hu + s n with n standard normal and s uniform in [0, std_hu].

    Args:
        std_hu: largest standard deviation.
    """

    std_hu: NonNegative

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        return {"noise": self.normal(image.shape) * np.float32(self.uniform(0, self.std_hu))}

    def apply(self, img: Image, noise: Image, **params: Any) -> Image:
        return img + noise


class PoissonNoise(GaussianNoise):
    """Noise of counted photons: its variance is proportional to the attenuation, 0 in air and largest in bone.

    hu + s n sqrt(m) with m = max(hu + 1000, 0) / 1000, the attenuation as a multiple of water's: the normal
    approximation of m' = Poisson(N m) / N with N = (1000 / s)^2 counts, over a thousand in water for s below 30 HU.

    Args:
        std_hu: largest standard deviation in water.
    """

    def apply(self, img: Image, noise: Image, **params: Any) -> Image:
        return img + noise * np.sqrt(np.maximum(img / WATER_HU + 1, 0))


class Speckle(HuTransform):
    """Multiplicative noise of the attenuation: (hu + 1000) (1 + s n) - 1000, n standard normal, s uniform in [0, std].

    Args:
        std: largest standard deviation, as a fraction of the attenuation; in water 0.01 is 10 HU.
    """

    std: BelowOne

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        return {"noise": self.normal(image.shape) * np.float32(self.uniform(0, self.std))}

    def apply(self, img: Image, noise: Image, **params: Any) -> Image:
        return img + noise * (img + np.float32(WATER_HU))


class SaltAndPepper(HuTransform):
    """Single pixels set to either end of range_hu in all channels.

    Args:
        share: largest fraction of pixels, half of them salt; every sample draws its own, uniformly up to this.
        range_hu: pepper and salt.
    """

    share: BelowOne
    range_hu: Window

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
    """Noise of filtered backprojection: grains of one size, without slow changes.

    White noise through a difference of two Gaussians, one twice as wide as the other, scaled to its deviation. The
    noise power of filtered backprojection rises from zero with the frequency and falls with the kernel's cut-off
    (Kijewski and Judy 1987, doi:10.1088/0031-9155/32/5/003); the difference of Gaussians has that shape.

    Args:
        std_hu: largest standard deviation.
        grain_mm: width of a grain at half its height; a pixel at least.
    """

    std_hu: NonNegative
    grain_mm: Positive

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        grain = [max(pixels, FINEST_GRAIN) for pixels in in_pixels(self.grain_mm, spacing_mm)]
        sigma = [pixels / 2.355 for pixels in grain]  # of a Gaussian by its width
        white = self.normal(image.shape)
        noise = by_channels(white, lambda part: _blurred(part, sigma) - _blurred(part, [2 * s for s in sigma]))
        deviation = float(cv2.meanStdDev(noise.reshape(-1, 1))[1][0, 0])
        return {"noise": noise * np.float32(self.uniform(0, self.std_hu) / max(deviation, 1e-6))}

    def apply(self, img: Image, noise: Image, **params: Any) -> Image:
        return img + noise


gaussian = policy_of(GaussianNoise)
poisson = policy_of(PoissonNoise)
speckle = policy_of(Speckle)
salt_and_pepper = policy_of(SaltAndPepper)
ct_noise = policy_of(CorrelatedNoise)


def _blurred(pixels: np.ndarray, sigma_yx: list[float]) -> np.ndarray:
    """Blur with a tiny sigma instead of 0, for which OpenCV takes that of the other axis."""
    y, x = (max(sigma, 1e-3) for sigma in sigma_yx)
    return cv2.GaussianBlur(pixels, (0, 0), sigmaX=x, sigmaY=y)
