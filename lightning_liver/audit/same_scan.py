"""Comparison of the noise of two aligned scans, which is equal in copies of one scan and in no other two.

Slices of the two are aligned to a fraction of a pixel. What is compared is soft tissue alone: its grain, which is noise
of the acquisition, and its HU, which contrast medium changes.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64

from lightning_liver.audit.alignment import Alignment
from lightning_liver.audit.spine import GRID_MM, Spine
from lightning_liver.data.store import Store

WINDOW_HU = (-100.0, 200.0)
_SOFT_HU = (-60.0, 160.0)
_PIXEL_MM = 2.0
_SIDE = 96  # pixels of the square about the spine that is compared: 192 mm
_SLICES = 6
_SHIFTS_MM = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # of a slice against its place by the spine
_FINE, _COARSE = 1.0, 2.5  # pixels: grain lies between the two
_LEAST_SOFT = 0.1  # fraction of soft tissue without which a slice says nothing


class SpineScan(NamedTuple):
    """A prepared case and its straightened spine."""

    store: Store
    name: str
    spine: Spine

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        return self.store.cases[self.name].spacing_mm

    @property
    def depth(self) -> int:
        return self.store.cases[self.name].shape[0]

    def slice_at(self, z_mm: float, thickness_mm: float = 0.0) -> Float32[np.ndarray, "y x"]:
        """Return HU at a height above the first slice, interpolated, or as the mean of a thickness."""
        step = self.spacing_mm[0]
        reach = max(step, thickness_mm)
        parts = 1 - np.abs(np.arange(self.depth) * step - z_mm) / reach
        near = np.flatnonzero(parts > 0)
        if near.size == 0:
            near = np.array([np.argmax(parts)])
            parts[near] = 1
        total = sum(np.float32(parts[z]) * self.store.read(self.name, "hu", int(z)).astype(np.float32) for z in near)
        return np.asarray(total / np.float32(parts[near].sum()), np.float32)

    def centre_mm(self, z_mm: float) -> Float64[np.ndarray, " 2"]:
        """Return the centre of the spine's patch (y, x) at a height, from the centre of the first pixel."""
        levels = np.arange(len(self.spine.centre_mm)) * GRID_MM
        return np.array([np.interp(z_mm, levels, self.spine.centre_mm[:, axis]) for axis in (0, 1)])


class Likeness(NamedTuple):
    """Correlation of grain and of HU of two scans in soft tissue; medians over slices."""

    grain: float
    hu: float


def compare(first: SpineScan, second: SpineScan, alignment: Alignment) -> Likeness:
    """Compare slices from the common part of two scans whose spines are aligned."""
    found = [_best_slice(first, second, alignment, float(level)) for level in common_levels(first, second, alignment)]
    return Likeness(*np.median(found, axis=0).tolist())


def common_levels(
    first: SpineScan, second: SpineScan, alignment: Alignment, count: int = _SLICES
) -> Float64[np.ndarray, " z"]:
    """Return levels of the first, evenly spread over what both scans show, without the ends."""
    low, high = common_part(first, second, alignment)
    return low + (high - low) * (np.arange(count) + 0.5) / count


def common_part(first: SpineScan, second: SpineScan, alignment: Alignment) -> tuple[float, float]:
    """Return the first and last level of the first scan that the second shows, too."""
    ends = np.array([0.0, (second.depth - 1) * second.spacing_mm[0] / GRID_MM])
    start, stop = (ends * np.exp(-alignment.stretch) + alignment.shift).tolist()
    return max(0.0, start), min((first.depth - 1) * first.spacing_mm[0] / GRID_MM, stop)


