"""Aorta of a CT, found without a mask: a straight, round, even structure at the left front of the spine."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int16

_PIXEL_MM = 2.0  # grid on which it is looked for
_RADIUS_MM = 6.5  # of the disc that must lie within the lumen, whose radius is 8 to 12 mm
_BODY_HU, _BONE_HU = -300.0, 180.0
_MIDDLE_MM = 40.0  # half width of the band in which bone is spine
_FRONT_MM, _BACK_MM = -64.0, -26.0  # of the aorta's centre, along y from the spine's centre
_RIGHT_MM, _LEFT_MM = -12.0, 36.0  # along x
_FEWEST_BONE = 60  # pixels
_STRAIGHT_MM, _ALIKE_HU = 15.0, 15.0  # largest distance and difference of slices that show one vessel
_FEWEST_SLICES, _LEAST_FRACTION = 4, 0.3  # of slices that show it
_EVEN_HU, _EVEN_OF_LIVER = 4.0, 1.5  # standard deviation within the disc: that of the liver times, plus
_EVEN_WITHOUT_LIVER_HU = 20.0


def aorta_hu(
    slices: Sequence[Int16[np.ndarray, "y x"]], spacing_mm: tuple[float, float, float], *, liver_hu: float | None
) -> float | None:
    """Return the median HU of the aorta in some axial slices in LPS; None where nothing like it is found.

    In each slice the brightest even disc at the left front of the spine is taken; the largest group of slices in
    which it lies in nearly the same place with nearly the same HU is the vessel. Without contrast medium muscle is
    as bright, so the result is then not the aorta's: below 100 HU it says only that nothing brighter is there.

    Args:
        spacing_mm: along z, y and x.
        liver_hu: by which the noise is measured, in the slices themselves; None takes a fixed bound.
    """
    found = [each for each in (_brightest(hu, spacing_mm, liver_hu) for hu in slices) if each is not None]
    if len(found) < _FEWEST_SLICES:
        return None
    places, hu = np.array([(y, x) for y, x, _ in found]), np.array([value for *_, value in found])
    apart_mm = np.linalg.norm(places[:, None] - places[None], axis=-1)
    alike = (apart_mm <= _STRAIGHT_MM) & (np.abs(hu[:, None] - hu[None]) <= _ALIKE_HU)
    largest = alike[int(np.argmax(alike.sum(axis=1)))]
    if largest.sum() < max(_FEWEST_SLICES, _LEAST_FRACTION * len(slices)):
        return None
    return float(np.median(hu[largest]))


def _brightest(
    hu: Int16[np.ndarray, "y x"], spacing_mm: tuple[float, float, float], liver_hu: float | None
) -> tuple[float, float, float] | None:
    """Return place (y and x, in mm from the spine's centre) and HU of the brightest even disc; None without one."""
    height, width = (max(1, round(n * mm / _PIXEL_MM)) for n, mm in zip(hu.shape, spacing_mm[1:], strict=True))
    image: np.ndarray = cv2.resize(hu.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    spine = _spine(image)
    if spine is None:
        return None
    mean, deviation = _in_discs(image)
    even = _EVEN_WITHOUT_LIVER_HU
    if liver_hu is not None:
        like_liver = deviation[np.abs(mean - liver_hu) < 10]
        even = _EVEN_OF_LIVER * float(np.quantile(like_liver, 0.25)) + _EVEN_HU if like_liver.size else even
    y, x = np.ogrid[:height, :width]
    y_mm, x_mm = (y - spine[0]) * _PIXEL_MM, (x - spine[1]) * _PIXEL_MM
    near = (y_mm > _FRONT_MM) & (y_mm < _BACK_MM) & (x_mm > _RIGHT_MM) & (x_mm < _LEFT_MM)
    wanted = near & (deviation <= even)
    if not wanted.any():
        return None
    row, column = np.unravel_index(int(np.argmax(np.where(wanted, mean, -np.inf))), mean.shape)
    return float(y_mm[row, 0]), float(x_mm[0, column]), float(mean[row, column])


def _spine(image: Float[np.ndarray, "y x"]) -> tuple[float, float] | None:
    """Return the centre of the spine's bone in pixels: bone in the middle of the rear half of the body."""
    body = _largest(image > _BODY_HU)
    if body is None:
        return None
    rows, columns = np.nonzero(body)
    middle_y, middle_x = (float(np.quantile(each, 0.5)) for each in (rows, columns))
    bone = body & (image > _BONE_HU)
    bone[: int(middle_y)] = False
    away = np.abs(np.arange(image.shape[1]) - middle_x) * _PIXEL_MM
    bone[:, away > _MIDDLE_MM] = False
    if np.count_nonzero(bone) < _FEWEST_BONE:
        return None
    rows, columns = np.nonzero(bone)
    return float(np.median(rows)), float(np.median(columns))


def _largest(mask: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"] | None:
    count, labels, numbers, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count < 2:
        return None
    found: np.ndarray = labels == 1 + int(np.argmax(numbers[1:, cv2.CC_STAT_AREA]))
    return found


def _in_discs(image: Float[np.ndarray, "y x"]) -> tuple[Float[np.ndarray, "y x"], Float[np.ndarray, "y x"]]:
    """Return mean and standard deviation in the disc around each pixel."""
    reach = int(np.ceil(_RADIUS_MM / _PIXEL_MM))
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    disc = (np.hypot(y, x) * _PIXEL_MM <= _RADIUS_MM).astype(np.float32)
    disc /= disc.sum()
    mean = cv2.filter2D(image, cv2.CV_64F, disc)
    square = cv2.filter2D(image.astype(np.float64) ** 2, cv2.CV_64F, disc)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))
