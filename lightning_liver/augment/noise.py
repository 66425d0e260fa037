"""Noise in HU. Every sample draws its strength, uniformly up to the option."""

import math
from functools import lru_cache
from itertools import product
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32
from scipy import fft

from lightning_liver.augment.policy import policy_of
from lightning_liver.augment.transforms import HuTransform, Image, by_channels
from lightning_liver.types.options import BelowOne, NonNegative, Positive, Window

Plane = Float32[np.ndarray, "y x"]

WATER_HU = 1000.0  # HU + 1000 is attenuation in thousandths of water's
WATER_PER_MM = 0.0192  # attenuation of water at 70 keV, about the mean energy of 120 kV
BODY_HU = -500.0  # anything but air and lung
COARSE, DIRECTIONS = 48, 24  # pixels along the longer side, and directions of rays, of the map of the rays' noise

HALF_WAY = 0.43295  # x at which 1F1(3/2; 1; -x), the autocorrelation of f exp(-a f^2) at pi^2 r^2 / a, is a half
FOLDS = 2  # of the frequencies above the pixels' own that are counted; beyond, the kernel leaves nothing


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


class PoissonNoise(HuTransform):
    """Noise of counted photons, s n r(x), independent in neighbouring pixels, with n standard normal.

    The noise of filtered backprojection at a pixel comes from all rays through it, whatever its own attenuation: gas in
    the bowel has nearly as much as the tissue around it, air beside the body less, air at the corners almost none.
    r is `ray_noise`.

    Args:
        std_hu: largest root mean square of the noise in the body; every sample draws its own, s, uniformly up to this.
    """

    std_hu: NonNegative

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        noise = self.normal(image.shape) * np.float32(self.uniform(0, self.std_hu))
        return {"noise": noise * by_channels(image, lambda part: ray_noise(part, spacing_mm))}

    def apply(self, img: Image, noise: Image, **params: Any) -> Image:
        return img + noise


def ray_noise(hu: Plane, spacing_mm: tuple[float, float]) -> Plane:
    """Return the standard deviation of reconstruction noise at each pixel, relative to its rms in the body.

    sqrt(mean over directions of exp(p)), p the line integral of the attenuation along the ray through the pixel: a ray
    counts N exp(-p) photons, and the logarithm of a Poisson number of them has the variance exp(p) / N, which
    backprojection averages. There is no bow-tie filter or modulated tube current, which would even it out. The body is
    what is above -500 HU; without any it is the whole slice.

    Args:
        hu: (y, x); attenuation below that of air counts as 0.
        spacing_mm: of a pixel, along y and x.

    Source: the variance of Kak and Slaney 1988, Principles of Computerized Tomographic Imaging, section 5.2, without
    the width of the ramp filter.
    """
    height, width = (n * mm for n, mm in zip(hu.shape, spacing_mm, strict=True))
    side_mm = max(height, width) / COARSE  # the map is smooth: a few pixels show it
    shape = (max(round(height / side_mm), 1), max(round(width / side_mm), 1))
    water = np.maximum(hu / np.float32(WATER_HU) + 1, 0)
    coarse = cv2.resize(water, shape[::-1], interpolation=cv2.INTER_AREA)
    margin = math.ceil(COARSE * (math.sqrt(2) - 1) / 2)  # rotated, the corners stay inside
    above, left = ((COARSE - n) // 2 + margin for n in shape)
    side = COARSE + 2 * margin
    square = np.zeros((side, side), np.float32)
    square[above : above + shape[0], left : left + shape[1]] = coarse
    variance = np.zeros_like(square)
    for degrees in np.arange(DIRECTIONS) * 180 / DIRECTIONS:
        integrals = _rotated(square, degrees).sum(axis=0) * np.float32(WATER_PER_MM * side_mm)
        variance += _rotated(np.broadcast_to(np.exp(integrals), square.shape), -degrees)
    inner = np.ascontiguousarray(variance[above : above + shape[0], left : left + shape[1]])
    fine = cv2.resize(inner, hu.shape[::-1], interpolation=cv2.INTER_LINEAR)
    body = hu > BODY_HU
    return np.sqrt(fine / (fine[body].mean() if body.any() else fine.mean()))


def _rotated(square: np.ndarray, degrees: float) -> np.ndarray:
    middle = (len(square) - 1) / 2
    turn = cv2.getRotationMatrix2D((middle, middle), float(degrees), 1)
    return cv2.warpAffine(np.ascontiguousarray(square), turn, square.shape, flags=cv2.INTER_LINEAR)


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
    """Noise with the correlation of filtered backprojection at the slice's own pixels, scaled to its deviation.

    See `noise_power`. Its strength is alike everywhere; poisson has that of the rays.

    Args:
        std_hu: largest standard deviation.
        grain_mm: width at half its height of the correlation of neighbouring points in the reconstruction; below half a
            pixel it counts as that.
    """

    std_hu: NonNegative
    grain_mm: Positive

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        amplitude = np.sqrt(noise_power(image.shape[:2], spacing_mm, self.grain_mm))[..., None]
        spectrum = fft.rfft2(self.normal(image.shape), axes=(0, 1)) * amplitude
        noise = fft.irfft2(spectrum, s=image.shape[:2], axes=(0, 1))
        deviation = float(cv2.meanStdDev(noise.reshape(-1, 1))[1][0, 0])
        return {"noise": noise * np.float32(self.uniform(0, self.std_hu) / max(deviation, 1e-6))}

    def apply(self, img: Image, noise: Image, **params: Any) -> Image:
        return img + noise


@lru_cache(maxsize=8)
def noise_power(shape: tuple[int, int], spacing_mm: tuple[float, float], grain_mm: float) -> Plane:
    """Return the relative noise power of filtered backprojection at the frequencies of scipy.fft.rfft2.

    f exp(-a f^2) in the reconstruction, f the frequency and exp(-a f^2 / 2) the kernel's apodisation; then a pixel
    averages over its area, as resampling does, and frequencies above the pixels' own fold back. At pixels of half a
    grain or less it rises from 0 to a peak at 0.3 / grain_mm and falls again.

    Args:
        shape: height and width of the slice in pixels.
        spacing_mm: of a pixel, along y and x.
        grain_mm: width of the autocorrelation of f exp(-a f^2) at half its height; at least half a pixel.

    Source: Kijewski and Judy 1987, doi:10.1088/0031-9155/32/5/003, for the ramp, the kernel and the folding.
    """
    grain = max(grain_mm, max(spacing_mm) / 2)
    a = (math.pi * grain / 2) ** 2 / HALF_WAY
    axes = [fft.fftfreq(shape[0]), fft.rfftfreq(shape[1])]
    power = np.zeros((len(axes[0]), len(axes[1])))
    for order in product(range(-FOLDS, FOLDS + 1), repeat=2):
        v, u = (axis + fold for axis, fold in zip(axes, order, strict=True))  # in cycles a pixel
        square = (v / spacing_mm[0])[:, None] ** 2 + (u / spacing_mm[1])[None, :] ** 2
        power += np.sqrt(square) * np.exp(-a * square) * (np.sinc(v)[:, None] * np.sinc(u)[None, :]) ** 2
    return power.astype(np.float32)


gaussian = policy_of(GaussianNoise)
poisson = policy_of(PoissonNoise)
speckle = policy_of(Speckle)
salt_and_pepper = policy_of(SaltAndPepper)
ct_noise = policy_of(CorrelatedNoise)