def _best_slice(first: SpineScan, second: SpineScan, alignment: Alignment, level: float) -> tuple[float, float]:
    """Return the correlations of grain and HU at the height where that of the grain is highest.

    Slices of the scan with the thicker ones are taken as they are, those of the other are interpolated or averaged.
    """
    z_mm = np.array([level, float(alignment.level(np.array([level]))[0])]) * GRID_MM
    matrix = alignment.matrix()
    offset = -matrix @ (alignment.right, alignment.down)
    fixed, moving = first, second
    if second.spacing_mm[0] > first.spacing_mm[0]:
        fixed, moving, z_mm = second, first, z_mm[::-1]
        matrix = np.linalg.inv(matrix)
        offset = -matrix @ offset
    number = int(np.clip(round(z_mm[0] / fixed.spacing_mm[0]), 0, fixed.depth - 1))
    z_mm = z_mm + number * fixed.spacing_mm[0] - z_mm[0]
    target = square(fixed, float(z_mm[0]), np.eye(2), np.zeros(2))
    thick = fixed.spacing_mm[0] if fixed.spacing_mm[0] > 1.5 * moving.spacing_mm[0] else 0.0
    found = [
        _correlations(target, square(moving, float(z_mm[1]) + shift, matrix, offset, thickness_mm=thickness))
        for shift in _SHIFTS_MM
        for thickness in {0.0, thick}
    ]
    return max(found)


def square(
    scan: SpineScan,
    z_mm: float,
    matrix: Float64[np.ndarray, "2 2"],
    offset: Float64[np.ndarray, " 2"],
    *,
    thickness_mm: float = 0.0,
    side: int = _SIDE,
) -> Float32[np.ndarray, "y x"]:
    """Return windowed HU of a square about the spine at a height, with pixels of 2 mm.

    Args:
        matrix, offset: a pixel at (x, y) mm from the square's middle is taken from matrix @ (x, y) + GRID_MM * offset
            from the spine.
        thickness_mm: of the slab that is averaged; 0 interpolates.
        side: in pixels.
    """
    hu = np.clip(scan.slice_at(z_mm, thickness_mm), *WINDOW_HU)
    y_mm, x_mm = scan.spacing_mm[1:]
    if min(y_mm, x_mm) < 0.75 * _PIXEL_MM:  # averaged first, else single pixels would be picked
        size = (max(1, round(hu.shape[1] * x_mm / _PIXEL_MM)), max(1, round(hu.shape[0] * y_mm / _PIXEL_MM)))
        x_mm, y_mm = x_mm * hu.shape[1] / size[0], y_mm * hu.shape[0] / size[1]
        hu = cv2.resize(hu, size, interpolation=cv2.INTER_AREA)
    scale = np.diag([1 / x_mm, 1 / y_mm])
    linear = scale @ matrix * _PIXEL_MM
    origin = scale @ (scan.centre_mm(z_mm)[::-1] + offset * GRID_MM) - linear @ np.full(2, (side - 1) / 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warp = np.column_stack([linear, origin])
    return cv2.warpAffine(hu, warp, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _correlations(target: Float32[np.ndarray, "y x"], other: Float32[np.ndarray, "y x"]) -> tuple[float, float]:
    """Align a square with another to a fraction of a pixel, and correlate their grain and HU in soft tissue."""
    start = np.eye(2, 3, dtype=np.float32)
    everywhere = np.ones(target.shape, np.uint8)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-4)
    try:
        _, warp = cv2.findTransformECC(target, other, start, cv2.MOTION_AFFINE, stop, everywhere, 3)
    except cv2.error:  # it did not converge: the two are not alike
        return 0.0, 0.0
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    other = cv2.warpAffine(other, warp, (_SIDE, _SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    soft = (target > _SOFT_HU[0]) & (target < _SOFT_HU[1]) & (other > _SOFT_HU[0]) & (other < _SOFT_HU[1])
    if soft.mean() < _LEAST_SOFT:
        return 0.0, 0.0
    grain = [_grain(image, soft) for image in (target, other)]
    return _correlation(*grain), _correlation(target[soft], other[soft])


def _grain(image: Float32[np.ndarray, "y x"], soft: Bool[np.ndarray, "y x"]) -> Float32[np.ndarray, " n"]:
    """Return what lies between two blurs of soft tissue, to which its surroundings do not contribute."""
    mask = soft.astype(np.float32)
    fine, coarse = (
        cv2.GaussianBlur(image * mask, (0, 0), sigma) / np.maximum(cv2.GaussianBlur(mask, (0, 0), sigma), 1e-3)
        for sigma in (_FINE, _COARSE)
    )
    return (fine - coarse)[soft]


def _correlation(a: Float32[np.ndarray, " n"], b: Float32[np.ndarray, " n"]) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b) / float(np.sqrt(float(a @ a) * float(b @ b) + 1e-6))
