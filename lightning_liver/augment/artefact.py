"""Artefacts of scanners: streaks and rings, in HU."""

from typing import Any

import cv2
import numpy as np

from lightning_liver.augment.policy import Number, policy_of
from lightning_liver.augment.transforms import HuTransform, Image, in_pixels
from lightning_liver.types.options import NonNegative, Positive

_ANGLES = 4096  # of the table of streaks; a power of two
_PER_PIXEL = 4  # entries of the table of rings
_CENTRE_MM = 20.0  # largest distance of the scanner's axis from the centre of the picture


class _Drawn(HuTransform):
    """Base of transforms that add one picture, in HU, to all channels."""

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        return {"drawn": self.draw(image.shape[:2], spacing_mm)}

    def apply(self, img: Image, drawn: np.ndarray, **params: Any) -> Image:
        return img + drawn[..., None]

    def draw(self, shape: tuple[int, int], spacing_mm: tuple[float, float]) -> np.ndarray:
        raise NotImplementedError

    def strengths(self, most: int, amplitude_hu: float) -> np.ndarray:
        """Draw the strengths of one to `most` lines, of either sign, the strongest uniformly up to the amplitude."""
        strengths = self.random_generator.uniform(-1, 1, self.random_generator.integers(1, most + 1))
        return strengths / np.abs(strengths).max() * self.uniform(0, amplitude_hu)


class Streaks(_Drawn):
    """Light and dark streaks from one place, as of metal and bone.

    Sum over streaks of a exp(-angle^2 / 2 width^2) / (1 + r / half the slice), to both sides of their origin.

    Args:
        amplitude_hu: of the strongest streak, at its origin; every sample draws its own, uniformly up to this.
        count: largest number of streaks.
        width_degrees: standard deviation of a streak's profile; 0.05 at least.
    """

    amplitude_hu: NonNegative
    count: Number
    width_degrees: Positive

    def draw(self, shape: tuple[int, int], spacing_mm: tuple[float, float]) -> np.ndarray:
        strengths = self.strengths(self.count, self.amplitude_hu)
        directions = self.random_generator.uniform(0, 180, len(strengths))
        degrees = np.arange(_ANGLES) * 180 / _ANGLES
        away = np.abs((degrees - directions[:, None] + 90) % 180 - 90)
        width = max(self.width_degrees, 180 / _ANGLES)
        table = (strengths[:, None] * np.exp(-((away / width) ** 2) / 2)).sum(0).astype(np.float32)
        centre = self.random_generator.uniform(0.1, 0.9, 2) * shape
        y, x = _millimetres(shape, spacing_mm, centre)
        radius, angle = cv2.cartToPolar(x, y, angleInDegrees=True)
        place = (angle * np.float32(_ANGLES / 180)).astype(np.int32) & (_ANGLES - 1)
        return table[place] / (1 + radius * np.float32(2 / (shape[0] * spacing_mm[0])))


class Rings(_Drawn):
    """Rings about the scanner's axis, as of miscalibrated detector elements.

    Sum over rings of a exp(-(r - radius)^2 / 2 width^2).

    Args:
        amplitude_hu: of the strongest ring; every sample draws its own, uniformly up to this.
        count: largest number of rings.
        width_mm: standard deviation of a ring's profile; half a pixel at least.
    """

    amplitude_hu: NonNegative
    count: Number
    width_mm: Positive

    def draw(self, shape: tuple[int, int], spacing_mm: tuple[float, float]) -> np.ndarray:
        strengths = self.strengths(self.count, self.amplitude_hu)
        half_mm = [n * mm / 2 for n, mm in zip(shape, spacing_mm, strict=True)]
        radii = self.random_generator.uniform(0, min(half_mm), len(strengths))
        step_mm = min(spacing_mm) / _PER_PIXEL
        offset = self.random_generator.uniform(-1, 1, 2) * in_pixels(_CENTRE_MM, spacing_mm)
        y, x = _millimetres(shape, spacing_mm, np.array(shape) / 2 + offset)
        place = (cv2.magnitude(x, y) * np.float32(1 / step_mm)).astype(np.int32)
        distance = np.arange(int(place.max()) + 1) * step_mm - radii[:, None]
        width_mm = max(self.width_mm, min(spacing_mm) / 2)
        table = (strengths[:, None] * np.exp(-((distance / width_mm) ** 2) / 2)).sum(0)
        return table.astype(np.float32)[place]


streak = policy_of(Streaks)
ring = policy_of(Rings)


def _millimetres(
    shape: tuple[int, int], spacing_mm: tuple[float, float], centre: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance of each pixel from a place along y and x."""
    y, x = ((np.arange(n) - c) * mm for n, c, mm in zip(shape, centre, spacing_mm, strict=True))
    plane = np.zeros(shape, np.float32)
    return plane + y.astype(np.float32)[:, None], plane + x.astype(np.float32)
